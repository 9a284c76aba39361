//! Users of OpenID Connect issuers: JWTs of those that an AuthenticationConfiguration (or `--oidc-*`) names
//! (k8s.io/apiserver/plugin/pkg/authenticator/token/oidc).
//!
//! A token is judged by its own issuer alone: signature, expiry, audience, then the claims by mappings and rules. Times are the
//! trusted clock's. Not here: egress selectors.

mod claims;
mod distributed;
mod keys;

use std::sync::Arc;

use api::{Value, json};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use self::claims::Mapper;
pub use self::claims::Wrong;
use self::distributed::Distributed;
use self::keys::Keys;
use crate::Identity;
use crate::remote::Trust;
use crate::server::Inner;

/// Seconds by which `nbf` may be ahead (go-oidc's leeway).
const LEEWAY: i64 = 300;
/// What Google's tokens say of themselves, and where its keys are.
const GOOGLE: (&str, &str) = ("accounts.google.com", "https://accounts.google.com");

/// One issuer.
pub(crate) struct Issuer {
    url: String,
    audiences: Vec<String>,
    keys: Keys,
    mapper: Mapper,
    elsewhere: Distributed,
}

fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    list(value, path).iter().filter_map(Value::as_str).map(String::from).collect()
}

fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    value.at(path).and_then(Value::as_array).unwrap_or_default()
}

/// An URL as issuers and their documents have it.
fn checked_url(url: &str, field: &str) -> Result<(), Wrong> {
    let rest =
        url.strip_prefix("https://").ok_or_else(|| Wrong::new(field, url, "URL scheme must be https"))?;
    let host = rest.split('/').next().unwrap_or_default();
    match () {
        () if host.contains('@') => {
            Err(Wrong::new(field, url, "URL must not contain a username or password"))
        }
        () if rest.contains('?') => Err(Wrong::new(field, url, "URL must not contain a query")),
        () if rest.contains('#') => Err(Wrong::new(field, url, "URL must not contain a fragment")),
        () if host.is_empty() => Err(Wrong::new(field, url, "URL must name a host")),
        () => Ok(()),
    }
}

impl Issuer {
    /// One row of `jwt`. `own`: the issuer of this server's own tokens, which is no other's.
    pub fn parse(row: &Value, path: &str, own: &str) -> Result<Issuer, Wrong> {
        let at = |field: &str| format!("{path}.{field}");
        let url = row.str_at(&["issuer", "url"]).to_string();
        if url.is_empty() {
            return Err(Wrong::required(at("issuer.url")));
        }
        checked_url(&url, &at("issuer.url"))?;
        if url == own {
            let why = format!("URL must not overlap with disallowed issuers: [{own}]");
            return Err(Wrong::new(at("issuer.url"), &url, why));
        }
        let discovery = match row.str_at(&["issuer", "discoveryURL"]) {
            "" => format!("{}/.well-known/openid-configuration", url.trim_end_matches('/')),
            own if own.trim_end_matches('/') == url.trim_end_matches('/') => {
                return Err(Wrong::new(
                    at("issuer.discoveryURL"),
                    own,
                    "discoveryURL must be different from URL",
                ));
            }
            own => {
                checked_url(own, &at("issuer.discoveryURL"))?;
                own.into()
            }
        };
        let audiences = texts(row, &["issuer", "audiences"]);
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(Wrong::required(at("issuer.audiences")));
        }
        match (audiences.len(), row.str_at(&["issuer", "audienceMatchPolicy"])) {
            (_, "MatchAny") | (1, "") => {}
            (1, other) => {
                let why = "audienceMatchPolicy must be empty or MatchAny for single audience";
                return Err(Wrong::new(at("issuer.audienceMatchPolicy"), other, why));
            }
            (_, other) => {
                let why = "audienceMatchPolicy must be MatchAny for multiple audiences";
                return Err(Wrong::new(at("issuer.audienceMatchPolicy"), other, why));
            }
        }
        let egress = row.str_at(&["issuer", "egressSelectorType"]);
        if !egress.is_empty() {
            return Err(Wrong::new(
                at("issuer.egressSelectorType"),
                egress,
                "egress selectors are not served",
            ));
        }
        let trust = match row.str_at(&["issuer", "certificateAuthority"]) {
            "" => Trust::System,
            pem => {
                let trust = Trust::These(pem.into());
                if !pem.contains("-----BEGIN CERTIFICATE-----") {
                    let why = "data does not contain any valid RSA or ECDSA certificates";
                    return Err(Wrong::new(at("issuer.certificateAuthority"), "<omitted>", why));
                }
                crate::tls::check(&trust)
                    .map_err(|why| Wrong::new(at("issuer.certificateAuthority"), "<omitted>", why))?;
                trust
            }
        };
        let algorithms = texts(row, &["issuer", "signingAlgorithms"]);
        let mapper = Mapper::parse(row, path)?;
        let elsewhere = Distributed::new(trust.clone(), algorithms.clone());
        let keys = Keys::new(url.clone(), discovery, trust, algorithms);
        Ok(Issuer { audiences, keys, mapper, url, elsewhere })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The user of a token that is of this issuer; `Ok(None)`: it is somebody else's.
    pub async fn identify(&self, inner: &Arc<Inner>, token: &str) -> Result<Option<Identity>, String> {
        let Some(unproven) = Unproven::read(token) else { return Ok(None) };
        let issuer = unproven.claims.str_at(&["iss"]);
        if issuer != self.url && (issuer, self.url.as_str()) != GOOGLE {
            return Ok(None);
        }
        let mut claims = self.proven(inner, &self.keys, unproven).await?;
        if let Some(claim) = self.mapper.claim_of_groups() {
            let found = self.elsewhere.expand(inner, self, &mut claims, claim).await;
            found.map_err(|why| format!("oidc: could not expand distributed claims: {why}"))?;
        }
        self.mapper.identity(&claims).map(Some)
    }

    /// The claims of a token, once its signature, its times and its audience are good.
    async fn proven(&self, inner: &Arc<Inner>, keys: &Keys, token: Unproven<'_>) -> Result<Value, String> {
        let signature = URL_SAFE_NO_PAD
            .decode(token.signature)
            .map_err(|_| "oidc: verify token: oidc: malformed jwt signature")?;
        keys.verify(inner, &token.header, token.signed, &signature).await?;
        let claims = token.claims;
        let now = inner.clock.now().as_second();
        let number = |name: &str| match claims.get(name) {
            Some(Value::Int(number)) => Some(*number),
            Some(Value::Float(number)) => Some(*number as i64),
            _ => None,
        };
        if number("exp").is_none_or(|end| end <= now) {
            return Err("oidc: verify token: oidc: token is expired".into());
        }
        if number("nbf").is_some_and(|start| start > now + LEEWAY) {
            return Err("oidc: verify token: oidc: current time is before the nbf (not before) time".into());
        }
        let own = |audience: &str| self.audiences.iter().any(|own| own == audience);
        let meant = match claims.get("aud") {
            Some(Value::String(audience)) => own(audience),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).any(own),
            _ => false,
        };
        if !meant {
            return Err(format!("oidc: verify token: oidc: expected audience in {:?}", self.audiences));
        }
        Ok(claims)
    }
}

/// A token that nobody has looked at yet.
struct Unproven<'t> {
    header: Value,
    claims: Value,
    /// Header and claims as they stand in it.
    signed: &'t [u8],
    signature: &'t str,
}

impl<'t> Unproven<'t> {
    fn read(token: &'t str) -> Option<Unproven<'t>> {
        let mut parts = token.split('.');
        let (head, body, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let decode = |part: &str| json::parse(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let signed = &token.as_bytes()[..head.len() + 1 + body.len()];
        Some(Unproven { header: decode(head)?, claims: decode(body)?, signed, signature })
    }
}
