//! What of a commit or tag is signed, and by which signature.

/// A raw object's signed bytes, and the signature in text; empty: it is not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub payload: Vec<u8>,
    pub signature: String,
}

/// Of a commit: the signature is a header, `gpgsig`, whose further lines begin with a space. That of a SHA-256 repository is
/// not part of what is signed either.
pub fn commit(raw: &[u8]) -> Signed {
    let mut payload = Vec::with_capacity(raw.len());
    let mut signature = Vec::new();
    let mut header = true;
    // The header that the line continues: 0 none of these, 1 the signature, 2 the other one.
    let mut inside = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if header && line == b"\n" {
            header = false;
        }
        if !header {
            payload.extend_from_slice(line);
            continue;
        }
        let continued = line.strip_prefix(b" ");
        if continued.is_none() {
            inside = match line {
                line if line.starts_with(b"gpgsig ") => 1,
                line if line.starts_with(b"gpgsig-sha256 ") => 2,
                _ => 0,
            };
        }
        match (inside, continued) {
            (0, _) => payload.extend_from_slice(line),
            (1, Some(rest)) => signature.extend_from_slice(rest),
            (1, None) => signature.extend_from_slice(&line["gpgsig ".len()..]),
            _ => {}
        }
    }
    Signed { payload, signature: String::from_utf8_lossy(&signature).into_owned() }
}

/// Of a tag: the signature is its end.
pub fn tag(raw: &[u8]) -> Signed {
    let mut at = 0;
    let mut cut = raw.len();
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let begins = [
            &b"-----BEGIN PGP SIGNATURE-----"[..],
            b"-----BEGIN SSH SIGNATURE-----",
            b"-----BEGIN SIGNED MESSAGE-----",
        ];
        if begins.iter().any(|begin| line.starts_with(begin)) {
            cut = at;
        }
        at += line.len();
    }
    Signed { payload: raw[..cut].to_vec(), signature: String::from_utf8_lossy(&raw[cut..]).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_cut_out() {
        let raw = b"tree 1\nauthor a\ngpgsig -----BEGIN SSH SIGNATURE-----\n abc\n -----END SSH SIGNATURE-----\ncommitter c\ngpgsig-sha256 x\n y\n\ntext\n\n gpgsig no\n";
        let signed = commit(raw);
        assert_eq!(signed.payload, b"tree 1\nauthor a\ncommitter c\n\ntext\n\n gpgsig no\n");
        assert_eq!(signed.signature, "-----BEGIN SSH SIGNATURE-----\nabc\n-----END SSH SIGNATURE-----\n");
        assert_eq!(commit(b"tree 1\n\ntext\n").signature, "");
        let signed = tag(b"object 1\n\ntext\n-----BEGIN PGP SIGNATURE-----\n\nabc\n");
        assert_eq!(signed.payload, b"object 1\n\ntext\n");
        assert_eq!(signed.signature, "-----BEGIN PGP SIGNATURE-----\n\nabc\n");
        assert_eq!(tag(b"object 1\n\ntext\n").signature, "");
    }
}
