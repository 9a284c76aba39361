//! ResourceClaim: devices for pods. What was allocated never changes. The entries of `status.devices` and an allocation's
//! own fields are not judged.

use super::devices;
use crate::kinds::edit::inside;
use crate::kinds::{Builtin, Strategy};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourceclaims",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            defaults: |_, value| inside(value, &["spec"], devices::defaults),
            check: |claim| devices::claim(&claim.get("spec")),
            update_alone: true,
            update: |claim, old| {
                claim.get("spec").immutable(&old.get("spec"));
            },
            check_status,
            ..Strategy::new()
        })
    },
};

fn check_status(claim: &Node<'_>, old: &Node<'_>) {
    let (status, was) = (claim.get("status"), old.get("status"));
    let (reserved, allocation) = (status.get("reservedFor"), status.get("allocation"));
    reserved.at_most_items(256);
    let items = reserved.items();
    for consumer in &items {
        for field in ["resource", "name", "uid"] {
            consumer.get(field).required();
        }
    }
    for (at, consumer) in items.iter().enumerate() {
        let uid = consumer.get("uid").text();
        if items[..at].iter().any(|other| other.get("uid").text() == uid) {
            consumer.error(crate::field::Error::duplicate(consumer.path().clone(), uid));
        }
    }
    if !items.is_empty() {
        let known = was.get("reservedFor").items();
        let is_new = |consumer: &Node<'_>| !known.iter().any(|known| known.is_same(consumer));
        if !allocation.has() {
            reserved.forbidden("may not be specified when `allocated` is not set");
        } else if claim.at(&["metadata", "deletionTimestamp"]).has() && items.iter().any(is_new) {
            reserved.forbidden(
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
            );
        }
    }
    if was.get("allocation").has() && allocation.has() {
        allocation.immutable(&was.get("allocation"));
    }
}
