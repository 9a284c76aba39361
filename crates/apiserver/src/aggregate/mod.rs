//! Aggregation: groups and versions that other servers in the cluster serve, by APIService (k8s.io/kube-aggregator).
//!
//! Requests are authenticated and authorized here, and go on with the user in headers that the other server believes because
//! of this server's front-proxy certificate. A task asks each server whether it answers, writes the `Available` condition and
//! keeps its list of resources, which discovery here is merged of. Groups of this server's own are Local APIServices.

mod availability;
mod discovery;
mod local;
pub(crate) mod openapi;
mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Value;
use arc_swap::ArcSwap;
use client::Update;
use parking_lot::Mutex;

pub(crate) use availability::start;
pub(crate) use discovery::{group, merge};
pub(crate) use proxy::forward;

use crate::remote::Trust;

/// An APIService with a Service behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: String,
    pub group: String,
    pub version: String,
    /// Namespace, name and port.
    pub service: (String, String, u16),
    pub trust: Trust,
    pub group_priority: i64,
    pub version_priority: i64,
    pub available: bool,
}

impl Entry {
    fn of(value: &Value) -> Option<Entry> {
        use base64::Engine;
        let spec = value.get("spec")?;
        let service = spec.get("service").filter(|service| !service.is_null())?;
        let number = |name: &str| spec.get(name).and_then(Value::as_int).unwrap_or(0);
        let bundle = base64::engine::general_purpose::STANDARD.decode(spec.str_at(&["caBundle"])).ok();
        let bundle = bundle.and_then(|bytes| String::from_utf8(bytes).ok()).filter(|pem| !pem.is_empty());
        let insecure = spec.get("insecureSkipTLSVerify").and_then(Value::as_bool) == Some(true);
        Some(Entry {
            name: value.str_at(&["metadata", "name"]).into(),
            group: spec.str_at(&["group"]).into(),
            version: spec.str_at(&["version"]).into(),
            service: (
                service.str_at(&["namespace"]).into(),
                service.str_at(&["name"]).into(),
                service
                    .get("port")
                    .and_then(Value::as_int)
                    .and_then(|port| u16::try_from(port).ok())
                    .unwrap_or(443),
            ),
            trust: match (insecure, bundle) {
                (true, _) => Trust::Anyone,
                (false, Some(pem)) => Trust::These(pem),
                (false, None) => Trust::System,
            },
            group_priority: number("groupPriorityMinimum"),
            version_priority: number("versionPriority"),
            available: api::pod::condition(value, "Available")
                .is_some_and(|condition| condition.str_at(&["status"]) == "True"),
        })
    }

    /// The name that its certificate has to have.
    pub fn host(&self) -> String {
        format!("{}.{}.svc", self.service.1, self.service.0)
    }
}

/// What is aggregated, and what was learnt of it.
#[derive(Default)]
pub(crate) struct Aggregated {
    known: Mutex<BTreeMap<String, Arc<Entry>>>,
    /// By group and version.
    entries: ArcSwap<BTreeMap<(String, String), Arc<Entry>>>,
    /// APIResourceLists by name of the APIService.
    resources: Mutex<BTreeMap<String, Arc<Value>>>,
}

impl Aggregated {
    pub fn observe(&self, resource: &api::Resource, update: &Update) {
        if resource.group != "apiregistration.k8s.io" || resource.plural != "apiservices" {
            return;
        }
        let mut known = self.known.lock();
        match update {
            Update::Put(object) => match Entry::of(&object.value()) {
                Some(entry) => drop(known.insert(object.name().into(), Arc::new(entry))),
                None => drop(known.remove(object.name())),
            },
            Update::Delete(object) => {
                known.remove(object.name());
                self.resources.lock().remove(object.name());
            }
        }
        let entries =
            known.values().map(|entry| ((entry.group.clone(), entry.version.clone()), entry.clone()));
        self.entries.store(Arc::new(entries.collect()));
    }

    pub fn is_empty(&self) -> bool {
        self.entries.load().is_empty()
    }

    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.load().values().cloned().collect()
    }

    /// Who serves a group and version, if it is not this server.
    pub fn of_version(&self, group: &str, version: &str) -> Option<Arc<Entry>> {
        self.entries.load().get(&(group.to_string(), version.to_string())).cloned()
    }

    /// Who serves a path, if it is not this server.
    pub fn of_path(&self, path: &str) -> Option<Arc<Entry>> {
        let entries = self.entries.load();
        if entries.is_empty() {
            return None;
        }
        let mut parts = path.strip_prefix("/apis/")?.splitn(3, '/');
        let (group, version) = (parts.next()?, parts.next()?);
        entries.get(&(group.to_string(), version.to_string())).cloned()
    }

    fn learn(&self, name: &str, resources: Option<Value>) {
        let mut all = self.resources.lock();
        match resources {
            Some(resources) => drop(all.insert(name.into(), Arc::new(resources))),
            None => drop(all.remove(name)),
        }
    }

    /// Available entries with their resources.
    fn served(&self) -> Vec<(Arc<Entry>, Arc<Value>)> {
        let resources = self.resources.lock();
        let entries = self.entries.load();
        entries
            .values()
            .filter(|entry| entry.available)
            .filter_map(|entry| Some((entry.clone(), resources.get(&entry.name)?.clone())))
            .collect()
    }
}
