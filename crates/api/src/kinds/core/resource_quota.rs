//! ResourceQuota: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::core::pod::defaults::round;
use crate::kinds::edit::entries;
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "resourcequotas",
    storage: "v1",
    rules: || Box::new(FactsOnly { status: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

fn defaults(_: &str, value: &mut Value) {
    for path in [["spec", "hard"], ["status", "hard"], ["status", "used"]] {
        round(value.at_mut(&path));
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let mut hard: Vec<(&str, &Value)> = entries(value, &["status", "hard"]).collect();
    hard.sort_by_key(|(name, _)| *name);
    for (name, amount) in hard {
        let used = value.at(&["status", "used", name]).and_then(Value::as_str).unwrap_or("0");
        let texts = if name.starts_with("limits.") { &mut limits } else { &mut requests };
        texts.push(format!("{name}: {used}/{}", amount.as_str().unwrap_or("0")));
    }
    vec![cells::name(value), requests.join(", ").into(), limits.join(", ").into(), age(value, now)]
}
