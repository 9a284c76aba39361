//! storagemigration.k8s.io StorageVersionMigration: all objects of a resource are to be written anew.

use crate::Value;
use crate::field::Error;
use crate::kinds::Builtin;
use crate::kinds::edit::list;
use crate::kinds::strategy::Strategy;
use crate::table::cells;
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "storagemigration.k8s.io",
    plural: "storageversionmigrations",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            row: Some(row),
            check: |migration| resource(&migration.at(&["spec", "resource"])),
            update: |migration, old| {
                migration.get("spec").immutable(&old.get("spec"));
            },
            check_status: |migration, old| status(&migration.get("status"), &old.get("status")),
            ..Strategy::new()
        })
    },
};

fn row(migration: &Value, _: i64) -> Vec<Value> {
    let (group, resource) = (
        migration.str_at(&["spec", "resource", "group"]),
        migration.str_at(&["spec", "resource", "resource"]),
    );
    let named = if group.is_empty() { resource.to_string() } else { format!("{resource}.{group}") };
    let ends = ["Running", "Failed", "Succeeded"];
    let conditions = list(migration, &["status", "conditions"]).iter();
    let mut true_ones =
        conditions.filter(|one| one.str_at(&["status"]) == "True").map(|one| one.str_at(&["type"]));
    let state = true_ones.rfind(|kind| ends.contains(kind)).unwrap_or("Unknown");
    vec![cells::name(migration), named.into(), state.into()]
}

fn resource(of: &Node<'_>) {
    let (group, resource) = (of.get("group"), of.get("resource"));
    let joined = |node: &Node<'_>, wrong: Vec<String>| {
        if !wrong.is_empty() {
            node.invalid(wrong.join(","));
        }
    };
    match resource.text() {
        "" => resource.missing("resource is required to be set"),
        text => joined(&resource, names::dns_1035_label(text)),
    }
    if !group.text().is_empty() {
        joined(&group, names::dns_subdomain(group.text()));
    }
}

fn status(status: &Node<'_>, old: &Node<'_>) {
    let revision = status.get("resourceVersion");
    let conditions = status.get("conditions");
    conditions.conditions();
    let was = old.get("resourceVersion");
    if !was.text().is_empty() && was.text() != revision.text() {
        revision.error(Error::invalid(revision.path().clone(), revision.text(), "field is immutable"));
    }
    let is = |status: &Node<'_>, kind: &str| {
        let all = status.get("conditions").items();
        let first = all.iter().find(|one| one.get("type").text() == kind);
        first.is_some_and(|one| one.get("status").text() == "True")
    };
    if is(status, "Succeeded") && is(status, "Failed") {
        conditions.invalid("Both success and failed conditions cannot be true at the same time");
    }
    for (kind, name) in [("Succeeded", "Success"), ("Failed", "Failed")] {
        if is(old, kind) && !is(status, kind) {
            conditions.invalid(format!("{name} condition cannot be set to false once it is true"));
        }
    }
}
