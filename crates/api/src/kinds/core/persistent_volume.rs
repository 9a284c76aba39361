//! PersistentVolume: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::core::pod::defaults::round;
use crate::kinds::edit::{default, default_pointer, inside};
use crate::table::{age, cells, volume};

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "persistentvolumes",
    storage: "v1",
    rules: || Box::new(FactsOnly { status: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

fn defaults(_: &str, value: &mut Value) {
    default(value.make(&["status"]), "phase", "Pending");
    let spec = value.make(&["spec"]);
    default(spec, "persistentVolumeReclaimPolicy", "Retain");
    default_pointer(spec, "volumeMode", "Filesystem");
    inside(spec, &["hostPath"], |source| default_pointer(source, "type", ""));
    round(spec.get_mut("capacity"));
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let claim = value.at(&["spec", "claimRef"]).filter(|claim| !claim.is_null());
    let claim = claim.map(|claim| format!("{}/{}", claim.str_at(&["namespace"]), claim.str_at(&["name"])));
    vec![
        cells::name(value),
        value.at(&["spec", "capacity", "storage"]).cloned().unwrap_or_else(|| "0".into()),
        volume::modes_at(value, &["spec", "accessModes"]),
        value.str_at(&["spec", "persistentVolumeReclaimPolicy"]).into(),
        volume::phase(value),
        claim.unwrap_or_default().into(),
        volume::class(value),
        volume::or_unset(value, &["spec", "volumeAttributesClassName"]),
        value.str_at(&["status", "reason"]).into(),
        age(value, now),
        volume::or_unset(value, &["spec", "volumeMode"]),
    ]
}
