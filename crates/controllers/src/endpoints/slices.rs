//! EndpointSlices: at most a hundred endpoints each, of one address family and one set of ports.
//!
//! Endpoints stay in the slice that they are in, so that a change rewrites one slice and not all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::Key;
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::second;
use client::{Action, Cache, Reconciler, Watch};
use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::backend::{Backend, Port};
use super::{HEADLESS, MANAGED_BY, Plan, SERVICE_NAME, TRIGGER_TIME};
use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "endpointslice",
    account: "endpointslice-controller",
    workers: 5,
    make: |context| {
        Some(Arc::new(Slices {
            services: context.cache::<Service>()?,
            pods: context.cache::<Pod>()?,
            slices: context.cache::<EndpointSlice>()?,
            nodes: context.cache::<Node>()?,
            context,
        }))
    },
};

const MANAGER: &str = "endpointslice-controller.k8s.io";
const MOST: usize = 100;

struct Slices {
    services: Arc<Cache>,
    pods: Arc<Cache>,
    slices: Arc<Cache>,
    nodes: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Slices {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::own(&self.services),
            super::selecting(&self.pods, &self.services),
            super::labelled(&self.slices, &self.services),
        ]
    }
    fn reads(&self) -> Vec<Arc<Cache>> {
        vec![self.nodes.clone()]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        // The slices of a Service that is gone go by their owner reference.
        let Some(object) = self.services.get_key(key).filter(|object| !object.deleting) else {
            return Ok(Action::Done);
        };
        let Some(service) = client::decode::<Service>(&object) else { return Ok(Action::Done) };
        let namespace = key.namespace();
        let mine = |object: &api::Object| {
            let label = |name| client::labels::Labels::label(object, name);
            label(SERVICE_NAME) == Some(key.name()) && label(MANAGED_BY) == Some(MANAGER)
        };
        let snapshot = self.slices.snapshot();
        let existing = snapshot.range(namespace, None).filter(|object| mine(object) && !object.deleting);
        let existing: Vec<EndpointSlice> = existing.filter_map(client::decode).collect();
        drop(snapshot);
        let mut zones = HashMap::new();
        let backends = super::selector(&object).map(|selector| {
            let pods = super::selected(&self.pods, namespace, &selector);
            let pods = pods.iter().filter_map(client::decode::<Pod>);
            pods.filter_map(|pod| Backend::of(&service, &pod)).collect::<Vec<_>>()
        });
        for node in backends.iter().flatten().filter_map(|backend| backend.node.as_ref()) {
            if let Some(object) = self.nodes.get("", node) {
                let zone = client::labels::Labels::label(&*object, "topology.kubernetes.io/zone");
                zones.extend(zone.map(|zone| (node.clone(), zone.to_string())));
            }
        }
        let mut plan = plan(&service, backends.as_deref(), &existing, &zones);
        let now = second(self.context.clock.now());
        for slice in plan.create.iter_mut().chain(&mut plan.update) {
            slice.metadata.annotations.get_or_insert_default().insert(TRIGGER_TIME.into(), now.clone());
        }
        plan.carry_out(&self.context.writer, namespace).await?;
        Ok(Action::Done)
    }
}

type Group = (String, Vec<Port>);

/// `backends` is `None` for a Service without a selector, whose slices somebody else writes.
pub fn plan(
    service: &Service,
    backends: Option<&[Backend]>,
    existing: &[EndpointSlice],
    zones: &HashMap<String, String>,
) -> Plan {
    let Some(spec) = service.spec.as_ref() else { return Plan::default() };
    let (external, none) = (spec.type_.as_deref() == Some("ExternalName"), backends.is_none());
    if external || none {
        // It lost its selector: what was written for it is not true any more.
        return Plan { delete: if external { existing.to_vec() } else { Vec::new() }, ..Plan::default() };
    }
    let families = spec.ip_families.clone().filter(|families| !families.is_empty());
    let families = families.unwrap_or_else(|| vec!["IPv4".into()]);
    let mut wanted: BTreeMap<Group, BTreeMap<String, Endpoint>> = BTreeMap::new();
    for backend in backends.into_iter().flatten() {
        for family in &families {
            let Some(address) = backend.address(family) else { continue };
            let group = wanted.entry((family.clone(), backend.ports.clone())).or_default();
            group.insert(backend.uid.clone(), endpoint(backend, address, zones));
        }
    }
    // A family without any endpoint keeps one empty slice, so that readers know it was looked at.
    for family in &families {
        if !wanted.keys().any(|(of, _)| of == family) {
            wanted.insert((family.clone(), Vec::new()), BTreeMap::new());
        }
    }
    let mut plan = Plan::default();
    let mut groups: BTreeMap<Group, Vec<EndpointSlice>> = BTreeMap::new();
    for slice in existing {
        groups.entry(group_of(slice)).or_default().push(slice.clone());
    }
    for (group, wanted) in &wanted {
        let slices = groups.remove(group).unwrap_or_default();
        fill(service, group, wanted, slices, &mut plan);
    }
    plan.delete.extend(groups.into_values().flatten());
    // An empty slice is rewritten rather than left beside a new one.
    while let (Some(_), Some(at)) = (plan.create.last(), reusable(&plan)) {
        let (old, mut new) = (plan.delete.swap_remove(at), plan.create.pop().unwrap_or_default());
        new.metadata.name = old.metadata.name;
        new.metadata.uid = old.metadata.uid;
        new.metadata.resource_version = old.metadata.resource_version;
        new.metadata.generate_name = old.metadata.generate_name;
        plan.update.push(new);
    }
    plan
}

/// A slice to delete that the last slice to create may take over: the address type cannot change.
fn reusable(plan: &Plan) -> Option<usize> {
    let new = plan.create.last()?;
    plan.delete.iter().position(|old| old.address_type == new.address_type)
}

fn fill(
    service: &Service,
    group: &Group,
    wanted: &BTreeMap<String, Endpoint>,
    slices: Vec<EndpointSlice>,
    plan: &mut Plan,
) {
    let mut left = wanted.clone();
    let mut kept: Vec<(EndpointSlice, Vec<Endpoint>)> = Vec::new();
    for slice in slices {
        let mut endpoints = Vec::new();
        for old in slice.endpoints.iter().flatten() {
            let uid = old.target_ref.as_ref().and_then(|target| target.uid.clone()).unwrap_or_default();
            endpoints.extend(left.remove(&uid));
        }
        kept.push((slice, endpoints));
    }
    let mut rest = left.into_values();
    for (_, endpoints) in &mut kept {
        let room = MOST.saturating_sub(endpoints.len());
        endpoints.extend(rest.by_ref().take(room));
    }
    let rest: Vec<Endpoint> = rest.collect();
    for part in rest.chunks(MOST) {
        plan.create.push(new_slice(service, group, part.to_vec()));
    }
    if kept.is_empty() && rest.is_empty() {
        plan.create.push(new_slice(service, group, Vec::new()));
    }
    // Of slices that became empty one may stay, if it is all that is left.
    let mut placeholder = rest.is_empty() && kept.iter().all(|(_, endpoints)| endpoints.is_empty());
    let labels = labels(service);
    for (mut slice, endpoints) in kept {
        if endpoints.is_empty() && !std::mem::take(&mut placeholder) {
            plan.delete.push(slice);
            continue;
        }
        let same = slice.endpoints.as_deref().unwrap_or(&[]) == endpoints;
        if !same || slice.metadata.labels.as_ref() != Some(&labels) {
            slice.endpoints = Some(endpoints);
            slice.metadata.labels = Some(labels.clone());
            plan.update.push(slice);
        }
    }
}

fn group_of(slice: &EndpointSlice) -> Group {
    let ports = slice.ports.iter().flatten().map(|port| Port {
        name: port.name.clone().unwrap_or_default(),
        protocol: port.protocol.clone().unwrap_or_default(),
        number: port.port.unwrap_or(0),
        app_protocol: port.app_protocol.clone(),
    });
    (slice.address_type.clone(), ports.collect())
}

fn endpoint(backend: &Backend, address: &str, zones: &HashMap<String, String>) -> Endpoint {
    Endpoint {
        addresses: vec![address.into()],
        conditions: Some(EndpointConditions {
            ready: Some(backend.ready),
            serving: Some(backend.serving),
            terminating: Some(backend.terminating),
        }),
        hostname: backend.hostname.clone(),
        node_name: backend.node.clone(),
        zone: backend.node.as_ref().and_then(|node| zones.get(node)).cloned(),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".into()),
            namespace: Some(backend.namespace.clone()),
            name: Some(backend.name.clone()),
            uid: Some(backend.uid.clone()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

/// The Service's labels and those that say whose slice it is.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(SERVICE_NAME.into(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

fn new_slice(service: &Service, (family, ports): &Group, endpoints: Vec<Endpoint>) -> EndpointSlice {
    let name = service.metadata.name.clone().unwrap_or_default();
    let ports = ports.iter().map(|port| EndpointPort {
        name: Some(port.name.clone()),
        protocol: Some(port.protocol.clone()),
        port: Some(port.number),
        app_protocol: port.app_protocol.clone(),
    });
    EndpointSlice {
        address_type: family.clone(),
        endpoints: Some(endpoints),
        ports: Some(ports.collect()),
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            labels: Some(labels(service)),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".into(),
                kind: "Service".into(),
                name,
                uid: service.metadata.uid.clone().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
    }
}
