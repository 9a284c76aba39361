//! Keys that another distribution made, in the forms that this one keeps: its CAs' keys as PKCS#8, and of its RSA key for
//! ServiceAccount tokens the public half, so that tokens that are out stay good until they end.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::der;

/// 1.2.840.10045.2.1, an elliptic curve's key.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10045.3.1.7, the curve P-256.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// 1.2.840.113549.1.1.1, RSA.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// A key whose tokens are still believed, but that signs no more: base64url as in a JWK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    pub kid: String,
    pub n: String,
    pub e: String,
}

impl Former {
    /// Modulus and exponent, big endian.
    pub(crate) fn parts(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((BASE64.decode(&self.n).ok()?, BASE64.decode(&self.e).ok()?))
    }
}

/// What a private key in PEM becomes.
pub enum Taken {
    /// A P-256 key in PKCS#8 PEM.
    Key(String),
    Rsa(Former),
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("because base64 is ASCII"))
        .collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// Reads a private key in any of the three forms of PEM.
///
/// # Errors
/// Why it is of no use here.
pub fn take(text: &str) -> Result<Taken, String> {
    match PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string())? {
        PrivateKeyDer::Pkcs8(key) => match ring::rsa::KeyPair::from_pkcs8(key.secret_pkcs8_der()) {
            Ok(pair) => Ok(Taken::Rsa(former(&pair))),
            Err(_) => p256(pem(key.secret_pkcs8_der())),
        },
        PrivateKeyDer::Sec1(key) => {
            let algorithm = der::sequence(&[der::oid(EC), der::oid(P256)]);
            let whole = der::sequence(&[der::integer(&[0]), algorithm, der::octets(key.secret_sec1_der())]);
            p256(pem(&whole))
        }
        PrivateKeyDer::Pkcs1(key) => {
            let pair =
                ring::rsa::KeyPair::from_der(key.secret_pkcs1_der()).map_err(|error| error.to_string())?;
            Ok(Taken::Rsa(former(&pair)))
        }
        _ => Err("it is of an unknown form".into()),
    }
}

fn p256(text: String) -> Result<Taken, String> {
    match rcgen::KeyPair::from_pem(&text) {
        Ok(pair) if pair.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256) => Ok(Taken::Key(text)),
        Ok(_) => Err("it is no P-256 key".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The key's id is upstream's: the hash of the DER of the public key.
fn former(pair: &ring::rsa::KeyPair) -> Former {
    use ring::signature::KeyPair;
    let algorithm = der::sequence(&[der::oid(RSA), der::null()]);
    let spki = der::sequence(&[algorithm, der::bits(pair.public_key().as_ref(), 0)]);
    let parts = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    Former { kid: BASE64.encode(Sha256::digest(spki)), n: BASE64.encode(parts.n), e: BASE64.encode(parts.e) }
}
