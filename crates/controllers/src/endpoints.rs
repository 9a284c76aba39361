//! Which pods stand behind a Service: EndpointSlices, and the old Endpoints object that upstream still writes.
//!
//! [`backend`] reads once what both need; [`slices`] and [`legacy`] plan. Of Services without a selector somebody writes the
//! Endpoints by hand: [`mirror`] makes slices of them.

mod backend;
mod legacy;
mod mirror;
mod slices;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::object::Change;
use api::{Key, Object, Resource};
use client::{Cache, Delete, Watch, Writer, labels};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::Deserialize;

pub use legacy::CONTROLLER as LEGACY;
pub use mirror::CONTROLLER as MIRROR;
pub use slices::CONTROLLER;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The Services whose selector selects a pod that changed.
fn selecting(pods: &Arc<Cache>, services: &Arc<Cache>) -> Watch {
    let services = services.clone();
    Watch::by(pods, move |change, add| {
        let object = change.object();
        let before = match change {
            Change::Put { before, .. } => before.as_ref(),
            Change::Delete { before, .. } => Some(before),
        };
        let snapshot = services.snapshot();
        for service in snapshot.range(object.key.namespace(), None) {
            let Some(selector) = selector(service) else { continue };
            let selects = |pod: &Arc<Object>| labels::contains(&**pod, &selector);
            if selects(object) || before.is_some_and(selects) {
                add(service.key.clone());
            }
        }
    })
}

/// A Service's selector, read without the rest of it; `None` if it has none.
fn selector(service: &Arc<Object>) -> Option<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Only {
        #[serde(default)]
        spec: Spec,
    }
    #[derive(Default, Deserialize)]
    struct Spec {
        selector: Option<BTreeMap<String, String>>,
    }
    client::decode::<Only>(service)?.spec.selector.filter(|selector| !selector.is_empty())
}

/// The pods of a namespace that `selector` selects.
fn selected(pods: &Cache, namespace: &str, selector: &BTreeMap<String, String>) -> Vec<Arc<Object>> {
    let snapshot = pods.snapshot();
    let all = snapshot.range(namespace, None).filter(|pod| labels::contains(&***pod, selector));
    all.cloned().collect()
}

/// The Service that an object made for it names in a label.
fn labelled(made: &Arc<Cache>, services: &Arc<Cache>) -> Watch {
    let services = services.clone();
    Watch::by(made, move |change, add| {
        let object = change.object();
        if let Some(name) = labels::Labels::label(&**object, SERVICE_NAME) {
            add(Key::new(services.resource(), object.key.namespace(), name));
        }
    })
}

/// EndpointSlices to write. Those to create have no name yet.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub create: Vec<EndpointSlice>,
    pub update: Vec<EndpointSlice>,
    pub delete: Vec<EndpointSlice>,
}

impl Plan {
    async fn carry_out(self, writer: &Writer, namespace: &str) -> Result<(), client::writer::Error> {
        let resource = Resource::new("discovery.k8s.io", "endpointslices");
        let name = |slice: &EndpointSlice| {
            Key::new(&resource, namespace, slice.metadata.name.as_deref().unwrap_or_default())
        };
        for slice in &self.create {
            match writer.create(&resource, namespace, slice).await {
                Err(error) if !error.namespace_terminating() => return Err(error),
                _ => {}
            }
        }
        for slice in &self.update {
            client::writer::gone_is_fine(writer.put(&name(slice), "", slice).await)?;
        }
        for slice in &self.delete {
            let options = Delete { uid: slice.metadata.uid.as_deref(), ..Delete::default() };
            client::writer::gone_is_fine(writer.delete(&name(slice), options).await)?;
        }
        Ok(())
    }
}
