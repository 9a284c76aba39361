//! resource.k8s.io ResourcePoolStatusRequest: a question, answered once, for what a pool of devices holds.

use crate::field::Error;
use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourcepoolstatusrequests",
    storage: "v1alpha3",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            check: |request| pool_name(&request.at(&["spec", "poolName"])),
            ..Strategy::incomplete()
        })
    },
};

/// As upstream's declarative check of `k8s-resource-pool-name` tells it.
fn pool_name(name: &Node<'_>) {
    if name.text().is_empty() {
        return;
    }
    for (at, part) in name.text().split('/').enumerate() {
        for text in names::dns_subdomain(part) {
            name.error(Error::invalid(name.path().clone(), name.text(), format!("segment {at}: {text}")));
        }
    }
}
