//! Digests as the inventory and file names use them.

use sha2::{Digest, Sha256};

/// The first 16 hex digits of the SHA-256: tells apart, proves nothing.
pub(crate) fn short(bytes: &[u8]) -> String {
    let mut text = hex::encode(Sha256::digest(bytes));
    text.truncate(16);
    text
}

/// `sha256:…`, whole.
pub(crate) fn full(digest: Sha256) -> String {
    format!("sha256:{}", hex::encode(digest.finalize()))
}
