//! ASCII armour (RFC 9580, 6): `-----BEGIN PGP …-----`, headers, base64, a checksum that proves nothing and is not read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The bytes of the first block of a kind (`SIGNATURE`).
pub(super) fn read(text: &str, kind: &str) -> Result<Vec<u8>, String> {
    let all = read_all(text, kind)?;
    all.into_iter().next().ok_or_else(|| format!("no PGP {kind} is in it"))
}

/// The bytes of all blocks of a kind.
pub(super) fn read_all(text: &str, kind: &str) -> Result<Vec<Vec<u8>>, String> {
    let (begin, end) = (format!("-----BEGIN PGP {kind}-----"), format!("-----END PGP {kind}-----"));
    let mut lines = text.lines().map(str::trim);
    let mut all = Vec::new();
    while lines.by_ref().any(|line| line == begin) {
        let mut body = String::new();
        let mut headers = true;
        loop {
            let line = lines.next().ok_or_else(|| format!("the PGP {kind} has no end"))?;
            match line {
                line if line == end => break,
                "" => headers = false,
                line if headers && line.contains(": ") => {}
                // The checksum.
                line if line.starts_with('=') => {}
                line => {
                    headers = false;
                    body.push_str(line);
                }
            }
        }
        let bytes =
            STANDARD.decode(&body).map_err(|error| format!("the PGP {kind} is no base64: {error}"))?;
        all.push(bytes);
    }
    Ok(all)
}
