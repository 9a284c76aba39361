//! ControllerRevision: cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{flag, int, list};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "apps",
    plural: "controllerrevisions",
    storage: "v1",
    rules: || Box::new(FactsOnly { row: Some(row), ..FactsOnly::new() }),
};

fn row(value: &Value, now: i64) -> Vec<Value> {
    let owners = list(value, &["metadata", "ownerReferences"]);
    let controller = owners.iter().find(|owner| flag(owner, &["controller"]));
    let controller = controller.map_or("<none>".into(), |owner| {
        let kind = owner.str_at(&["kind"]).to_lowercase();
        let name = owner.str_at(&["name"]);
        match owner.str_at(&["apiVersion"]).split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{name}"),
            None => format!("{kind}/{name}"),
        }
    });
    let revision = Value::Int(int(value, &["revision"]));
    vec![cells::name(value), controller.into(), revision, age(value, now)]
}
