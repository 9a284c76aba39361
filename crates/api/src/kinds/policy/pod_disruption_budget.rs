//! PodDisruptionBudget: cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::int;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "policy",
    plural: "poddisruptionbudgets",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            generation: true,
            unconditional_update: false,
            row: Some(row),
            ..FactsOnly::new()
        })
    },
};

fn row(value: &Value, now: i64) -> Vec<Value> {
    let bound = |field: &str| -> Value {
        match value.at(&["spec", field]) {
            Some(Value::Int(number)) => number.to_string().into(),
            Some(Value::String(text)) => text.clone().into(),
            _ => "N/A".into(),
        }
    };
    vec![
        cells::name(value),
        bound("minAvailable"),
        bound("maxUnavailable"),
        Value::Int(int(value, &["status", "disruptionsAllowed"])),
        age(value, now),
    ]
}
