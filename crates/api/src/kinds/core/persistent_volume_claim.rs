//! PersistentVolumeClaim: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::core::pod::defaults::round;
use crate::kinds::edit::{default, default_pointer, inside};
use crate::table::{age, cells, volume};

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "persistentvolumeclaims",
    storage: "v1",
    rules: || Box::new(FactsOnly { status: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

/// Also of the claim templates of StatefulSets.
pub fn defaults(_: &str, claim: &mut Value) {
    default(claim.make(&["status"]), "phase", "Pending");
    default_pointer(claim.make(&["spec"]), "volumeMode", "Filesystem");
    inside(claim, &["spec", "resources"], |resources| {
        round(resources.get_mut("limits"));
        round(resources.get_mut("requests"));
    });
}

fn row(claim: &Value, now: i64) -> Vec<Value> {
    let bound = !claim.str_at(&["spec", "volumeName"]).is_empty();
    let capacity = claim.at(&["status", "capacity", "storage"]).filter(|_| bound);
    let shown = if bound { capacity.cloned().unwrap_or_else(|| "0".into()) } else { "".into() };
    let modes = if bound { volume::modes_at(claim, &["status", "accessModes"]) } else { "".into() };
    vec![
        cells::name(claim),
        volume::phase(claim),
        claim.str_at(&["spec", "volumeName"]).into(),
        shown,
        modes,
        volume::class(claim),
        volume::or_unset(claim, &["spec", "volumeAttributesClassName"]),
        age(claim, now),
        volume::or_unset(claim, &["spec", "volumeMode"]),
    ]
}
