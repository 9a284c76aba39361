//! An issuer's keys: fetched when a token needs one that is not known, and kept. A provider that is away stops nobody whose
//! key was seen; nobody makes this server ask it more often than every ten seconds.

use std::sync::Arc;
use std::time::Duration;

use api::{Value, json};
use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

use crate::remote::{Remote, Trust};
use crate::server::Inner;

/// Seconds between two tries to fetch.
const BETWEEN: i64 = 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// The algorithms that upstream takes.
const KNOWN: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"];

pub(super) struct Keys {
    issuer: String,
    discovery: String,
    trust: Trust,
    /// Those of them that are taken; empty: all.
    algorithms: Vec<String>,
    /// The rows of the JWKS (RFC 7517).
    keys: ArcSwap<Vec<Value>>,
    /// When the last fetch began; held while one runs, so that all wait for the same.
    fetched: tokio::sync::Mutex<i64>,
}

impl Keys {
    pub fn new(issuer: String, discovery: String, trust: Trust, algorithms: Vec<String>) -> Keys {
        let fetched = tokio::sync::Mutex::new(i64::MIN);
        Keys { issuer, discovery, trust, algorithms, keys: ArcSwap::default(), fetched }
    }

    /// The signature over `signed` is of one of the issuer's keys.
    pub async fn verify(
        &self,
        inner: &Arc<Inner>,
        header: &Value,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        let (algorithm, id) = (header.str_at(&["alg"]), header.str_at(&["kid"]));
        let taken = self.algorithms.is_empty() || self.algorithms.iter().any(|own| own == algorithm);
        if !taken || !KNOWN.contains(&algorithm) {
            return Err(format!(
                "oidc: verify token: oidc: id token signed with unsupported algorithm {algorithm:?}"
            ));
        }
        let good = || {
            let keys = self.keys.load();
            let mut fitting = keys.iter().filter(|key| id.is_empty() || key.str_at(&["kid"]) == id);
            fitting.any(|key| verifies(key, algorithm, signed, signature))
        };
        if good() {
            return Ok(());
        }
        let mut last = self.fetched.lock().await;
        // Somebody may have fetched while this one waited.
        if good() {
            return Ok(());
        }
        let now = inner.clock.now().as_second();
        if now >= last.saturating_add(BETWEEN) {
            *last = now;
            self.fetch(inner).await?;
        }
        match good() {
            true => Ok(()),
            false => Err("oidc: verify token: failed to verify id token signature".into()),
        }
    }

    async fn fetch(&self, inner: &Arc<Inner>) -> Result<(), String> {
        let get = async |url: &str| -> Result<Value, String> {
            let remote = Remote { url: url.into(), service: None, trust: self.trust.clone(), shows: None };
            let answer =
                inner.send(&remote, Method::GET, "", HeaderMap::new(), Bytes::new(), PATIENCE).await?;
            match answer.code.is_success() {
                true => json::parse(&answer.bytes).map_err(|error| format!("Get {url:?}: {error}")),
                false => Err(format!("Get {url:?}: {}", answer.code)),
            }
        };
        let provider = get(&self.discovery).await?;
        let issuer = provider.str_at(&["issuer"]);
        if issuer != self.issuer {
            let own = &self.issuer;
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {own:?} got {issuer:?}"
            ));
        }
        let url = provider.str_at(&["jwks_uri"]);
        if !url.starts_with("https://") {
            return Err("provider did not return JWKS URL".into());
        }
        let keys = get(url).await?;
        self.keys.store(Arc::new(super::list(&keys, &["keys"]).to_vec()));
        Ok(())
    }
}

/// The signature is this key's (RFC 7518).
fn verifies(key: &Value, algorithm: &str, signed: &[u8], signature: &[u8]) -> bool {
    let field =
        |name: &str| URL_SAFE_NO_PAD.decode(key.str_at(&[name]).trim_end_matches('=')).unwrap_or_default();
    let declared = key.str_at(&["alg"]);
    if !declared.is_empty() && declared != algorithm || key.str_at(&["use"]) == "enc" {
        return false;
    }
    let rsa: &signature::RsaParameters = match algorithm {
        "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
        "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
        "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
        "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
        "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
        "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
        "ES256" | "ES384" => {
            let (of, curve): (&signature::EcdsaVerificationAlgorithm, _) = match algorithm {
                "ES256" => (&signature::ECDSA_P256_SHA256_FIXED, "P-256"),
                _ => (&signature::ECDSA_P384_SHA384_FIXED, "P-384"),
            };
            let point = [&[4][..], &field("x"), &field("y")].concat();
            return key.str_at(&["crv"]) == curve
                && UnparsedPublicKey::new(of, point).verify(signed, signature).is_ok();
        }
        "ES512" => {
            let point = [&[4][..], &field("x"), &field("y")].concat();
            return key.str_at(&["crv"]) == "P-521" && verifies_p521(&point, signed, signature);
        }
        _ => return false,
    };
    key.str_at(&["kty"]) == "RSA"
        && RsaPublicKeyComponents { n: field("n"), e: field("e") }.verify(rsa, signed, signature).is_ok()
}

/// ring knows no P-521.
fn verifies_p521(point: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    use p521::ecdsa::signature::Verifier;
    use p521::ecdsa::{Signature, VerifyingKey};
    let (Ok(key), Ok(signature)) = (VerifyingKey::from_sec1_bytes(point), Signature::from_slice(signature))
    else {
        return false;
    };
    key.verify(signed, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key and a signature that OpenSSL made.
    #[test]
    fn a_signature_of_es512_is_verified() {
        let key = json::parse(
            br#"{"kty":"EC","crv":"P-521",
            "x":"ABAgRIVejELEy_a-ieBhCQype_L2gj1bSSQii3gawV_44u_IKDblXinz7MTQNqp7WzIv3e8jGRcCcL7svbczXHhg",
            "y":"AVog97n8f8TOO-hHkgJ1UKBIk9PCqhKMr6NYAmuZDIBkaXeQ86g6FF3SN1xuxhW9PAqjbfJQT4d_7oPasVhFOBEu"}"#,
        )
        .unwrap();
        let signature = concat!(
            "AT-f-uhVY3sOJ1ZEvc_2p5QoX8kZSE9mnzFwH_ZtYsRNIDAbVpV4AzSluq1_JkyoyBR7v8JBteTHQH2EpOHGzv_SASqVvv-_75Uv",
            "TD6I073jI9mSAAgAgklqj7_Rtn4DKohlpq-VtJRmZxh9BjKN3zDXA2MR0mLEz3xqKs0E7iqTkfSF"
        );
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(verifies(&key, "ES512", b"head.body", &signature));
        assert!(!verifies(&key, "ES512", b"head.bodx", &signature));
        assert!(!verifies(&key, "ES384", b"head.body", &signature));
    }
}
