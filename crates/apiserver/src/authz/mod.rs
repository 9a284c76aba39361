//! May they: `system:masters`, then the judges of the AuthorizationConfiguration in its order (the node's own rules and RBAC, where
//! there is none). The first that allows or denies decides.

mod config;

pub(crate) mod node;
pub(crate) mod rbac;
pub(crate) mod selectors;
mod webhook;

use std::sync::Arc;

use api::Resource;

use crate::Identity;
use crate::audit::Entry;
use crate::http::Info;
use crate::identity::MASTERS;
use crate::server::Inner;
use crate::status::{Result, Status};

pub use config::Authorization;
pub(crate) use config::{Authorizer, Authorizers};
pub(crate) use rbac::Rbac;

/// What is asked for: upstream's `authorizer.Attributes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub path: &'a str,
    pub is_resource: bool,
    /// What a list, a watch or a deletecollection is narrowed to, as text.
    pub fields: &'a str,
    pub labels: &'a str,
}

/// Of a resource in any version, named by the rest.
impl Default for Attributes<'_> {
    fn default() -> Self {
        Attributes {
            verb: "",
            group: "",
            version: "*",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: "",
            is_resource: true,
            fields: "",
            labels: "",
        }
    }
}

impl<'a> Attributes<'a> {
    pub fn of(info: &'a Info) -> Attributes<'a> {
        Attributes {
            verb: info.verb,
            group: &info.group,
            version: &info.version,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: &info.path,
            is_resource: info.is_resource,
            fields: &info.fields,
            labels: &info.labels,
        }
    }
}

/// What one judge says, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow(String),
    Deny(String),
    /// The next is asked.
    NoOpinion(String),
}

/// The reasons of those who had no opinion, until one has.
#[derive(Default)]
struct Reasons(Vec<String>);

impl Reasons {
    fn take(&mut self, verdict: Verdict) -> Option<std::result::Result<String, String>> {
        let (reason, decided) = match verdict {
            Verdict::Allow(reason) => return Some(Ok(reason)),
            Verdict::Deny(reason) => (reason, true),
            Verdict::NoOpinion(reason) => (reason, false),
        };
        if !reason.is_empty() {
            self.0.push(reason);
        }
        decided.then(|| Err(self.text()))
    }
    fn text(&self) -> String {
        self.0.join("\n")
    }
}

impl Authorizer {
    /// What is known without a question to anybody.
    fn local(&self, inner: &Inner, identity: &Identity, attributes: &Attributes<'_>) -> Verdict {
        match self {
            Authorizer::Node => of_node(inner, identity, attributes),
            Authorizer::Rbac => match inner.rbac.decide(identity, attributes) {
                Ok(reason) => Verdict::Allow(reason),
                Err(reason) => Verdict::NoOpinion(reason),
            },
            Authorizer::AlwaysAllow => Verdict::Allow(String::new()),
            Authorizer::AlwaysDeny => Verdict::NoOpinion("Everything is forbidden.".into()),
            Authorizer::Webhook(webhook) => webhook.decide_blocking(identity, attributes),
        }
    }
}

fn of_node(inner: &Inner, identity: &Identity, attributes: &Attributes<'_>) -> Verdict {
    let Some(name) = node::name_of(identity) else { return Verdict::NoOpinion(String::new()) };
    match node::decide(inner, name, attributes) {
        node::Verdict::Allow => Verdict::Allow(String::new()),
        // Roles that somebody bound to the node still count.
        node::Verdict::Deny(why) => Verdict::NoOpinion(why),
        node::Verdict::Rules => match inner.rbac.cluster_role_allows("system:node", attributes) {
            true => Verdict::Allow(String::new()),
            false => Verdict::NoOpinion(String::new()),
        },
    }
}

/// Whether `identity` may; with the reason where there is one. For places that may not await: a webhook holds the thread up.
pub(crate) fn decide(
    inner: &Inner,
    identity: &Identity,
    attributes: &Attributes<'_>,
) -> std::result::Result<String, String> {
    if identity.is_in(MASTERS) {
        return Ok(String::new());
    }
    let mut reasons = Reasons::default();
    for judge in &inner.authorizers.load().0 {
        if let Some(decided) = reasons.take(judge.local(inner, identity, attributes)) {
            return decided;
        }
    }
    Err(reasons.text())
}

/// [`decide`], for those who may await.
pub(crate) async fn judge(
    inner: &Inner,
    identity: &Identity,
    attributes: &Attributes<'_>,
) -> std::result::Result<String, String> {
    if identity.is_in(MASTERS) || !inner.authorizers.load().wait() {
        return decide(inner, identity, attributes);
    }
    let judges = inner.authorizers.load_full();
    let mut reasons = Reasons::default();
    for judge in &judges.0 {
        let verdict = match judge {
            Authorizer::Webhook(webhook) => webhook.decide(identity, attributes).await,
            other => other.local(inner, identity, attributes),
        };
        if let Some(decided) = reasons.take(verdict) {
            return decided;
        }
    }
    Err(reasons.text())
}

/// 403 unless `identity` may.
pub(crate) fn require(inner: &Inner, identity: &Identity, attributes: &Attributes<'_>) -> Result<()> {
    match decide(inner, identity, attributes) {
        Ok(_) => Ok(()),
        Err(reason) => Err(refusal(identity, attributes, &reason)),
    }
}

/// [`require`] for a request; the audit log is told of it.
pub(crate) async fn check(
    inner: &Inner,
    identity: &Arc<Identity>,
    info: &Info,
    audit: Option<&Entry>,
) -> Result<()> {
    // What tells whether the server lives is nobody's secret (upstream's --authorization-always-allow-paths).
    if !info.is_resource && matches!(info.path.as_str(), "/healthz" | "/readyz" | "/livez") {
        return Ok(());
    }
    let attributes = Attributes::of(info);
    let decided = judge(inner, identity, &attributes).await;
    if let Some(entry) = audit {
        let (decision, reason) = match &decided {
            Ok(reason) => ("allow", reason),
            Err(reason) => ("forbid", reason),
        };
        entry.annotate("authorization.k8s.io/decision", decision);
        entry.annotate("authorization.k8s.io/reason", reason);
    }
    decided.map(|_| ()).map_err(|reason| refusal(identity, &attributes, &reason))
}

/// Upstream's text (k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go).
pub(crate) fn refusal(identity: &Identity, attributes: &Attributes<'_>, reason: &str) -> Status {
    let user = format!("User {:?}", identity.name);
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if !attributes.is_resource {
        let text = format!("{user} cannot {} path {:?}{reason}", attributes.verb, attributes.path);
        return Status::forbidden(&Resource::new("", ""), "", text);
    }
    let mut resource = attributes.resource.to_string();
    if !attributes.subresource.is_empty() {
        resource = format!("{resource}/{}", attributes.subresource);
    }
    let place = match attributes.namespace {
        "" => "at the cluster scope".to_string(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let text = format!(
        "{user} cannot {} resource {resource:?} in API group {:?} {place}{reason}",
        attributes.verb, attributes.group
    );
    Status::forbidden(&Resource::new(attributes.group, attributes.resource), attributes.name, text)
}
