//! The built-in kinds: a folder a group, a file a kind, one line each in the group's `ALL`.
//!
//! Names, versions, subresources, columns and field labels come from the facts; a kind's file adds what they cannot say:
//! its storage version and its [`Rules`]. Invariant: the tables here and the facts name the same resources.

use std::sync::Arc;

use crate::kind::Rules;
use crate::{Kind, Kinds};

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apiserverinternal;
pub mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod certificates;
mod coordination;
pub mod core;
pub mod custom;
pub mod discovery;
pub mod edit;
mod events;
mod facts;
mod flowcontrol;
mod networking;
mod node;
mod policy;
mod rbac;
mod resource;
mod scheduling;
mod storage;
mod storagemigration;

/// What a kind's file says of it.
pub struct Builtin {
    pub group: &'static str,
    pub plural: &'static str,
    /// The version that is stored, chosen as upstream's `default_storage_factory_builder.go` does.
    pub storage: &'static str,
    pub rules: fn() -> Box<dyn Rules>,
}

/// All groups, in the order of `/apis`.
const ALL: &[&[Builtin]] = &[
    core::ALL,
    apiregistration::ALL,
    apps::ALL,
    events::ALL,
    authentication::ALL,
    authorization::ALL,
    autoscaling::ALL,
    batch::ALL,
    certificates::ALL,
    networking::ALL,
    policy::ALL,
    rbac::ALL,
    storage::ALL,
    admissionregistration::ALL,
    apiextensions::ALL,
    scheduling::ALL,
    coordination::ALL,
    node::ALL,
    discovery::ALL,
    resource::ALL,
    flowcontrol::ALL,
    apiserverinternal::ALL,
    storagemigration::ALL,
];

/// Every built-in kind with every version; those that upstream has off by default are there with `served` false. Makes a
/// new table; keep it.
pub fn builtin() -> Kinds {
    builtin_serving(|_, _, default| default)
}

/// [`builtin`], with `serve(group, version, on by default)` deciding which versions are served (`--runtime-config`).
pub fn builtin_serving(serve: impl Fn(&str, &str, bool) -> bool) -> Kinds {
    let rows = ALL.iter().flat_map(|group| group.iter());
    Kinds::new(rows.map(|builtin| Arc::new(facts::kind(builtin, &serve))).collect::<Vec<Arc<Kind>>>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_tables_and_the_facts_name_the_same_resources() {
        let here: BTreeSet<(&str, &str)> =
            ALL.iter().flat_map(|group| group.iter()).map(|row| (row.group, row.plural)).collect();
        let facts: BTreeSet<(&str, &str)> =
            crate::schema::kinds().iter().map(|row| (row.group(), row.plural())).collect();
        assert_eq!(here, facts);
        for kind in builtin().iter() {
            assert_eq!(
                kind.versions.iter().filter(|version| version.storage).count(),
                1,
                "{}",
                kind.resource
            );
        }
    }

    #[test]
    fn prints_the_kinds_without_rules() {
        let kinds = builtin();
        let missing: Vec<String> = kinds
            .iter()
            .filter(|kind| kind.is_stored() && !kind.rules.complete())
            .map(|kind| kind.resource.to_string())
            .collect();
        println!(
            "{} of {} stored kinds lack rules: {}",
            missing.len(),
            kinds.iter().count(),
            missing.join(", ")
        );
    }

    #[test]
    fn finds_what_a_path_names() {
        let kinds = builtin();
        let (kind, version) = kinds.served("apps", "v1", "deployments").unwrap();
        assert_eq!((kind.kind.as_str(), version.name.as_str()), ("Deployment", "v1"));
        assert!(version.subresource("scale").is_some());
        assert!(kinds.served("apps", "v1beta1", "deployments").is_none());
        assert!(kinds.served("resource.k8s.io", "v1beta1", "deviceclasses").is_none(), "off by default");
        let events = kinds.resource("events.k8s.io", "events").unwrap();
        assert_eq!(kinds.storage_of(events).resource.to_string(), "events");
        assert!(!events.is_storage("v1"));
        assert!(!kinds.resource("", "bindings").unwrap().is_stored());
    }

    /// Defaults, strategies, validation and cells of every kind take whatever a client may send.
    #[test]
    fn rules_take_anything() {
        let key = "core/pods/default/a".parse().unwrap();
        let context = crate::kind::Context { key: &key, now: "2026-01-01T00:00:00Z", user: "me" };
        let odd = r#"{"metadata":{"name":"a","labels":{"a":"b"}},"spec":{"containers":[{"ports":[{}],"env":[{}]}],"ports":[{}],
            "template":{"spec":{"volumes":[{}],"containers":[{"livenessProbe":{}}]}}},"status":{"conditions":[{}]}}"#;
        for text in ["{}", r#"{"metadata":{"name":"a"},"spec":{},"status":{}}"#, odd] {
            for kind in builtin().iter() {
                for version in &kind.versions {
                    let mut value: crate::Value = serde_json::from_str(text).unwrap();
                    kind.rules.default(&version.name, &mut value);
                    kind.rules.to_storage(&version.name, &mut value);
                    let mut errors = Vec::new();
                    let old = value.clone();
                    kind.rules.prepare_create(&context, &mut value);
                    kind.rules.validate_create(&context, &value, &mut errors);
                    kind.rules.prepare_update(&context, &mut value, &old);
                    kind.rules.validate_update(&context, &value, &old, &mut errors);
                    for part in ["status", "finalize", "ephemeralcontainers", "resize"] {
                        let mut value = value.clone();
                        kind.rules.prepare_subresource(part, &context, &mut value, &old);
                        kind.rules.validate_subresource(part, &context, &value, &old, &mut errors);
                    }
                    kind.rules.warnings(&value, None);
                    if let Some(cells) = kind.rules.cells(&value, 0) {
                        assert_eq!(cells.len(), version.columns.len(), "{}", kind.resource);
                    }
                }
            }
        }
    }
}
