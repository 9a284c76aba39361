//! ReplicationController: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::apps::workload;
use crate::kinds::edit::{default_pointer, int};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "replicationcontrollers",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly { status: true, generation: true, defaults, row: Some(row), ..FactsOnly::new() })
    },
};

fn defaults(_: &str, value: &mut Value) {
    workload::default_template(value);
    default_pointer(value.make(&["spec"]), "replicas", 1i64);
    let labels = value.at(&["spec", "template", "metadata", "labels"]).cloned();
    let Some(labels @ Value::Object(_)) = labels else { return };
    for path in [&["spec", "selector"], &["metadata", "labels"]] {
        if value.at(path).and_then(Value::as_map).is_none_or(|map| map.is_empty()) {
            value.set(path, labels.clone());
        }
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let [names, images] = cells::containers(value.at(&["spec", "template"]).unwrap_or(&Value::Null));
    vec![
        cells::name(value),
        Value::Int(int(value, &["spec", "replicas"])),
        Value::Int(int(value, &["status", "replicas"])),
        Value::Int(int(value, &["status", "readyReplicas"])),
        age(value, now),
        names,
        images,
        cells::labels(value.at(&["spec", "selector"])).into(),
    ]
}
