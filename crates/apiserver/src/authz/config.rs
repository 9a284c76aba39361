//! An AuthorizationConfiguration (apiserver.config.k8s.io): who judges requests, in which order
//! (k8s.io/apiserver/pkg/apis/apiserver/validation).

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::Value;

use super::webhook::{Conditions, Webhook};
use crate::remote::Peer;
use crate::server::Inner;

/// The configuration and what its kubeconfigs say.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    pub document: Value,
    /// By the path that `connectionInfo.kubeConfigFile` names.
    pub peers: BTreeMap<String, Peer>,
}

/// One judge.
pub(crate) enum Authorizer {
    Node,
    Rbac,
    AlwaysAllow,
    AlwaysDeny,
    Webhook(Arc<Webhook>),
}

/// In the order in which they are asked; `system:masters` is before all.
pub(crate) struct Authorizers(pub Vec<Authorizer>);

#[derive(Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Wrong {
    pub field: String,
    pub why: String,
}

const TYPES: [&str; 5] = ["AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

impl Default for Authorizers {
    fn default() -> Authorizers {
        Authorizers(vec![Authorizer::Node, Authorizer::Rbac])
    }
}

impl Authorizers {
    /// An answer may have to be waited for.
    pub fn wait(&self) -> bool {
        self.0.iter().any(|own| matches!(own, Authorizer::Webhook(_)))
    }

    pub fn parse(settings: &Authorization, inner: &Weak<Inner>) -> Result<Authorizers, Wrong> {
        let document = &settings.document;
        let version = document.str_at(&["apiVersion"]);
        let served =
            version.strip_prefix("apiserver.config.k8s.io/").is_some_and(|own| VERSIONS.contains(&own));
        let wrong = |field: String, why: String| Wrong { field, why };
        if document.str_at(&["kind"]) != "AuthorizationConfiguration" || !served {
            let why = "it is no AuthorizationConfiguration of apiserver.config.k8s.io/v1";
            return Err(wrong("kind".into(), why.into()));
        }
        let rows = document.get("authorizers").and_then(Value::as_array).unwrap_or_default();
        if rows.is_empty() {
            let why = "Required value: at least one authorization mode must be defined";
            return Err(wrong("authorizers".into(), why.into()));
        }
        let (mut all, mut names) = (Vec::new(), Vec::new());
        for (at, row) in rows.iter().enumerate() {
            let (kind, name) = (row.str_at(&["type"]), row.str_at(&["name"]));
            let path = |field: &str| format!("authorizers[{at}].{field}");
            if !TYPES.contains(&kind) {
                let why = format!("Unsupported value: {kind:?}: supported values: {TYPES:?}");
                return Err(wrong(path("type"), why));
            }
            let again = rows[..at].iter().any(|other| other.str_at(&["type"]) == kind);
            if again && kind != "Webhook" {
                return Err(wrong(path("type"), format!("Duplicate value: {kind:?}")));
            }
            if name.is_empty() {
                return Err(wrong(path("name"), "Required value".into()));
            }
            if names.contains(&name) {
                return Err(wrong(path("name"), format!("Duplicate value: {name:?}")));
            }
            if let Some(why) = api::kind::dns_subdomain(name, false) {
                return Err(wrong(
                    path("name"),
                    format!("Invalid value: {name:?}: authorizer name is invalid: {why}"),
                ));
            }
            names.push(name);
            let webhook = row.get("webhook").filter(|own| !own.is_null());
            all.push(match (kind, webhook) {
                ("Webhook", Some(own)) => {
                    let made = parse_webhook(own, name, settings, inner);
                    Authorizer::Webhook(
                        made.map_err(|(field, why)| wrong(path(&format!("webhook.{field}")), why))?,
                    )
                }
                ("Webhook", None) => {
                    return Err(wrong(path("webhook"), "Required value: required when type=Webhook".into()));
                }
                (_, Some(_)) => {
                    return Err(wrong(path("webhook"), "may only be specified when type=Webhook".into()));
                }
                ("Node", None) => Authorizer::Node,
                ("RBAC", None) => Authorizer::Rbac,
                ("AlwaysAllow", None) => Authorizer::AlwaysAllow,
                _ => Authorizer::AlwaysDeny,
            });
        }
        Ok(Authorizers(all))
    }
}

fn parse_webhook(
    own: &Value,
    name: &str,
    settings: &Authorization,
    inner: &Weak<Inner>,
) -> Result<Arc<Webhook>, (String, String)> {
    let duration = |field: &str, most: u64| {
        let text = own.str_at(&[field]);
        let found = api::time::duration::parse(text).ok().and_then(|nanos| u64::try_from(nanos).ok());
        match found.map(Duration::from_nanos) {
            Some(found) if !found.is_zero() && found <= Duration::from_secs(most) => Ok(found),
            None if text.is_empty() => Err((field.to_string(), "Required value".into())),
            _ => Err((field.to_string(), format!("Invalid value: {text:?}: must be > 0s and <= {most}s"))),
        }
    };
    let one_of = |field: &str, known: &[&str]| {
        let text = own.str_at(&[field]);
        match known.contains(&text) {
            true => Ok(text.to_string()),
            false if text.is_empty() => Err((field.to_string(), "Required value".into())),
            false => {
                Err((field.to_string(), format!("Unsupported value: {text:?}: supported values: {known:?}")))
            }
        }
    };
    let conditions = own.get("matchConditions").and_then(Value::as_array).unwrap_or_default();
    if !conditions.is_empty() {
        one_of("matchConditionSubjectAccessReviewVersion", &["v1"])?;
    }
    let remembers = |field: &str| own.get(field).and_then(Value::as_bool).unwrap_or(true);
    let info = |field: &str| own.str_at(&["connectionInfo", field]);
    let peer = match (info("type"), info("kubeConfigFile")) {
        ("KubeConfigFile", "") => Err(("connectionInfo.kubeConfigFile".into(), "Required value".into())),
        ("KubeConfigFile", path) => settings.peers.get(path).cloned().ok_or_else(|| {
            ("connectionInfo.kubeConfigFile".into(), format!("Invalid value: {path:?}: it was not read"))
        }),
        (other, _) => {
            let why = format!("Unsupported value: {other:?}: supported values: [\"KubeConfigFile\"]");
            Err(("connectionInfo.type".into(), why))
        }
    }?;
    // Upstream's limits: a day is more than anybody means.
    const DAY: u64 = 86_400;
    Ok(Arc::new(Webhook {
        name: name.into(),
        peer,
        version: one_of("subjectAccessReviewVersion", &["v1", "v1beta1"])?,
        timeout: duration("timeout", 30)?,
        allowed: remembers("cacheAuthorizedRequests").then_some(duration("authorizedTTL", DAY)?),
        refused: remembers("cacheUnauthorizedRequests").then_some(duration("unauthorizedTTL", DAY)?),
        denies_on_failure: one_of("failurePolicy", &["NoOpinion", "Deny"])? == "Deny",
        conditions: Conditions::parse(conditions).map_err(|why| ("matchConditions".to_string(), why))?,
        answers: Default::default(),
        inner: inner.clone(),
    }))
}
