//! PriorityLevelConfiguration: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default, default_pointer, inside};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "flowcontrol.apiserver.k8s.io",
    plural: "prioritylevelconfigurations",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly { status: true, generation: true, defaults, row: Some(row), ..FactsOnly::new() })
    },
};

fn defaults(_: &str, value: &mut Value) {
    for (part, shares) in [("exempt", 0i64), ("limited", 30i64)] {
        inside(value, &["spec", part], |level| {
            default_pointer(level, "nominalConcurrencyShares", shares);
            default_pointer(level, "lendablePercent", 0i64);
        });
    }
    inside(value, &["spec", "limited", "limitResponse", "queuing"], |queuing| {
        default(queuing, "handSize", 8i64);
        default(queuing, "queues", 64i64);
        default(queuing, "queueLengthLimit", 50i64);
    });
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let of = |path: &[&str]| {
        value.at(path).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| "<none>".into())
    };
    let queuing = |field: &str| of(&["spec", "limited", "limitResponse", "queuing", field]);
    vec![
        cells::name(value),
        value.str_at(&["spec", "type"]).into(),
        of(&["spec", "limited", "nominalConcurrencyShares"]),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        age(value, now),
    ]
}
