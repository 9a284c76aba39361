//! IngressClass: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, inside};
use crate::table::age;

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "ingressclasses",
    storage: "v1",
    rules: || Box::new(FactsOnly { generation: true, defaults, row: Some(row), ..FactsOnly::new() }),
};

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["spec", "parameters"], |parameters| default_pointer(parameters, "scope", "Cluster"));
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let mut name = value.str_at(&["metadata", "name"]).to_string();
    if value.str_at(&["metadata", "annotations", "ingressclass.kubernetes.io/is-default-class"]) == "true" {
        name.push_str(" (default)");
    }
    let parameters = match value.at(&["spec", "parameters"]).filter(|parameters| !parameters.is_null()) {
        None => "<none>".into(),
        Some(parameters) => {
            let kind = match parameters.str_at(&["apiGroup"]) {
                "" => parameters.str_at(&["kind"]).to_string(),
                group => format!("{}.{group}", parameters.str_at(&["kind"])),
            };
            format!("{kind}/{}", parameters.str_at(&["name"]))
        }
    };
    vec![name.into(), value.str_at(&["spec", "controller"]).into(), parameters.into(), age(value, now)]
}
