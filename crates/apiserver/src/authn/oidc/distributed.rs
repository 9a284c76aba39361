//! Claims that a token does not hold but names the place of (OpenID Connect Core 1.0, 5.6.2): providers with users of many groups
//! send them so.
//!
//! Invariant: what is fetched is a token of its own, proven as the first one was, by the keys of its own issuer. Only the claim of the
//! groups is looked for. Not here: aggregated claims, whose token lies in the first one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;

use super::keys::Keys;
use super::{Issuer, Unproven, checked_url};
use crate::remote::{Remote, Trust};
use crate::server::Inner;

const PATIENCE: Duration = Duration::from_secs(30);
/// Issuers whose keys are kept; a provider names very few.
const ISSUERS: usize = 16;

pub(super) struct Distributed {
    trust: Trust,
    algorithms: Vec<String>,
    keys: Mutex<HashMap<String, Arc<Keys>>>,
}

impl Distributed {
    pub fn new(trust: Trust, algorithms: Vec<String>) -> Distributed {
        Distributed { trust, algorithms, keys: Mutex::default() }
    }

    /// Puts `claim` among the claims, if they say where it is.
    pub async fn expand(
        &self,
        inner: &Arc<Inner>,
        issuer: &Issuer,
        claims: &mut Value,
        claim: &str,
    ) -> Result<(), String> {
        if claims.get(claim).is_some() {
            return Ok(());
        }
        let Some(names) = claims.get("_claim_names") else { return Ok(()) };
        let sources = claims.get("_claim_sources").ok_or("oidc: no claim sources")?;
        let Some(source) = names.get(claim).and_then(Value::as_str) else { return Ok(()) };
        let place = sources.get(source).ok_or_else(|| {
            format!("id token _claim_names contained a source {source} missing in _claims_sources")
        })?;
        let url = place.str_at(&["endpoint"]);
        if url.is_empty() {
            return Ok(());
        }
        let token = self.fetch(inner, url, place.str_at(&["access_token"])).await;
        let token = token.map_err(|why| format!("while getting distributed claim {claim:?}: {why}"))?;
        let unproven = Unproven::read(token.trim()).ok_or_else(|| {
            format!("getting untrusted issuer from endpoint {url} failed for claim {claim:?}: it is no token")
        })?;
        let keys = self.keys_of(unproven.claims.str_at(&["iss"]))?;
        let found = issuer.proven(inner, &keys, unproven).await;
        let found = found.map_err(|why| format!("verify distributed claim token: {why}"))?;
        let value = found.get(claim).cloned().ok_or_else(|| {
            format!("jwt returned by distributed claim endpoint {url:?} did not contain claim: {claim}")
        })?;
        claims.set(&[claim], value);
        Ok(())
    }

    async fn fetch(&self, inner: &Inner, url: &str, access: &str) -> Result<String, String> {
        checked_url(url, "endpoint").map_err(|wrong| wrong.to_string())?;
        let mut headers = HeaderMap::new();
        if !access.is_empty() {
            let text = HeaderValue::from_str(&format!("Bearer {access}"));
            headers.insert(AUTHORIZATION, text.map_err(|_| "its access token is no header")?);
        }
        let remote = Remote { url: url.into(), service: None, trust: self.trust.clone(), shows: None };
        let answer = inner.send(&remote, Method::GET, "", headers, Bytes::new(), PATIENCE).await?;
        if !answer.code.is_success() {
            return Err(format!("error while getting distributed claim JWT: {}", answer.code));
        }
        String::from_utf8(answer.bytes.to_vec())
            .map_err(|_| "could not decode distributed claim response".into())
    }

    fn keys_of(&self, issuer: &str) -> Result<Arc<Keys>, String> {
        let bad = |why: String| format!("verifying untrusted issuer {issuer} failed: {why}");
        checked_url(issuer, "iss").map_err(|wrong| bad(wrong.to_string()))?;
        let mut all = self.keys.lock();
        if let Some(known) = all.get(issuer) {
            return Ok(known.clone());
        }
        if all.len() >= ISSUERS {
            all.clear();
        }
        let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let keys = Arc::new(Keys::new(issuer.into(), discovery, self.trust.clone(), self.algorithms.clone()));
        all.insert(issuer.into(), keys.clone());
        Ok(keys)
    }
}
