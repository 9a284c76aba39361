//! Admission: what may be written beside what is valid, and what the cluster adds to it. One plugin a file, upstream's
//! default set (k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go), in upstream's order.
//!
//! Not here yet: LimitRanger, ResourceQuota, NodeRestriction, PodSecurity, storage defaults, webhooks and policies.

mod escalation;
mod lifecycle;
mod priority;
mod runtime_class;
mod service;
mod service_account;
mod taints;
mod tolerations;

use api::Value;

use crate::engine::update::Part;
use crate::engine::{Call, Target, WriteOptions};
use crate::status::Result;

pub(crate) use service::{Hold, Services};

fn is(target: &Target, group: &str, plural: &str) -> bool {
    target.storage.resource.group == group && target.storage.resource.plural == plural
}

/// Before a new object is validated.
pub(crate) async fn create(call: &Call, value: &mut Value, _options: &WriteOptions) -> Result<()> {
    lifecycle::create(call, value).await?;
    if is(&call.target, "", "nodes") {
        taints::create(value);
    }
    if is(&call.target, "", "pods") {
        service_account::create(call, value).await?;
        priority::create(call, value).await?;
        tolerations::add(value);
        runtime_class::create(call, value).await?;
    }
    Ok(())
}

/// Before a changed object is validated.
pub(crate) async fn update(call: &Call, part: Part, _old: &Value, new: &mut Value) -> Result<()> {
    if part == Part::Main && is(&call.target, "", "pods") {
        tolerations::add(new);
    }
    Ok(())
}

pub(crate) async fn delete(call: &Call, name: &str, _old: &Value) -> Result<()> {
    lifecycle::delete(call, name)
}

/// After validation; changes nothing.
pub(crate) fn validate(call: &Call, new: &Value, old: Option<&Value>) -> Result<()> {
    escalation::check(call, new, old)
}

/// Addresses and ports of a Service, held until the write is over.
pub(crate) fn allocate(
    call: &Call,
    old: Option<&Value>,
    new: &mut Value,
    _options: &WriteOptions,
) -> Result<Option<Hold>> {
    match is(&call.target, "", "services") {
        true => service::assign(call, old, new).map(Some),
        false => Ok(None),
    }
}
