//! May they: `system:masters`, the node's own rules, RBAC, in that order; the first to allow decides.

pub(crate) mod node;
pub(crate) mod rbac;

use std::sync::Arc;

use api::Resource;

use crate::Identity;
use crate::http::Info;
use crate::identity::MASTERS;
use crate::server::Inner;
use crate::status::{Result, Status};

pub(crate) use rbac::Rbac;

/// What is asked for: upstream's `authorizer.Attributes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub path: &'a str,
    pub is_resource: bool,
}

impl<'a> Attributes<'a> {
    pub fn of(info: &'a Info) -> Attributes<'a> {
        Attributes {
            verb: info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: &info.path,
            is_resource: info.is_resource,
        }
    }
}

/// Whether `identity` may; with the reason where there is one.
pub(crate) fn decide(
    inner: &Inner,
    identity: &Identity,
    attributes: &Attributes<'_>,
) -> std::result::Result<String, String> {
    if identity.is_in(MASTERS) {
        return Ok(String::new());
    }
    if let Some(name) = node::name_of(identity) {
        match node::decide(inner, name, attributes) {
            node::Verdict::Allow => return Ok(String::new()),
            // Roles that somebody bound to the node still count.
            node::Verdict::Deny(why) => return inner.rbac.decide(identity, attributes).map_err(|_| why),
            node::Verdict::Rules if inner.rbac.cluster_role_allows("system:node", attributes) => {
                return Ok(String::new());
            }
            node::Verdict::Rules => {}
        }
    }
    inner.rbac.decide(identity, attributes)
}

/// 403 unless `identity` may.
pub(crate) fn require(inner: &Inner, identity: &Identity, attributes: &Attributes<'_>) -> Result<()> {
    match decide(inner, identity, attributes) {
        Ok(_) => Ok(()),
        Err(reason) => Err(refusal(identity, attributes, &reason)),
    }
}

/// [`require`] for a request.
pub(crate) fn check(inner: &Inner, identity: &Arc<Identity>, info: &Info) -> Result<()> {
    // What tells whether the server lives is nobody's secret (upstream's --authorization-always-allow-paths).
    if !info.is_resource && matches!(info.path.as_str(), "/healthz" | "/readyz" | "/livez") {
        return Ok(());
    }
    require(inner, identity, &Attributes::of(info))
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
