#![no_main]
//! Signatures and keys of OpenPGP, and the objects of Git that bear them: what was not made by the key never counts.

#[path = "../../crates/fleet/src/git/signed.rs"]
mod signed;

#[path = "../../crates/fleet/src/signature/openpgp/mod.rs"]
mod openpgp;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;

/// What the module's own parent has.
#[allow(dead_code)]
pub struct Signer {
    pub key: String,
    pub ids: Vec<String>,
}

fn block(kind: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN PGP {kind}-----\n\n{}\n-----END PGP {kind}-----\n", STANDARD.encode(bytes))
}

fuzz_target!(|data: &[u8]| {
    let commit = signed::commit(data);
    assert!(commit.payload.len() <= data.len());
    let tag = signed::tag(data);
    assert!(data.starts_with(&tag.payload));
    let text = String::from_utf8_lossy(data);
    let _ = openpgp::verify(&commit.payload, &commit.signature, &[text.into_owned()], 0);
    let (key, signature) = data.split_at(data.len() / 2);
    let ring = block("PUBLIC KEY BLOCK", key);
    assert!(openpgp::verify(b"nobody signed this", &block("SIGNATURE", signature), &[ring], 0).is_err());
});
