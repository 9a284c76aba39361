//! Which pods stand behind a Service: EndpointSlices, and the old Endpoints object that upstream still writes.
//!
//! [`pods`] reads once what both need; [`slices`] and [`legacy`] plan. Services without a selector are left to whoever
//! wrote their endpoints by hand.

mod backend;
mod legacy;
mod slices;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::object::Change;
use api::{Key, Object};
use client::{Cache, Watch, labels};
use serde::Deserialize;

pub use legacy::CONTROLLER as LEGACY;
pub use slices::CONTROLLER;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
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
