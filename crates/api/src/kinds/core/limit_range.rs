//! LimitRange: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::core::pod::defaults::round;
use crate::kinds::edit::{each, has};
use crate::table::cells;

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "limitranges",
    storage: "v1",
    rules: || Box::new(FactsOnly { create_on_update: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

/// Of limits for containers: the default limit follows the most, the default request the limit, then the least.
fn defaults(_: &str, value: &mut Value) {
    each(value, &["spec", "limits"], |limit| {
        for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            round(limit.get_mut(field));
        }
        if limit.str_at(&["type"]) != "Container" {
            return;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let Some(amounts) = limit.get(from).and_then(Value::as_map).cloned() else { continue };
            for (name, amount) in amounts {
                if !has(limit, &[to, &name]) {
                    limit.set(&[to, &name], amount);
                }
            }
        }
    });
}

fn row(value: &Value, _: i64) -> Vec<Value> {
    vec![cells::name(value), value.str_at(&["metadata", "creationTimestamp"]).into()]
}
