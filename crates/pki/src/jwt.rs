//! ServiceAccount tokens: JWTs (RFC 7519) signed with ES256, verified with ES256 and RS256.
//!
//! The claims are upstream's bound tokens (KEP-1205): `kubernetes.io` names namespace, ServiceAccount and the object
//! that the token is bound to. Whether those objects still live is not known here.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{self, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::takeover::Former;
use crate::{Error, files};

/// SubjectPublicKeyInfo of a P-256 key up to the point itself (RFC 5480).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The claims of a ServiceAccount token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    #[serde(default, deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    #[serde(default)]
    pub exp: i64,
    #[serde(default)]
    pub iat: i64,
    #[serde(default)]
    pub iss: String,
    #[serde(default)]
    pub jti: String,
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Bound,
    #[serde(default)]
    pub nbf: i64,
    #[serde(default)]
    pub sub: String,
}

/// What a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Ref>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Ref>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Ref>,
    pub serviceaccount: Ref,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Either::deserialize(from)? {
        Either::One(one) => vec![one],
        Either::Many(many) => many,
    })
}

/// Why a token is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadToken {
    /// Not a token of ours at all: another authenticator may know it.
    #[error("not a token of this issuer")]
    Foreign,
    #[error("invalid bearer token: {0}")]
    Invalid(&'static str),
}

/// The key that signs.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
    /// Of another distribution, whose cluster this was.
    former: Option<Former>,
}

/// Beside the key that signs: one whose tokens are still believed.
pub const FORMER: &str = "service-former.json";

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

impl TokenKey {
    /// Loads a P-256 key in PKCS#8 PEM, or makes one.
    pub fn open(path: &Path) -> Result<TokenKey, Error> {
        let unusable =
            |detail: String| Error::Unusable { path: path.into(), what: "ServiceAccount key", detail };
        let pair = match files::read(path)? {
            Some(text) => rcgen::KeyPair::from_pem(&text).map_err(|error| unusable(error.to_string()))?,
            None => {
                let pair = rcgen::KeyPair::generate().map_err(|error| unusable(error.to_string()))?;
                files::write(path, &pair.serialize_pem())?;
                pair
            }
        };
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), &random)
            .map_err(|error| unusable(error.to_string()))?;
        let id = key_id(pair.public_key().as_ref());
        let beside = path.with_file_name(FORMER);
        let wrong = |error: serde_json::Error| Error::Unusable {
            path: beside.clone(),
            what: "public key",
            detail: error.to_string(),
        };
        let former =
            files::read(&beside)?.map(|text| serde_json::from_str(&text).map_err(wrong)).transpose()?;
        Ok(TokenKey { pair, id, random, former })
    }

    /// Signs `claims` into a compact JWS.
    pub fn sign(&self, claims: &Claims) -> String {
        let header = serde_json::json!({"alg": "ES256", "kid": self.id});
        let claims = serde_json::to_vec(claims).expect("because claims are plain data");
        let mut token = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims));
        let signature =
            self.pair.sign(&self.random, token.as_bytes()).expect("because the system gives random bytes");
        token.push('.');
        token.push_str(&BASE64.encode(signature.as_ref()));
        token
    }

    /// What verifies this key's tokens.
    pub fn verifier(&self) -> Verifier {
        let own = (self.id.clone(), Public::P256(self.pair.public_key().as_ref().to_vec()));
        let verifier = Verifier { keys: vec![own] };
        match self.former.as_ref().and_then(|former| Some((former, former.parts()?))) {
            Some((former, (modulus, exponent))) => verifier.with_rsa(&former.kid, &modulus, &exponent),
            None => verifier,
        }
    }

    /// The key as a JWK (RFC 7517), for `/openid/v1/jwks`.
    pub fn jwk(&self) -> serde_json::Value {
        let point = self.pair.public_key().as_ref();
        serde_json::json!({
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65]),
        })
    }
}

/// As upstream's: the hash of the DER of the public key.
fn key_id(point: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(SPKI_P256);
    hash.update(point);
    BASE64.encode(hash.finalize())
}

#[derive(Clone)]
enum Public {
    /// An uncompressed point.
    P256(Vec<u8>),
    /// Modulus and exponent, big endian.
    Rsa(Vec<u8>, Vec<u8>),
}

/// The public keys whose tokens are believed.
#[derive(Clone, Default)]
pub struct Verifier {
    keys: Vec<(String, Public)>,
}

impl Verifier {
    /// Adds an RSA public key by modulus and exponent (keys taken over from another cluster).
    pub fn with_rsa(mut self, id: &str, modulus: &[u8], exponent: &[u8]) -> Verifier {
        self.keys.push((id.into(), Public::Rsa(modulus.into(), exponent.into())));
        self
    }

    /// The claims of a token whose signature and dates are good at `now` (seconds since the epoch). Issuer and audience are the
    /// caller's to judge.
    pub fn verify(&self, token: &str, now: i64) -> Result<Claims, BadToken> {
        let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Foreign)?;
        let (header, claims) = signed.split_once('.').ok_or(BadToken::Foreign)?;
        let header = BASE64.decode(header).map_err(|_| BadToken::Foreign)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| BadToken::Foreign)?;
        let claims = BASE64.decode(claims).map_err(|_| BadToken::Foreign)?;
        let signature = BASE64.decode(signature).map_err(|_| BadToken::Foreign)?;
        let good =
            self.keys.iter().filter(|(id, _)| header.kid.is_empty() || *id == header.kid).any(|(_, key)| {
                match (key, header.alg.as_str()) {
                    (Public::P256(point), "ES256") => {
                        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                            .verify(signed.as_bytes(), &signature)
                            .is_ok()
                    }
                    (Public::Rsa(n, e), "RS256") => signature::RsaPublicKeyComponents { n, e }
                        .verify(&signature::RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
                        .is_ok(),
                    _ => false,
                }
            });
        if !good {
            return Err(BadToken::Invalid("the signature does not verify"));
        }
        let claims: Claims =
            serde_json::from_slice(&claims).map_err(|_| BadToken::Invalid("the claims cannot be read"))?;
        // A minute of leeway for a token made by a server whose clock runs ahead.
        match () {
            () if claims.nbf > now + 60 => Err(BadToken::Invalid("service account token is not valid yet")),
            () if claims.exp <= now => Err(BadToken::Invalid("service account token has expired")),
            () => Ok(claims),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_verify_and_expire() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service.key");
        let key = TokenKey::open(&path).unwrap();
        let claims = Claims { aud: vec!["api".into()], exp: 1000, iat: 10, nbf: 10, ..Claims::default() };
        let token = key.sign(&claims);
        let verifier = TokenKey::open(&path).unwrap().verifier();
        assert_eq!(verifier.verify(&token, 500), Ok(claims));
        assert_eq!(
            verifier.verify(&token, 1000).unwrap_err().to_string(),
            "invalid bearer token: service account token has expired"
        );
        assert_eq!(verifier.verify("abc", 500), Err(BadToken::Foreign));
        let other = TokenKey::open(&dir.path().join("other.key")).unwrap();
        assert!(matches!(other.verifier().verify(&token, 500), Err(BadToken::Invalid(_))));
    }
}
