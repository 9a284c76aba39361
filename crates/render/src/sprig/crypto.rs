//! Hashes.

use super::{Entries, str};
use crate::template::function;
use sha2::{Digest, Sha256, Sha512};

pub fn all() -> Entries {
    vec![
        ("sha256sum", function("s", |_, a| Ok(hex::encode(Sha256::digest(str(a, 0).bytes())).into()))),
        ("sha512sum", function("s", |_, a| Ok(hex::encode(Sha512::digest(str(a, 0).bytes())).into()))),
    ]
}
