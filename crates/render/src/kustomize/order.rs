//! The order of the output: upstream's "legacy" order, which its command line uses by default, or as accumulated.

use std::collections::HashSet;

use super::file::Kustomization;
use super::resource::Resource;
use crate::Error;

const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The place of a kind in upstream's order: negative for the first ones, positive for the last.
pub(super) fn rank(kind: &str) -> i64 {
    rank_in(kind, &FIRST, &LAST)
}

fn rank_in(kind: &str, first: &[&str], last: &[&str]) -> i64 {
    if let Some(at) = last.iter().position(|name| *name == kind) {
        return 1 + at as i64;
    }
    first.iter().position(|name| *name == kind).map_or(0, |at| at as i64 - first.len() as i64)
}

/// Sorts as the top kustomization says, or else by `default`.
pub(super) fn sort(all: &mut [Resource], top: &Kustomization, default: super::Order) -> Result<(), Error> {
    let custom = top.sort.as_ref().and_then(|options| options.legacy_sort_options.as_ref());
    let default = if default == super::Order::Legacy { "legacy" } else { "fifo" };
    match (top.sort.as_ref().map_or(default, |options| options.order.as_str()), custom) {
        ("fifo", None) => return Ok(()),
        ("legacy", _) => {}
        ("fifo", Some(_)) => {
            let text = "the field is set but the selected sort order is 'fifo', not 'legacy'";
            return Err(Error::field(&top.file, "sortOptions.legacySortOptions", text));
        }
        _ => {
            let text = "the field 'sortOptions.order' must be one of [fifo, legacy]";
            return Err(Error::field(&top.file, "sortOptions.order", text));
        }
    }
    let first: Vec<&str> =
        custom.map_or(FIRST.to_vec(), |own| own.order_first.iter().map(String::as_str).collect());
    let last: Vec<&str> =
        custom.map_or(LAST.to_vec(), |own| own.order_last.iter().map(String::as_str).collect());
    let rank = |kind: &str| rank_in(kind, &first, &last);
    let or = |text: &str, none: &str| if text.is_empty() { none.to_string() } else { text.to_string() };
    all.sort_by_cached_key(|resource| {
        let id = resource.id();
        let kind = format!("{}_{}_{}", or(&id.group, "~G"), or(&id.version, "~V"), id.kind);
        // Unlike in identities, a namespace that is not set counts as none here.
        let name = format!("{}|{}", or(&resource.namespace(), "~X"), or(&id.name, "~N"));
        (rank(&id.kind), kind, name)
    });
    // Upstream adds all anew in this order, and finds those that became the same.
    let mut seen = HashSet::new();
    for one in all.iter() {
        if !seen.insert(one.key()) {
            let text = format!("may not add resource with an already registered id: {}", one.id());
            return Err(Error::field(&top.file, "sortOptions", text));
        }
    }
    Ok(())
}
