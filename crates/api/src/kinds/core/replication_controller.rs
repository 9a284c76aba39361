//! ReplicationController.

use crate::Value;
use crate::kinds::apps::workload;
use crate::kinds::edit::{default_pointer, int};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "replicationcontrollers",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            generation: true,
            orphans: true,
            defaults,
            pod_spec: &["spec", "template", "spec"],
            updated: |value, _| workload::mirror_service_account(value),
            check: |controller| spec(&controller.get("spec")),
            check_status: |controller, _| {
                let below = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
                controller.by(|value, _, errors| workload::status_counts(value, &below, &[], errors));
            },
            // An update warns of the old template, where the new one differs: upstream takes one for the other.
            warnings: |new, old| match old {
                Some(old) => workload::template_warnings(old, Some(new)),
                None => workload::template_warnings(new, None),
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn spec(spec: &Node<'_>) {
    spec.get("minReadySeconds").nonnegative();
    let (selector, template) = (spec.get("selector"), spec.get("template"));
    selector.required();
    spec.get("replicas").set("").nonnegative();
    if !template.has() {
        return template.missing("");
    }
    let labels = template.at(&["metadata", "labels"]);
    if selector.entries().iter().any(|(key, value)| labels.get(key).value() != value.value()) {
        labels.invalid("`selector` does not match template `labels`");
    }
    workload::pods(&template, "ReplicationController");
}

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
