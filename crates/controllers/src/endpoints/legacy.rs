//! The Endpoints object of a Service: what clients older than EndpointSlices read. Upstream still writes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Key, Resource};
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::second;
use client::{Action, Cache, Delete, Reconciler, Watch};
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::backend::{Backend, Port};
use super::{HEADLESS, TRIGGER_TIME};
use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "endpoints",
    account: "endpoint-controller",
    workers: 5,
    make: |context| {
        Some(Arc::new(Legacy {
            services: context.cache::<Service>()?,
            pods: context.cache::<Pod>()?,
            endpoints: context.cache::<Endpoints>()?,
            context,
        }))
    },
};

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses that one object holds, at most.
const MOST: usize = 1000;

struct Legacy {
    services: Arc<Cache>,
    pods: Arc<Cache>,
    endpoints: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Legacy {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        let services = self.services.clone();
        let same_name = move |change: &api::object::Change, add: &mut dyn FnMut(Key)| {
            let key = &change.object().key;
            add(Key::new(services.resource(), key.namespace(), key.name()));
        };
        vec![
            Watch::own(&self.services),
            super::selecting(&self.pods, &self.services),
            Watch::by(&self.endpoints, same_name),
        ]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let resource = Resource::new("", "endpoints");
        let own = Key::new(&resource, key.namespace(), key.name());
        let existing = self.endpoints.get_key(&own);
        let writer = &self.context.writer;
        let Some(service) = self.services.get_key(key) else {
            // Only what this controller wrote: endpoints without a Service are somebody's own (leader election).
            let ours = existing
                .filter(|object| client::labels::Labels::label(&**object, MANAGED_BY) == Some(MANAGER));
            if let Some(object) = ours {
                let options = Delete { uid: Some(&object.uid.0), ..Delete::default() };
                client::writer::gone_is_fine(writer.delete(&own, options).await)?;
            }
            return Ok(Action::Done);
        };
        let Some(selector) = super::selector(&service) else { return Ok(Action::Done) };
        let Some(typed) = client::decode::<Service>(&service) else { return Ok(Action::Done) };
        let is_external = typed.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
        if service.deleting || is_external {
            return Ok(Action::Done);
        }
        let pods = super::selected(&self.pods, key.namespace(), &selector);
        let pods = pods.iter().filter_map(client::decode::<Pod>);
        let backends: Vec<Backend> = pods.filter_map(|pod| Backend::of(&typed, &pod)).collect();
        let wanted = wanted(&typed, &backends);
        let now = second(self.context.clock.now());
        let written = match existing {
            None => {
                let mut new = wanted;
                let annotations = new.metadata.annotations.get_or_insert_default();
                annotations.insert(TRIGGER_TIME.into(), now);
                writer.create(&resource, key.namespace(), &new).await
            }
            Some(object) => {
                let Some(is) = client::decode::<Endpoints>(&object) else { return Ok(Action::Done) };
                let over = |endpoints: &Endpoints| {
                    endpoints.metadata.annotations.as_ref().and_then(|all| all.get(OVER_CAPACITY)).cloned()
                };
                let same = is.subsets.as_deref().unwrap_or(&[]) == wanted.subsets.as_deref().unwrap_or(&[])
                    && is.metadata.labels == wanted.metadata.labels
                    && over(&is) == over(&wanted);
                if same {
                    return Ok(Action::Done);
                }
                let mut labels = json!(wanted.metadata.labels);
                for gone in is.metadata.labels.iter().flat_map(BTreeMap::keys) {
                    if labels.get(gone).is_none() {
                        labels[gone] = serde_json::Value::Null;
                    }
                }
                let annotations = json!({ TRIGGER_TIME: now, OVER_CAPACITY: over(&wanted) });
                let change = json!({
                    "metadata": { "labels": labels, "annotations": annotations },
                    "subsets": wanted.subsets,
                });
                writer.update(&object, "", &change).await
            }
        };
        match written {
            Err(error) if !error.is_not_found() && !error.namespace_terminating() => Err(error.into()),
            _ => Ok(Action::Done),
        }
    }
}

/// The object as it should be, but for the time.
pub fn wanted(service: &Service, backends: &[Backend]) -> Endpoints {
    let spec = service.spec.clone().unwrap_or_default();
    let family = spec.ip_families.iter().flatten().next().cloned().unwrap_or_else(|| "IPv4".into());
    let headless = spec.cluster_ip.as_deref() == Some("None");
    let publish = spec.publish_not_ready_addresses == Some(true);
    let mut subsets: BTreeMap<Vec<Port>, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    let mut room = MOST;
    let mut over = false;
    // Ready ones first, so that they are what is kept of too many.
    let mut backends: Vec<&Backend> = backends.iter().filter(|one| publish || !one.terminating).collect();
    backends.sort_by_key(|one| (!one.ready, one.address(&family).map(str::to_string)));
    for backend in backends {
        let Some(ip) = backend.address(&family) else { continue };
        // Only a headless Service may have no ports.
        if backend.ports.is_empty() && !headless {
            continue;
        }
        if room == 0 {
            over = true;
            break;
        }
        room -= 1;
        let address = EndpointAddress {
            ip: ip.into(),
            hostname: backend.hostname.clone(),
            node_name: backend.node.clone(),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".into()),
                namespace: Some(backend.namespace.clone()),
                name: Some(backend.name.clone()),
                uid: Some(backend.uid.clone()),
                ..ObjectReference::default()
            }),
        };
        let (ready, not_ready) = subsets.entry(backend.ports.clone()).or_default();
        if backend.ready { ready } else { not_ready }.push(address);
    }
    let some = |list: Vec<EndpointAddress>| (!list.is_empty()).then_some(list);
    let subsets: Vec<EndpointSubset> = subsets
        .into_iter()
        .map(|(ports, (ready, not_ready))| EndpointSubset {
            addresses: some(ready),
            not_ready_addresses: some(not_ready),
            ports: (!ports.is_empty()).then(|| ports.into_iter().map(port).collect()),
        })
        .collect();
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if headless {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            labels: Some(labels),
            annotations: over.then(|| BTreeMap::from([(OVER_CAPACITY.into(), "truncated".into())])),
            ..ObjectMeta::default()
        },
        subsets: (!subsets.is_empty()).then_some(subsets),
    }
}

fn port(port: Port) -> EndpointPort {
    EndpointPort {
        name: Some(port.name).filter(|name| !name.is_empty()),
        protocol: Some(port.protocol),
        port: port.number,
        app_protocol: port.app_protocol,
    }
}
