//! ValidatingAdmissionPolicy: defaults and cells, no validation of its own yet.

use crate::Value;
use crate::kind::FactsOnly;
use crate::kinds::Builtin;
use crate::kinds::edit::{default_pointer, each, inside, list};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "validatingadmissionpolicies",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            status_keeps_metadata: true,
            generation: true,
            unconditional_update: false,
            defaults,
            row: Some(row),
            ..FactsOnly::new()
        })
    },
};

fn defaults(_: &str, value: &mut Value) {
    inside(value, &["spec"], |spec| default_pointer(spec, "failurePolicy", "Fail"));
    inside(value, &["spec", "matchConstraints"], match_resources);
}

/// Of the resources that a policy or its binding matches.
pub fn match_resources(resources: &mut Value) {
    default_pointer(resources, "matchPolicy", "Equivalent");
    default_pointer(resources, "namespaceSelector", Value::object());
    default_pointer(resources, "objectSelector", Value::object());
    for rules in ["resourceRules", "excludeResourceRules"] {
        each(resources, &[rules], |rule| default_pointer(rule, "scope", "*"));
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let kind = match value.at(&["spec", "paramKind"]).filter(|kind| !kind.is_null()) {
        None => "<unset>".into(),
        Some(kind) => format!("{}/{}", kind.str_at(&["apiVersion"]), kind.str_at(&["kind"])),
    };
    let count = list(value, &["spec", "validations"]).len() as i64;
    vec![cells::name(value), Value::Int(count), kind.into(), age(value, now)]
}
