//! The kinds of the core group. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod binding;
mod component_status;
mod config_map;
mod endpoints;
pub mod event;
mod limit_range;
mod namespace;
mod node;
pub mod persistent_volume;
pub mod persistent_volume_claim;
pub mod pod;
mod pod_template;
mod replication_controller;
mod resource_quota;
mod secret;
pub mod service;
mod service_account;
pub mod volume_source;

pub const ALL: &[Builtin] = &[
    binding::KIND,
    component_status::KIND,
    config_map::KIND,
    endpoints::KIND,
    event::KIND,
    limit_range::KIND,
    namespace::KIND,
    node::KIND,
    persistent_volume_claim::KIND,
    persistent_volume::KIND,
    pod::KIND,
    pod_template::KIND,
    replication_controller::KIND,
    resource_quota::KIND,
    secret::KIND,
    service_account::KIND,
    service::KIND,
];
