//! ResourceClaim: devices for pods. What was allocated never changes.

use super::{allocation, devices};
use crate::Value;
use crate::kinds::edit::{has, inside, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourceclaims",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            defaults: |version, value| inside(value, &["spec"], |spec| devices::defaults(version, spec)),
            to_storage: |version, value| {
                if version == "v1beta1" {
                    inside(value, &["spec"], devices::to_storage);
                }
            },
            from_storage: |version, value| {
                if version == "v1beta1" {
                    inside(value, &["spec"], devices::from_storage);
                }
            },
            row: Some(row),
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

fn row(claim: &Value, now: i64) -> Vec<Value> {
    let deleted = has(claim, &["metadata", "deletionTimestamp"]);
    let mut states = Vec::new();
    if deleted {
        states.push("deleted");
    }
    match has(claim, &["status", "allocation"]) {
        true => states.push("allocated"),
        false if !deleted => states.push("pending"),
        false => {}
    }
    if has(claim, &["status", "allocation"]) && !list(claim, &["status", "reservedFor"]).is_empty() {
        states.push("reserved");
    }
    vec![cells::name(claim), states.join(",").into(), age(claim, now)]
}

fn check_status(claim: &Node<'_>, old: &Node<'_>) {
    let (status, was) = (claim.get("status"), old.get("status"));
    let (reserved, allocated) = (status.get("reservedFor"), status.get("allocation"));
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
    allocation::statuses(&status.get("devices"), &allocated);
    if !items.is_empty() {
        let known = was.get("reservedFor").items();
        let is_new = |consumer: &Node<'_>| !known.iter().any(|known| known.is_same(consumer));
        if !allocated.has() {
            reserved.forbidden("may not be specified when `allocated` is not set");
        } else if claim.at(&["metadata", "deletionTimestamp"]).has() && items.iter().any(is_new) {
            reserved.forbidden(
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
            );
        }
    }
    if was.get("allocation").has() && allocated.has() {
        allocated.immutable(&was.get("allocation"));
    } else if allocated.has() {
        allocation::allocation(&allocated, claim.at(&["spec", "devices"]).value());
    }
}
