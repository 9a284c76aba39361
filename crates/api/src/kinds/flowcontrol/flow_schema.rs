//! FlowSchema: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default, int};
use crate::pod::condition;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "flowcontrol.apiserver.k8s.io",
    plural: "flowschemas",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly { status: true, generation: true, defaults, row: Some(row), ..FactsOnly::new() })
    },
};

fn defaults(_: &str, value: &mut Value) {
    default(value.make(&["spec"]), "matchingPrecedence", 1000i64);
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let dangling = condition(value, "Dangling").map(|found| found.str_at(&["status"])).unwrap_or("?");
    vec![
        cells::name(value),
        value.str_at(&["spec", "priorityLevelConfiguration", "name"]).into(),
        Value::Int(int(value, &["spec", "matchingPrecedence"])),
        cells::or(value.str_at(&["spec", "distinguisherMethod", "type"]), "<none>"),
        age(value, now),
        dangling.into(),
    ]
}
