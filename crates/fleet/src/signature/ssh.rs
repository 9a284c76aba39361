//! SSH signatures (openssh's PROTOCOL.sshsig) in the namespace of git.

use russh::keys::ssh_key::{AuthorizedKeys, HashAlg, SshSig};

use super::Signer;

const NAMESPACE: &str = "git";

pub(super) fn verify(payload: &[u8], signature: &str, keys: &[String]) -> Result<Signer, String> {
    let signature = SshSig::from_pem(format!("{}\n", signature.trim()))
        .map_err(|error| format!("unable to unarmor SSH signature: {error}"))?;
    let (mut unreadable, mut tried) = (None, false);
    for line in keys.iter().flat_map(|text| text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = match AuthorizedKeys::new(line).next() {
            Some(Ok(entry)) => entry,
            Some(Err(error)) => {
                unreadable.get_or_insert(format!("unable to parse authorized keys: {error}"));
                continue;
            }
            None => continue,
        };
        tried = true;
        let key = entry.public_key();
        if key.verify(NAMESPACE, payload, &signature).is_ok() {
            let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
            return Ok(Signer { ids: vec![fingerprint.clone()], key: fingerprint });
        }
    }
    match unreadable {
        Some(text) if !tried => Err(text),
        _ => Err("unable to verify payload with any of the given authorized keys: no matching key".into()),
    }
}
