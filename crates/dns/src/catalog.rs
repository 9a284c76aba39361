//! What the caches know, as DNS asks for it: a Service by name, its endpoints, and whose an address is.
//!
//! Objects are decoded for each question, as they are small; kept are only their keys by Service and by address.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use api::object::Change;
use api::{Key, Object};
use client::{Cache, Subscription, decode};
use parking_lot::RwLock;
use serde::Deserialize;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A Service, as far as names go.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Empty if it is headless.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) headless: bool,
    /// The target of an ExternalName.
    pub(crate) external: Option<String>,
    pub(crate) ports: Vec<Port>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Port {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) protocol: Option<String>,
}

/// A ready endpoint.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: IpAddr,
    /// The label before the Service's name: the hostname, or the address with dashes.
    pub(crate) label: String,
    pub(crate) ports: Arc<Vec<Port>>,
}

#[derive(Deserialize)]
struct ServiceObject {
    spec: Option<ServiceSpec>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceSpec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    external_name: String,
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
struct SliceObject {
    #[serde(default)]
    endpoints: Option<Vec<SliceEndpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
struct SliceEndpoint {
    addresses: Vec<String>,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    conditions: Option<Conditions>,
}

#[derive(Deserialize)]
struct Conditions {
    ready: Option<bool>,
}

/// See the module.
pub(crate) struct Catalog {
    services: Arc<Cache>,
    slices: Arc<Cache>,
    namespaces: Option<Arc<Cache>>,
    index: RwLock<Index>,
}

#[derive(Default)]
struct Index {
    /// Slices by `<namespace>/<Service>`.
    slices: HashMap<String, BTreeSet<Key>>,
    /// Services and slices by the addresses in them.
    addresses: HashMap<IpAddr, BTreeSet<Key>>,
    /// Under what a key is filed.
    filed: HashMap<Key, (Option<String>, Vec<IpAddr>)>,
}

impl Index {
    fn put(&mut self, object: &Arc<Object>) {
        self.remove(&object.key);
        let (service, addresses) = if object.key.resource().plural == "services" {
            (None, service(object).map(|service| service.addresses).unwrap_or_default())
        } else {
            let label = object.labels.iter().find(|(key, _)| key == SERVICE_NAME);
            let Some((_, name)) = label else { return };
            let found = endpoints(object).into_iter().map(|endpoint| endpoint.address).collect();
            (Some(format!("{}/{name}", object.key.namespace())), found)
        };
        if let Some(name) = &service {
            self.slices.entry(name.clone()).or_default().insert(object.key.clone());
        }
        for address in &addresses {
            self.addresses.entry(*address).or_default().insert(object.key.clone());
        }
        self.filed.insert(object.key.clone(), (service, addresses));
    }

    fn remove(&mut self, key: &Key) {
        let Some((service, addresses)) = self.filed.remove(key) else { return };
        if let Some(name) = service {
            let keys = self.slices.entry(name.clone()).or_default();
            keys.remove(key);
            if keys.is_empty() {
                self.slices.remove(&name);
            }
        }
        for address in addresses {
            let keys = self.addresses.entry(address).or_default();
            keys.remove(key);
            if keys.is_empty() {
                self.addresses.remove(&address);
            }
        }
    }
}

/// A change in one of the two caches.
pub(crate) struct Watch {
    services: Subscription,
    slices: Subscription,
}

impl Catalog {
    pub(crate) fn new(services: Arc<Cache>, slices: Arc<Cache>, namespaces: Option<Arc<Cache>>) -> Catalog {
        Catalog { services, slices, namespaces, index: RwLock::default() }
    }

    /// The caches had their first fill: before that, a name that is not found may yet exist.
    pub(crate) fn synced(&self) -> bool {
        self.services.synced() && self.slices.synced()
    }

    /// Indexes what there is.
    pub(crate) fn watch(&self) -> Watch {
        let (services, service_events) = self.services.watch();
        let (slices, slice_events) = self.slices.watch();
        let mut index = Index::default();
        for object in services.iter().chain(slices.iter()) {
            index.put(object);
        }
        *self.index.write() = index;
        Watch { services: service_events, slices: slice_events }
    }

    /// Keeps the index up to date for ever, or until the caches are closed.
    pub(crate) async fn follow(&self, mut watch: Watch) {
        loop {
            let events = tokio::select! {
                events = watch.services.next() => events,
                events = watch.slices.next() => events,
            };
            match events {
                Ok(events) => {
                    let mut index = self.index.write();
                    for event in &events {
                        match &event.change {
                            Change::Put { object, .. } => index.put(object),
                            Change::Delete { object, .. } => index.remove(&object.key),
                        }
                    }
                }
                Err(_) if self.services.is_closed() || self.slices.is_closed() => return,
                Err(_) => watch = self.watch(),
            }
        }
    }

    /// Without a cache of namespaces every one counts as there.
    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|cache| !cache.synced() || cache.get("", name).is_some())
    }

    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<Service> {
        service(&self.services.get(namespace, name)?)
    }

    /// The ready endpoints of a Service, each address once for each set of ports.
    pub(crate) fn endpoints(&self, namespace: &str, name: &str) -> Vec<Endpoint> {
        let keys = self.index.read().slices.get(&format!("{namespace}/{name}")).cloned().unwrap_or_default();
        keys.iter().filter_map(|key| self.slices.get_key(key)).flat_map(|object| endpoints(&object)).collect()
    }

    /// The names, below `svc`, that an address has: that of the Service whose it is, else of each endpoint with it.
    pub(crate) fn names(&self, address: IpAddr) -> Vec<Vec<String>> {
        let keys = self.index.read().addresses.get(&address).cloned().unwrap_or_default();
        let mut names = Vec::new();
        for key in &keys {
            if let Some(service) = self.services.get_key(key).as_ref().and_then(service) {
                return vec![vec![service.name, service.namespace]];
            }
            let Some(slice) = self.slices.get_key(key) else { continue };
            let Some((_, service)) = slice.labels.iter().find(|(key, _)| key == SERVICE_NAME) else {
                continue;
            };
            for endpoint in endpoints(&slice).into_iter().filter(|endpoint| endpoint.address == address) {
                let name = vec![endpoint.label, service.to_string(), key.namespace().to_owned()];
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

fn service(object: &Arc<Object>) -> Option<Service> {
    let spec = decode::<ServiceObject>(object)?.spec.unwrap_or_default();
    let external = (spec.kind == "ExternalName").then_some(spec.external_name);
    let all = spec.cluster_ips.unwrap_or_else(|| vec![spec.cluster_ip.clone()]);
    Some(Service {
        namespace: object.key.namespace().to_owned(),
        name: object.key.name().to_owned(),
        addresses: all.iter().filter_map(|text| text.parse().ok()).collect(),
        headless: spec.cluster_ip == "None",
        external,
        ports: spec.ports.unwrap_or_default(),
    })
}

fn endpoints(slice: &Arc<Object>) -> Vec<Endpoint> {
    let Some(slice) = decode::<SliceObject>(slice) else { return Vec::new() };
    let ports = Arc::new(slice.ports.unwrap_or_default());
    let ready = |endpoint: &SliceEndpoint| {
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
    };
    let mut found = Vec::new();
    for endpoint in slice.endpoints.unwrap_or_default().into_iter().filter(ready) {
        for address in endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
            let hostname = endpoint.hostname.clone().filter(|name| !name.is_empty());
            let label = hostname.unwrap_or_else(|| address.to_string().replace(['.', ':'], "-"));
            found.push(Endpoint { address, label, ports: ports.clone() });
        }
    }
    found
}
