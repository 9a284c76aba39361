//! Admission: what may be written beside what is valid, and what the cluster adds to it. One plugin a file, upstream's
//! set and order (k8s.io/kubernetes/pkg/kubeapiserver/options/plugins.go) in [`ALL`].
//!
//! All plugins that mutate run before validation, all that judge after it, in the same order. When a webhook or policy
//! changed the object, the mutating ones run once more over what the others made of it (reinvocation).

pub(crate) mod admin_access;
mod certificates;
mod default_class;
mod escalation;
mod expression;
mod ingress_class;
mod lifecycle;
mod limit_ranger;
pub mod node_restriction;
mod owner_references;
pub(crate) mod pod_certificates;
mod pod_groups;
pub(crate) mod pod_security;
mod pods;
mod policy;
mod priority;
mod quota;
mod request;
mod runtime_class;
mod service;
mod service_account;
mod storage;
mod taints;
mod tolerations;
pub(crate) mod webhook;

use std::future::Future;
use std::pin::Pin;

use api::{Revision, Value};
use store::Store;

use crate::Config;
use crate::engine::{Call, Target, WriteOptions};
use crate::status::Result;

pub(crate) use request::{Form, Operation, Options, Request};
pub(crate) use service::{Hold, Services};

/// What a plugin answers with.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// One admission plugin.
pub(crate) struct Plugin {
    /// Upstream's, for the flags that turn it on and off.
    pub name: &'static str,
    /// On unless it is turned off.
    pub default: bool,
    /// Asked before anything is allocated for the plugin.
    pub handles: fn(&Request<'_>) -> bool,
    pub mutate: Option<for<'a> fn(&'a Request<'a>, &'a mut Value) -> Answer<'a>>,
    /// The object is missing for deletes.
    pub validate: Option<for<'a> fn(&'a Request<'a>, Option<&'a Value>) -> Answer<'a>>,
}

/// In the order that they run.
static ALL: &[Plugin] = &[
    lifecycle::PLUGIN,
    limit_ranger::PLUGIN,
    service_account::PLUGIN,
    node_restriction::PLUGIN,
    taints::PLUGIN,
    pods::PULL,
    pod_security::PLUGIN,
    pods::SELECTOR,
    priority::PLUGIN,
    tolerations::PLUGIN,
    pods::TOLERATIONS,
    pods::EXTENDED,
    storage::CLASS,
    storage::PROTECTION,
    owner_references::PLUGIN,
    storage::RESIZE,
    runtime_class::PLUGIN,
    certificates::APPROVAL,
    certificates::SIGNING,
    certificates::SUBJECT,
    ingress_class::PLUGIN,
    pods::EXTERNAL,
    pod_groups::PLUGIN,
    policy::MUTATING,
    webhook::MUTATING,
    policy::VALIDATING,
    webhook::VALIDATING,
    quota::PLUGIN,
];

/// The plugins that are on, and what those of them keep that others fill.
pub(crate) struct Admission {
    on: Vec<&'static Plugin>,
    pub hooks: webhook::Hooks,
    pub policies: policy::Policies,
    pub in_flight: quota::InFlight,
}

impl Admission {
    /// Fails on a plugin that is not known, as upstream does at start.
    pub fn new(config: &Config) -> std::result::Result<Admission, String> {
        let known: Vec<&str> = ALL.iter().map(|plugin| plugin.name).collect();
        for name in config.enable_admission.iter().chain(&config.disable_admission) {
            if !known.contains(&name.as_str()) {
                return Err(format!("admission plugin {name:?} is unknown; known are {}", known.join(", ")));
            }
        }
        let named = |list: &[String], plugin: &Plugin| list.iter().any(|name| name == plugin.name);
        let is_on = |plugin: &&Plugin| {
            !named(&config.disable_admission, plugin)
                && (plugin.default || named(&config.enable_admission, plugin))
        };
        Ok(Admission {
            on: ALL.iter().filter(is_on).collect(),
            hooks: webhook::Hooks::default(),
            policies: policy::Policies::default(),
            in_flight: quota::InFlight::default(),
        })
    }

    /// Told of every change of the kinds that plugins keep.
    pub fn observe(&self, resource: &api::Resource, update: &client::Update) {
        if resource.group == "admissionregistration.k8s.io" {
            self.hooks.observe(&resource.plural, update);
            self.policies.observe(&resource.plural, update);
        }
    }
}

/// Before the object is validated.
pub(crate) async fn mutate(request: &Request<'_>, value: &mut Value) -> Result<()> {
    loop {
        for plugin in &request.call.inner.admission.on {
            if let Some(run) = plugin.mutate
                && (plugin.handles)(request)
            {
                run(request, value).await?;
            }
        }
        if !request.again() {
            return Ok(());
        }
    }
}

/// After validation; changes nothing.
pub(crate) async fn validate(request: &Request<'_>, value: Option<&Value>) -> Result<()> {
    if let (Form::Own, Some(value)) = (&request.form, value) {
        escalation::check(request.call, value, request.old)?;
    }
    for plugin in &request.call.inner.admission.on {
        if let Some(run) = plugin.validate
            && (plugin.handles)(request)
        {
            run(request, value).await?;
        }
    }
    Ok(())
}

/// Both, for what is nothing that is stored: options of a connection, an eviction, a binding.
pub(crate) async fn pass(request: &Request<'_>, value: &mut Value) -> Result<()> {
    mutate(request, value).await?;
    validate(request, Some(value)).await
}

/// Addresses and ports of a Service, held until the write is over.
pub(crate) fn allocate(
    call: &Call,
    old: Option<&Value>,
    new: &mut Value,
    _options: &WriteOptions,
) -> Result<Option<Hold>> {
    match has_pool(&call.target) {
        true => service::assign(call, old, new).map(Some),
        false => Ok(None),
    }
}

/// Objects of this kind take addresses and ports, of which there are so many in the cluster.
pub(crate) fn has_pool(target: &Target) -> bool {
    let resource = &target.storage.resource;
    resource.group.is_empty() && resource.plural == "services"
}

/// What is taken is known up to the revision that this gives; `None` for kinds that take nothing. Other servers on the same store
/// take too.
pub(crate) async fn know_pool(call: &Call) -> Result<Option<Revision>> {
    if !has_pool(&call.target) {
        return Ok(None);
    }
    let cache = call.target.cache()?;
    call.inner.catch_up(cache).await?;
    Ok(Some(cache.revision()))
}

/// Writes; what takes something from the pool only if nobody else did since `seen`.
pub(crate) async fn write(
    store: &dyn Store,
    write: store::Write,
    hold: Option<&Hold>,
    seen: Option<Revision>,
) -> std::result::Result<Revision, store::Error> {
    match seen.filter(|_| hold.is_some_and(Hold::takes)) {
        Some(seen) => store.write_from("services", seen, write).await,
        None => store.write(write).await,
    }
}
