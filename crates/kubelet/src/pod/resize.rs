//! In-place resize (KEP-1287): what the cgroups of a running pod have, what they are to have, and what is told of it. Pure.
//!
//! Nothing is kept of it on disk: what is in force the runtime knows, and what a pod had before a resize that does not fit
//! is in the status that was last written.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use runtime::{ContainerId, ContainerStatus, Resources, State};
use serde_json::json;

use super::memory::{Reason, Stage};
use super::spec::{self, Entry, Role};
use super::{View, containers};
use crate::container::resources;
use crate::quantity;

/// Limits to change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    pub pod: Option<PodChange>,
    pub containers: Vec<(ContainerId, Resources)>,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.pod.is_none() && self.containers.is_empty()
    }
}

/// The pod's own limits: while its containers change, and after.
#[derive(Clone, Debug, PartialEq)]
pub struct PodChange {
    pub between: Resources,
    pub wanted: Resources,
}

/// What is to change in place now.
pub fn change(view: &View, entries: &[Entry]) -> Change {
    let mut change = Change::default();
    let mut known = false;
    for (entry, instance) in running(view, entries) {
        known |= instance.resources.is_some();
        if differs(view, entry, instance) && !restarts(view, entry, instance) {
            change.containers.push((instance.id.clone(), wanted(view, entry)));
        }
    }
    let have = view.sandbox.map(|sandbox| &sandbox.spec.resources).filter(|_| known);
    let want = resources::pod(view.pod, view.pids_limit);
    if let Some(have) = have.filter(|have| limits(have) != limits(&want)) {
        change.pod = Some(PodChange { between: larger(have, &want), wanted: want });
    }
    change
}

/// Whether a running container has other limits than its spec asks for.
pub fn differs(view: &View, entry: &Entry, instance: &ContainerStatus) -> bool {
    let have = instance.resources.as_ref().filter(|_| resizable(entry));
    have.is_some_and(|have| limits(have) != limits(&wanted(view, entry)))
}

/// Whether the container's `resizePolicy` wants a restart for what differs.
pub fn restarts(view: &View, entry: &Entry, instance: &ContainerStatus) -> bool {
    let Some(have) = instance.resources.as_ref().filter(|_| resizable(entry)) else { return false };
    let want = wanted(view, entry);
    let (have, want) = (limits(have), limits(&want));
    let changed = |resource: &str| match resource {
        "cpu" => (have.0, have.1) != (want.0, want.1),
        "memory" => have.2 != want.2,
        _ => false,
    };
    let policies = entry.container.resize_policy.iter().flatten();
    policies
        .filter(|policy| policy.restart_policy == "RestartContainer")
        .any(|policy| changed(&policy.resource_name))
}

/// Conditions that tell of a resize: type and why it is stuck, if it is.
pub fn conditions(view: &View, entries: &[Entry]) -> Vec<(&'static str, Option<Reason>)> {
    let mut told = Vec::new();
    if let Some(held) = &view.memory.held {
        told.push(("PodResizePending", Some(held.clone())));
    }
    let restarting = || running(view, entries).any(|(entry, instance)| restarts(view, entry, instance));
    if view.memory.ending.is_none() && (!change(view, entries).is_empty() || restarting()) {
        let reason = match &view.memory.resize {
            Stage::Failed { message, .. } => Some(Reason::new("Error", message.clone())),
            _ => None,
        };
        told.push(("PodResizeInProgress", reason));
    }
    told
}

/// The pod with the resources that it was last told to have; `None` if its spec asks for the same.
pub fn held(pod: &Pod) -> Option<Pod> {
    let mut held = None;
    for entry in spec::containers(pod).iter().filter(|entry| resizable(entry)) {
        let told = containers::prior(pod, entry).and_then(|prior| prior.resources.clone());
        let Some(told) = told.filter(|told| !same(Some(told), entry.container.resources.as_ref())) else {
            continue;
        };
        let spec = held.get_or_insert_with(|| pod.clone()).spec.as_mut()?;
        let all = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
        for container in all.filter(|container| container.name == entry.name()) {
            container.resources = Some(told.clone());
        }
    }
    held
}

/// Whether the node holds a resize of the pod back.
pub fn is_held(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "PodResizePending")
}

/// The text of an event about a resize, as upstream writes it.
pub fn summary(text: &str, pod: &Pod, error: Option<&str>) -> String {
    let of = |wanted: &[Role]| -> Vec<serde_json::Value> {
        let entries = spec::containers(pod).into_iter().filter(|entry| wanted.contains(&entry.role));
        entries
            .map(|entry| json!({"name": entry.name(), "resources": entry.container.resources.clone().unwrap_or_default()}))
            .collect()
    };
    let mut told = serde_json::Map::new();
    let init = of(&[Role::Init, Role::Sidecar]);
    if !init.is_empty() {
        told.insert("initContainers".into(), init.into());
    }
    told.insert("containers".into(), of(&[Role::Main]).into());
    told.insert("generation".into(), pod.metadata.generation.unwrap_or_default().into());
    if let Some(error) = error {
        told.insert("error".into(), error.into());
    }
    format!("{text}: {}", serde_json::Value::Object(told))
}

fn resizable(entry: &Entry) -> bool {
    matches!(entry.role, Role::Main | Role::Sidecar)
}

fn running<'a>(
    view: &'a View,
    entries: &'a [Entry],
) -> impl Iterator<Item = (&'a Entry<'a>, &'a ContainerStatus)> {
    entries.iter().filter(|entry| resizable(entry)).filter_map(|entry| {
        let newest = containers::instances(view.sandbox, entry.name()).first().copied()?;
        (newest.state == State::Running).then_some((entry, newest))
    })
}

fn wanted(view: &View, entry: &Entry) -> Resources {
    resources::container(view.pod, &entry.container, view.node_memory)
}

/// What a resize may change: shares, quota and memory, with one word for no limit.
fn limits(resources: &Resources) -> (u64, i64, i64) {
    let or_none = |limit: Option<i64>| limit.filter(|limit| *limit > 0).unwrap_or(-1);
    (resources.cpu_shares, or_none(resources.cpu_quota), or_none(resources.memory_limit))
}

fn larger(one: &Resources, other: &Resources) -> Resources {
    let most = |one: Option<i64>, other: Option<i64>| match (one, other) {
        (Some(one), Some(other)) if one > 0 && other > 0 => Some(one.max(other)),
        _ => None,
    };
    let cpu_quota = most(one.cpu_quota, other.cpu_quota);
    Resources {
        cpu_shares: one.cpu_shares.max(other.cpu_shares),
        cpu_quota,
        cpu_period: cpu_quota.and(other.cpu_period),
        memory_limit: most(one.memory_limit, other.memory_limit),
        ..other.clone()
    }
}

/// Whether two lists of requests and limits mean the same: `1` is `1000m`.
fn same(one: Option<&ResourceRequirements>, other: Option<&ResourceRequirements>) -> bool {
    type List = BTreeMap<String, Quantity>;
    let read = |list: Option<&List>| -> BTreeMap<String, Option<i64>> {
        let all = list.into_iter().flatten();
        all.map(|(name, quantity)| (name.clone(), quantity::milli(&quantity.0))).collect()
    };
    let requests = |of: Option<&ResourceRequirements>| read(of.and_then(|of| of.requests.as_ref()));
    let limits = |of: Option<&ResourceRequirements>| read(of.and_then(|of| of.limits.as_ref()));
    requests(one) == requests(other) && limits(one) == limits(other)
}
