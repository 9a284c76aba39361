//! NetworkPolicy: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, each, list};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "networkpolicies",
    storage: "v1",
    rules: || Box::new(FactsOnly { generation: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

fn defaults(_: &str, value: &mut Value) {
    let spec = value.make(&["spec"]);
    for way in ["ingress", "egress"] {
        each(spec, &[way], |rule| {
            each(rule, &["ports"], |port| default_pointer(port, "protocol", "TCP"));
        });
    }
    if list(spec, &["policyTypes"]).is_empty() {
        let mut types = vec![Value::from("Ingress")];
        if !list(spec, &["egress"]).is_empty() {
            types.push("Egress".into());
        }
        spec.set(&["policyTypes"], types);
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let selector = value.at(&["spec", "podSelector"]).cloned().unwrap_or_else(Value::object);
    vec![cells::name(value), cells::selector(Some(&selector)).into(), age(value, now)]
}
