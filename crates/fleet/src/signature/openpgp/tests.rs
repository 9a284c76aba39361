//! What no key made and no program wrote never counts, and never ends this one. What gpg makes is in `tests/signatures.rs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

fn block(kind: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN PGP {kind}-----\n\n{}\n-----END PGP {kind}-----\n", STANDARD.encode(bytes))
}

#[test]
fn blocks_without_sense_are_told() {
    for (signature, ring, expected) in [
        ("", String::new(), "no PGP SIGNATURE"),
        ("-----BEGIN PGP SIGNATURE-----\nabc", String::new(), "has no end"),
        (&block("SIGNATURE", b""), String::new(), "0 signatures"),
        (&block("SIGNATURE", &[0xc2, 5, 4]), String::new(), "ends too early"),
        (&block("SIGNATURE", &[0xc2, 1, 6]), String::new(), "version 6"),
        (&block("SIGNATURE", &[0x00]), String::new(), "no PGP packet"),
    ] {
        let why = verify(b"x", signature, &[ring], 0).unwrap_err().to_string();
        assert!(why.contains(expected), "{signature}: {why}");
    }
    // Version 4, of bytes, RSA, SHA-256, no subpackets, a number of one bit.
    let bare = block("SIGNATURE", &[0xc2, 13, 4, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    let why = verify(b"x", &bare, &["nothing".into()], 0).unwrap_err().to_string();
    assert!(why.contains("unable to read armored key ring: no PGP PUBLIC KEY BLOCK"), "{why}");
    assert_eq!(verify(b"x", &bare, &[], 0), Err(Why::NoKey { issuer: String::new() }));
}

proptest! {
    #[test]
    fn any_bytes_are_taken(signature in proptest::collection::vec(any::<u8>(), 0..300), ring in proptest::collection::vec(any::<u8>(), 0..300)) {
        let ring = block("PUBLIC KEY BLOCK", &ring);
        prop_assert!(verify(b"x", &block("SIGNATURE", &signature), &[ring], 0).is_err());
    }
}
