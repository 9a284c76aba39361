//! The kinds of resource.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod allocation;
mod device;
mod device_class;
mod device_taint_rule;
mod devices;
mod resource_claim;
mod resource_claim_template;
mod resource_pool_status_request;
mod resource_slice;

pub const ALL: &[Builtin] = &[
    device_class::KIND,
    resource_claim::KIND,
    resource_claim_template::KIND,
    resource_slice::KIND,
    device_taint_rule::KIND,
    resource_pool_status_request::KIND,
];
