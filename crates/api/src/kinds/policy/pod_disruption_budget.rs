//! PodDisruptionBudget.

use crate::Value;
use crate::kinds::edit::int;
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::check;

pub const KIND: Builtin = Builtin {
    group: "policy",
    plural: "poddisruptionbudgets",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            // Upstream judges no name of this kind.
            name: |_| Vec::new(),
            generation: true,
            unconditional_update: false,
            check: |budget| {
                let spec = budget.get("spec");
                let (least, most) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
                if least.has() && most.has() {
                    spec.invalid("minAvailable and maxUnavailable cannot be both set");
                }
                for bound in [least, most].iter().filter(|bound| bound.has()) {
                    bound.by(check::int_or_percent).by(check::at_most_all);
                }
                spec.get("selector").label_selector();
                spec.get("unhealthyPodEvictionPolicy").one_of_set(&["AlwaysAllow", "IfHealthyBudget"]);
            },
            check_status: |budget, _| {
                let status = budget.get("status");
                status.get("conditions").conditions();
                for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
                    status.get(field).nonnegative();
                }
            },
            row: Some(row),
            ..Strategy::new()
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
