//! RuntimeClass: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::core::pod::defaults::round;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "node.k8s.io",
    plural: "runtimeclasses",
    storage: "v1",
    rules: || Box::new(FactsOnly { defaults, row: Some(row), ..FactsOnly::new() }),
};

fn defaults(_: &str, value: &mut Value) {
    round(value.at_mut(&["overhead", "podFixed"]));
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    vec![cells::name(value), value.str_at(&["handler"]).into(), age(value, now)]
}
