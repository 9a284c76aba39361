//! EndpointSlices of Endpoints that somebody wrote by hand, for Services without a selector: whoever follows Services reads
//! slices only. Upstream's endpointslice-mirroring-controller: one slice a subset and address family.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::Key;
use async_trait::async_trait;
use client::reconcile::Error;
use client::{Action, Cache, Reconciler, Watch};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{MANAGED_BY, Plan, SERVICE_NAME, TRIGGER_TIME};
use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "endpointslice-mirroring",
    account: "endpointslicemirroring-controller",
    workers: 2,
    make: |context| {
        Some(Arc::new(Mirror {
            services: context.cache::<Service>()?,
            endpoints: context.cache::<Endpoints>()?,
            slices: context.cache::<EndpointSlice>()?,
            context,
        }))
    },
};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints are also what old clients elected their leader with.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Addresses of one subset that are mirrored, at most.
const MOST: usize = 1000;

struct Mirror {
    services: Arc<Cache>,
    endpoints: Arc<Cache>,
    slices: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Mirror {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        let endpoints = self.endpoints.resource().clone();
        let same_name = move |change: &api::object::Change, add: &mut dyn FnMut(Key)| {
            let key = &change.object().key;
            add(Key::new(&endpoints, key.namespace(), key.name()));
        };
        vec![
            Watch::own(&self.endpoints),
            Watch::by(&self.services, same_name),
            super::labelled(&self.slices, &self.endpoints),
        ]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let existing = self.existing(key);
        let service = Key::new(self.services.resource(), key.namespace(), key.name());
        let by_hand = self.services.get_key(&service).is_some_and(|one| super::selector(&one).is_none());
        let endpoints = self.endpoints.get_key(key).filter(|object| by_hand && !object.deleting);
        let endpoints = endpoints.and_then(|object| client::decode::<Endpoints>(&object));
        let plan = plan(endpoints.filter(is_mirrored).as_ref(), &existing);
        plan.carry_out(&self.context.writer, key.namespace()).await?;
        Ok(Action::Done)
    }
}

impl Mirror {
    /// The slices that this controller made of the Endpoints.
    fn existing(&self, key: &Key) -> Vec<EndpointSlice> {
        let snapshot = self.slices.snapshot();
        let label = |slice: &Arc<api::Object>, name: &str, value: &str| {
            client::labels::Labels::label(&**slice, name) == Some(value)
        };
        let ours = snapshot
            .range(key.namespace(), None)
            .filter(|slice| label(slice, SERVICE_NAME, key.name()) && label(slice, MANAGED_BY, MANAGER));
        ours.filter_map(client::decode).collect()
    }
}

fn is_mirrored(endpoints: &Endpoints) -> bool {
    let metadata = &endpoints.metadata;
    let skipped = metadata.labels.as_ref().and_then(|all| all.get(SKIP)).is_some_and(|skip| skip == "true");
    !skipped && !metadata.annotations.as_ref().is_some_and(|all| all.contains_key(LEADER))
}

/// What to write; `None` for Endpoints that are gone, or are not to be mirrored.
pub(super) fn plan(endpoints: Option<&Endpoints>, existing: &[EndpointSlice]) -> Plan {
    let mut plan = Plan::default();
    let mut left: Vec<EndpointSlice> = existing.to_vec();
    for mut slice in endpoints.into_iter().flat_map(wanted) {
        let same_kind = |old: &EndpointSlice| old.address_type == slice.address_type;
        // The slice of the same ports, else any that may be rewritten: only its address type cannot change.
        let at = left
            .iter()
            .position(|old| same_kind(old) && old.ports == slice.ports)
            .or_else(|| left.iter().position(same_kind));
        let Some(at) = at else {
            plan.create.push(slice);
            continue;
        };
        let old = left.swap_remove(at);
        let same = old.ports == slice.ports
            && old.endpoints.as_deref().unwrap_or(&[]) == slice.endpoints.as_deref().unwrap_or(&[])
            && old.metadata.labels == slice.metadata.labels
            && old.metadata.annotations.clone().unwrap_or_default()
                == slice.metadata.annotations.clone().unwrap_or_default()
            && old.metadata.owner_references == slice.metadata.owner_references;
        if !same {
            slice.metadata.name = old.metadata.name;
            slice.metadata.uid = old.metadata.uid;
            slice.metadata.resource_version = old.metadata.resource_version;
            slice.metadata.generate_name = old.metadata.generate_name;
            plan.update.push(slice);
        }
    }
    plan.delete = left;
    plan
}

fn wanted(endpoints: &Endpoints) -> Vec<EndpointSlice> {
    let mut slices = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let mut families: BTreeMap<&str, Vec<Endpoint>> = BTreeMap::new();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        for (address, ready) in ready.chain(unready).take(MOST) {
            // What is no address is left out: a slice of that type could not hold it.
            let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            families.entry(family).or_default().push(endpoint(address, ip, ready));
        }
        slices.extend(families.into_iter().map(|(family, all)| slice(endpoints, subset, family, all)));
    }
    slices
}

fn endpoint(address: &EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn slice(endpoints: &Endpoints, subset: &EndpointSubset, family: &str, all: Vec<Endpoint>) -> EndpointSlice {
    let name = endpoints.metadata.name.clone().unwrap_or_default();
    let ports = subset.ports.iter().flatten().map(|port| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        protocol: port.protocol.clone(),
        port: Some(port.port),
        app_protocol: port.app_protocol.clone(),
    });
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), name.clone());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| name != TRIGGER_TIME && name != LAST_APPLIED);
    EndpointSlice {
        address_type: family.into(),
        endpoints: Some(all),
        ports: Some(ports.collect()),
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".into(),
                kind: "Endpoints".into(),
                name,
                uid: endpoints.metadata.uid.clone().unwrap_or_default(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
    }
}
