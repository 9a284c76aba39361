//! ControllerRevision: a state that a controller can go back to; it never changes.

use crate::Value;
use crate::kinds::edit::{flag, int, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "apps",
    plural: "controllerrevisions",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            check: |revision| {
                revision.get("revision").nonnegative();
                data(&revision.get("data"));
            },
            update_alone: true,
            update: |revision, old| {
                revision.get("revision").nonnegative();
                revision.get("data").immutable(&old.get("data"));
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn data(data: &Node<'_>) {
    match data.value() {
        Value::Object(_) => {}
        Value::Null => data.missing("data is mandatory"),
        _ => data.missing("data must be a valid JSON object"),
    }
}

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
