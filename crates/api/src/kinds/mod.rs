//! The built-in kinds: a folder a group, a file a kind, one line each in the group's `ALL`.
//!
//! Names, versions, subresources, columns and field labels come from the facts; a kind's file adds what they cannot say:
//! its storage version and its [`Rules`]. Invariant: the tables here and the facts name the same resources.

use std::sync::Arc;

use crate::kind::Rules;
pub use strategy::Strategy;

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
pub mod certificates;
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
mod node_labels;
mod policy;
mod rbac;
mod resource;
mod scheduling;
mod storage;
mod storagemigration;
mod strategy;

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
mod tests;
