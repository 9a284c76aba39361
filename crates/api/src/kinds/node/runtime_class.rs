//! RuntimeClass.

use crate::Value;
use crate::kinds::core::pod::defaults::round;
use crate::kinds::core::pod::validate::{resources, scheduling};
use crate::kinds::edit::entries;
use crate::kinds::{Builtin, Strategy, node_labels};
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "node.k8s.io",
    plural: "runtimeclasses",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            defaults,
            check,
            update: |class, old| {
                class.get("handler").immutable(&old.get("handler"));
            },
            warnings: |class, _| {
                let labels = entries(class, &["scheduling", "nodeSelector"]);
                let texts = labels.filter_map(|(key, _)| node_labels::deprecated(key));
                texts.map(|text| format!("scheduling.nodeSelector: {text}")).collect()
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn check(class: &Node<'_>) {
    class.get("handler").required().is(names::dns_label);
    let overhead = class.at(&["overhead", "podFixed"]);
    overhead
        .named(class.path().child("overhead").child("limits"))
        .by(|value, path, errors| resources::list(Some(value), path, errors));
    let placement = class.get("scheduling");
    placement.get("nodeSelector").labels();
    let tolerations = placement.get("tolerations");
    tolerations.by(|value, path, errors| {
        scheduling::tolerations(value.as_array().unwrap_or_default(), path, errors);
    });
    let items = tolerations.items();
    for (at, toleration) in items.iter().enumerate() {
        let same = |other: &Node<'_>| {
            ["key", "operator", "value", "effect"]
                .iter()
                .all(|field| other.get(field).text() == toleration.get(field).text())
        };
        if items[..at].iter().any(same) {
            toleration.duplicate();
        }
    }
}

fn defaults(_: &str, value: &mut Value) {
    round(value.at_mut(&["overhead", "podFixed"]));
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    vec![cells::name(value), value.str_at(&["handler"]).into(), age(value, now)]
}
