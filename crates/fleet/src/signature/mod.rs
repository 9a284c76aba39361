//! Signatures of commits and tags: OpenPGP and SSH, against public keys that their owner trusts. Says who signed, or why
//! nobody known did.
//!
//! Only verification, and only with hashes that are not broken. Pure: the time is an argument.

pub mod openpgp;
mod ssh;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use openpgp::Why;

/// Public keys that are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keys {
    /// Armoured OpenPGP key blocks.
    pub pgp: Vec<String>,
    /// Lines of `authorized_keys`.
    pub ssh: Vec<String>,
}

impl Keys {
    pub fn is_empty(&self) -> bool {
        self.pgp.is_empty() && self.ssh.is_empty()
    }

    /// Flux' fingerprint of a set of keys (`status.sourceVerificationFingerprint`).
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        for (kind, keys) in [("pgp:", &self.pgp), ("ssh:", &self.ssh)] {
            let mut keys: Vec<&String> = keys.iter().collect();
            keys.sort();
            for key in keys {
                digest.update(kind);
                digest.update(key);
                digest.update([0]);
            }
        }
        crate::hash::full(digest)
    }
}

/// What a signature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    OpenPgp,
    Ssh,
    X509,
    Empty,
    Unknown,
}

impl Form {
    pub fn of(signature: &str) -> Form {
        match signature.trim() {
            "" => Form::Empty,
            text if text.starts_with("-----BEGIN PGP SIGNATURE-----") => Form::OpenPgp,
            text if text.starts_with("-----BEGIN SSH SIGNATURE-----") => Form::Ssh,
            text if text.starts_with("-----BEGIN SIGNED MESSAGE-----") => Form::X509,
            _ => Form::Unknown,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Form::OpenPgp => "openpgp",
            Form::Ssh => "ssh",
            Form::X509 => "x509",
            Form::Empty => "empty",
            Form::Unknown => "unknown",
        }
    }
}

/// Who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The id of the primary key in 16 upper-case digits, or an SSH key's fingerprint.
    pub key: String,
    /// Also the id of the subkey that signed.
    pub ids: Vec<String>,
}

/// Verifies the signature of a `Git commit` or `Git tag` (the text is `what`); `now` in seconds since the epoch.
///
/// # Errors
/// In the words of Flux' `git` package, with the reason behind.
pub fn verify(what: &str, payload: &[u8], signature: &str, keys: &Keys, now: u64) -> Result<Signer, String> {
    match Form::of(signature) {
        Form::OpenPgp if keys.pgp.is_empty() => {
            Err("PGP signature detected but no PGP public keys found in secret (keys with .asc suffix)"
                .into())
        }
        Form::OpenPgp => openpgp::verify(payload, signature, &keys.pgp, now).map_err(|why| {
            format!(
                "unable to verify {what}: unable to verify payload with any of the given key rings: {why}"
            )
        }),
        Form::Ssh if keys.ssh.is_empty() => {
            Err("SSH signature detected but no SSH public keys found in secret (keys with .sshpub suffix)"
                .into())
        }
        Form::Ssh => ssh::verify(payload, signature, &keys.ssh)
            .map_err(|why| format!("unable to verify {what} SSH signature: {why}")),
        form => Err(format!("unsupported signature type: {}", form.word())),
    }
}
