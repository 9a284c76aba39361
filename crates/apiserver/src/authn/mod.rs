//! Who asks: the connection's identity, a bearer token, or nobody; and whom they want to be taken for.
//!
//! A bearer token is tried as the cluster's own, then with the issuers of the AuthenticationConfiguration, then with the webhook.

mod config;
mod oidc;
mod protocol;
mod webhook;

use std::collections::HashMap;
use std::sync::Arc;

use api::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use parking_lot::Mutex;
use pki::{BadToken, Claims};

use crate::authz::{self, Attributes};
use crate::identity::{AUTHENTICATED, Identity, UNAUTHENTICATED};
use crate::memo::Memo;
use crate::server::Inner;
use crate::status::{Result, Status};

pub(crate) use config::Authentication;
pub(crate) use protocol::take_token;
pub(crate) use webhook::Answers;
pub use webhook::TokenWebhook;

/// Seconds that the user of an issuer's token is remembered (upstream's token cache).
const SECONDS: i64 = 10;

/// Users of issuers' tokens, with the generation of the configuration by which they were found.
pub(crate) type Users = Memo<(Identity, u64)>;

/// Verified signatures that are remembered: checking one takes longer than the rest of a small request.
const REMEMBERED: usize = 512;

/// Tokens whose signature was good.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, Arc<Claims>>>);

impl Tokens {
    fn verify(&self, inner: &Inner, token: &str) -> std::result::Result<Arc<Claims>, BadToken> {
        let now = inner.clock.now().as_second();
        if let Some(claims) = self.0.lock().get(token).cloned() {
            return match claims.exp > now {
                true => Ok(claims),
                false => Err(BadToken::Invalid("service account token has expired")),
            };
        }
        let claims = Arc::new(inner.verifier.verify(token, now)?);
        let mut all = self.0.lock();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(token.into(), claims.clone());
        Ok(claims)
    }
}

/// The user of a request.
pub(crate) async fn identify(
    inner: &Arc<Inner>,
    vouched: Option<Arc<Identity>>,
    headers: &HeaderMap,
    path: &str,
) -> Result<Arc<Identity>> {
    if let Some(identity) = vouched {
        return Ok(identity);
    }
    let header = headers.get(http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    match token {
        None if header.is_none() && inner.authentication.load().anonymous.at(path) => {
            Ok(inner.anonymous.clone())
        }
        Some(token) if !token.is_empty() => {
            let found = Box::pin(of_any_token(inner, token, &inner.config.audiences)).await;
            let (identity, _) = found.map_err(|_| Status::unauthorized())?;
            Ok(Arc::new(identity))
        }
        _ => Err(Status::unauthorized()),
    }
}

/// The user of a token, whoever made it, and the audiences it is good for, of those in `audiences`; or what each said who was
/// asked.
pub(crate) async fn of_any_token(
    inner: &Arc<Inner>,
    token: &str,
    audiences: &[String],
) -> std::result::Result<(Identity, Vec<String>), Vec<String>> {
    if let Ok(found) = of_token(inner, token, audiences) {
        return Ok(found);
    }
    let mut reasons = vec!["invalid bearer token".to_string()];
    // Issuers know nothing of this API's audiences: their tokens are good for all of them.
    let own: Vec<String> =
        audiences.iter().filter(|own| inner.config.audiences.contains(own)).cloned().collect();
    match of_issuers(inner, token).await {
        Ok(Some(identity)) if !own.is_empty() => return Ok((identity, own)),
        Ok(_) => {}
        Err(why) => reasons.push(why),
    }
    if let Some(webhook) = &inner.config.token_webhook {
        match webhook::identify(inner, webhook, token, audiences).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(why) => reasons.push(why),
        }
    }
    if reasons.len() > 1 {
        tracing::info!(reasons = reasons[1..].join(", "), "a bearer token is not believed");
    }
    Err(reasons)
}

/// The user of a token of an issuer outside.
async fn of_issuers(inner: &Arc<Inner>, token: &str) -> std::result::Result<Option<Identity>, String> {
    let authentication = inner.authentication.load_full();
    if authentication.issuers.is_empty() {
        return Ok(None);
    }
    let (now, generation) = (inner.clock.now().as_second(), authentication.generation);
    if let Some((identity, of)) = inner.users.get(token.as_bytes(), now)
        && of == generation
    {
        return Ok(Some(identity));
    }
    for issuer in &authentication.issuers {
        if let Some(identity) = issuer.identify(inner, token).await? {
            inner.users.put(token.as_bytes(), (identity.clone(), generation), now + SECONDS);
            return Ok(Some(identity));
        }
    }
    Ok(None)
}

/// The user of a token of this cluster and the audiences it is good for, of those in `audiences`.
fn of_token(inner: &Inner, token: &str, audiences: &[String]) -> Result<(Identity, Vec<String>)> {
    let known = inner.config.static_tokens.iter().find(|known| same(&known.token, token));
    let known = known.map(|known| known.identity.clone()).or_else(|| of_bootstrap_token(inner, token));
    if let Some(identity) = known {
        // Such a token says nothing of audiences: it is for this API alone, and for nobody else who asks.
        let own: Vec<String> =
            audiences.iter().filter(|own| inner.config.audiences.contains(own)).cloned().collect();
        return if own.is_empty() { Err(Status::unauthorized()) } else { Ok((identity, own)) };
    }
    let refused = |why: &dyn std::fmt::Display| {
        tracing::debug!(%why, "a bearer token is not believed");
        Status::unauthorized()
    };
    let claims = inner.tokens.verify(inner, token).map_err(|error| refused(&error))?;
    if claims.iss != inner.config.issuer {
        return Err(refused(&"another issuer made it"));
    }
    let good: Vec<String> = claims.aud.iter().filter(|own| audiences.contains(own)).cloned().collect();
    if good.is_empty() {
        return Err(refused(&"it is for another audience"));
    }
    let identity = of_claims(inner, &claims).ok_or_else(|| refused(&"what it is bound to is gone"))?;
    Ok((identity, good))
}

/// Compares in a time that does not tell how much is right.
fn same(known: &str, given: &str) -> bool {
    known.len() == given.len()
        && known.bytes().zip(given.bytes()).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

/// The ServiceAccount of a bound token, if it and what the token is bound to still live.
fn of_claims(inner: &Inner, claims: &Claims) -> Option<Identity> {
    let bound = &claims.kubernetes;
    let lives = |plural: &str, namespace: &str, bound: &pki::Ref| {
        let object = inner.peek("", plural, namespace, &bound.name)?;
        (bound.uid.is_empty() || object.uid.0 == bound.uid).then_some(())
    };
    let namespace = bound.namespace.as_str();
    lives("serviceaccounts", namespace, &bound.serviceaccount)?;
    let mut identity = Identity::service_account(namespace, &bound.serviceaccount.name);
    identity.uid.clone_from(&bound.serviceaccount.uid);
    let mut extra = |name: &str, value: &str| {
        if !value.is_empty() {
            identity.extra.push((format!("authentication.kubernetes.io/{name}"), vec![value.into()]));
        }
    };
    if !claims.jti.is_empty() {
        extra("credential-id", &format!("JTI={}", claims.jti));
    }
    if let Some(node) = &bound.node {
        extra("node-name", &node.name);
        extra("node-uid", &node.uid);
    }
    if let Some(pod) = &bound.pod {
        lives("pods", namespace, pod)?;
        extra("pod-name", &pod.name);
        extra("pod-uid", &pod.uid);
    }
    if let Some(secret) = &bound.secret {
        lives("secrets", namespace, secret)?;
    }
    Some(identity)
}

/// `<id>.<secret>` of a Secret of type `bootstrap.kubernetes.io/token` in kube-system.
fn of_bootstrap_token(inner: &Inner, token: &str) -> Option<Identity> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if id.len() != 6 || secret.len() != 16 || !plain(id) || !plain(secret) {
        return None;
    }
    let object = inner.peek("", "secrets", "kube-system", &format!("bootstrap-token-{id}"))?;
    let value = object.value();
    let field = |name: &str| {
        let text = value.at(&["data", name]).and_then(Value::as_str)?;
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    };
    let fits = value.str_at(&["type"]) == "bootstrap.kubernetes.io/token"
        && !object.deleting
        && field("token-id").as_deref() == Some(id)
        && field("token-secret").is_some_and(|known| same(&known, secret))
        && field("usage-bootstrap-authentication").as_deref() == Some("true");
    if !fits {
        return None;
    }
    if let Some(end) = field("expiration") {
        let end = api::time::parse(&end).ok()?;
        if end.seconds <= inner.clock.now().as_second() {
            return None;
        }
    }
    let mut groups = vec!["system:bootstrappers".to_string()];
    groups.extend(field("auth-extra-groups").iter().flat_map(|text| text.split(',')).map(String::from));
    let groups: Vec<&str> =
        groups.iter().map(String::as_str).filter(|group| group.starts_with("system:bootstrappers")).collect();
    Some(Identity::new(&format!("system:bootstrap:{id}"), &groups))
}

/// Who asks to be nobody, as upstream prints it.
fn nobody(headers: &HeaderMap) -> String {
    let quote = |value: &http::HeaderValue| api::text::quote(&String::from_utf8_lossy(value.as_bytes()));
    let list = |values: &mut dyn Iterator<Item = &http::HeaderValue>| {
        let texts: Vec<String> = values.map(quote).collect();
        if texts.is_empty() { "[]string(nil)".into() } else { format!("[]string{{{}}}", texts.join(", ")) }
    };
    let uid = headers.get("impersonate-uid").map_or_else(|| "\"\"".into(), quote);
    let groups = list(&mut headers.get_all("impersonate-group").iter());
    let mut extra: Vec<String> = headers
        .keys()
        .filter_map(|name| {
            let key = name.as_str().strip_prefix("impersonate-extra-")?;
            let key = crate::http::query::decode(key, false);
            Some(format!("{}:{}", api::text::quote(&key), list(&mut headers.get_all(name).iter())))
        })
        .collect();
    extra.sort();
    let extra = match extra.is_empty() {
        true => "map[string][]string(nil)".to_string(),
        false => format!("map[string][]string{{{}}}", extra.join(", ")),
    };
    format!(
        "requested &user.DefaultInfo{{Name:\"\", UID:{uid}, Groups:{groups}, Extra:{extra}}} without impersonating a user name"
    )
}

/// `Impersonate-*` headers (k8s.io/apiserver/pkg/endpoints/filters/impersonation.go).
pub(crate) fn impersonate(inner: &Inner, asker: Arc<Identity>, headers: &HeaderMap) -> Result<Arc<Identity>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = text("impersonate-user");
    let others = headers.keys().any(|header| header.as_str().starts_with("impersonate-"));
    if !others {
        return Ok(asker);
    }
    if name.is_empty() {
        return Err(Status::bad_request(nobody(headers)));
    }
    let may = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let attributes = Attributes {
            verb: "impersonate",
            group,
            resource,
            subresource,
            namespace,
            name,
            ..Attributes::default()
        };
        authz::require(inner, &asker, &attributes)
    };
    let mut identity = Identity { name: name.into(), ..Identity::default() };
    match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, account)) => {
            may("", "serviceaccounts", "", namespace, account)?;
            identity.groups = vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.into(),
            ];
        }
        None => may("", "users", "", "", name)?,
    }
    let given: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(String::from)
        .collect();
    for group in &given {
        may("", "groups", "", "", group)?;
    }
    if !given.is_empty() {
        identity.groups = given;
    }
    let uid = text("impersonate-uid");
    if !uid.is_empty() {
        may("authentication.k8s.io", "uids", "", "", uid)?;
        identity.uid = uid.into();
    }
    for (header, value) in headers {
        let Some(key) = header.as_str().strip_prefix("impersonate-extra-") else { continue };
        let (key, value) = (crate::http::query::decode(key, false), value.to_str().unwrap_or_default());
        may("authentication.k8s.io", "userextras", &key, "", value)?;
        match identity.extra.iter_mut().find(|(known, _)| *known == *key) {
            Some((_, values)) => values.push(value.into()),
            None => identity.extra.push((key.into_owned(), vec![value.into()])),
        }
    }
    let group = if name == "system:anonymous" { UNAUTHENTICATED } else { AUTHENTICATED };
    if !identity.groups.iter().any(|own| own == AUTHENTICATED || own == UNAUTHENTICATED) {
        identity.groups.push(group.into());
    }
    Ok(Arc::new(identity))
}
