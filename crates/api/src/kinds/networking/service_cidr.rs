//! ServiceCIDR: cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::list;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "servicecidrs",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly { status: true, status_keeps_metadata: true, row: Some(row), ..FactsOnly::new() })
    },
};

fn row(value: &Value, now: i64) -> Vec<Value> {
    let cidrs: Vec<&str> = list(value, &["spec", "cidrs"]).iter().filter_map(Value::as_str).collect();
    vec![cells::name(value), cidrs.join(",").into(), age(value, now)]
}
