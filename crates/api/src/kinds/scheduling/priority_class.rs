//! PriorityClass: its value never changes, since pods have it copied.

use crate::Value;
use crate::field::Error;
use crate::kinds::edit::{default_pointer, flag, int};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "scheduling.k8s.io",
    plural: "priorityclasses",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            generation_changes: |_, _| false,
            defaults,
            check,
            update_alone: true,
            update: |class, old| {
                if class.get("value").int() != old.get("value").int() {
                    class.get("value").forbidden("may not be changed in an update.");
                }
                class.get("preemptionPolicy").immutable(&old.get("preemptionPolicy"));
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

const MOST: i64 = 1_000_000_000;
const SYSTEM: [(&str, i64); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

fn check(class: &Node<'_>) {
    let (name, value) = (class.at(&["metadata", "name"]), class.get("value"));
    if name.text().starts_with("system-") {
        let known = SYSTEM.iter().find(|(known, _)| *known == name.text());
        let why = match known {
            None => Some(format!("{} is not a known system priority class", name.text())),
            Some((name, known)) if *known != value.int() => {
                Some(format!("value of {name} PriorityClass must be {known}"))
            }
            Some((name, _)) if class.get("globalDefault").flag() => {
                Some(format!("globalDefault of {name} PriorityClass must be false"))
            }
            Some(_) => None,
        };
        if let Some(why) = why {
            name.forbidden(format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            ));
        }
    } else if value.int() > MOST {
        let text = format!("maximum allowed value of a user defined priority is {MOST}");
        value.error(Error::forbidden(value.path().clone(), text));
    }
    class.get("preemptionPolicy").required_one_of(&["PreemptLowerPriority", "Never"]);
}

fn defaults(_: &str, value: &mut Value) {
    default_pointer(value, "preemptionPolicy", "PreemptLowerPriority");
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    vec![
        cells::name(value),
        Value::Int(int(value, &["value"])),
        flag(value, &["globalDefault"]).into(),
        age(value, now),
        value.str_at(&["preemptionPolicy"]).into(),
    ]
}
