//! CSINode: cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::list;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "csinodes",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            create_on_update: true,
            unconditional_update: false,
            row: Some(row),
            ..FactsOnly::new()
        })
    },
};

fn row(value: &Value, now: i64) -> Vec<Value> {
    vec![cells::name(value), Value::Int(list(value, &["spec", "drivers"]).len() as i64), age(value, now)]
}
