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

/// What ring verifies of the algorithms that upstream takes (ES512 is none of them).
const KNOWN: [&str; 8] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384"];

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
        _ => return false,
    };
    key.str_at(&["kty"]) == "RSA"
        && RsaPublicKeyComponents { n: field("n"), e: field("e") }.verify(rsa, signed, signature).is_ok()
}
