//! PriorityClass: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, flag, int};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "scheduling.k8s.io",
    plural: "priorityclasses",
    storage: "v1",
    rules: || Box::new(FactsOnly { generation: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

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
