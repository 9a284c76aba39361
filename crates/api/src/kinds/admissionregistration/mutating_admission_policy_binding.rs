//! MutatingAdmissionPolicyBinding: where a policy holds, and with which parameters.

use super::rules;
use super::validating_admission_policy::match_resources;
use crate::Value;
use crate::kinds::edit::inside;
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "mutatingadmissionpolicybindings",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            unconditional_update: false,
            defaults: |_, value| inside(value, &["spec", "matchResources"], match_resources),
            row: Some(row),
            check: |binding| {
                let spec = rules::binding(binding);
                rules::no_deletes(&spec.get("matchResources"));
            },
            ..Strategy::new()
        })
    },
};

fn row(value: &Value, now: i64) -> Vec<Value> {
    let policy = value.str_at(&["spec", "policyName"]).into();
    vec![cells::name(value), policy, rules::param_cell(value), age(value, now)]
}
