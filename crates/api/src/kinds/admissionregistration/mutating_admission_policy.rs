//! MutatingAdmissionPolicy.

use super::rules;
use super::validating_admission_policy::{match_resources, param_kind_cell};
use crate::Value;
use crate::field::Error;
use crate::kinds::edit::{default_pointer, inside, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::Node;

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "mutatingadmissionpolicies",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            generation: true,
            unconditional_update: false,
            defaults: |_, value| {
                inside(value, &["spec"], |spec| default_pointer(spec, "failurePolicy", "Fail"));
                inside(value, &["spec", "matchConstraints"], match_resources);
            },
            check,
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn row(value: &Value, now: i64) -> Vec<Value> {
    let count = list(value, &["spec", "mutations"]).len() as i64;
    vec![cells::name(value), Value::Int(count), param_kind_cell(value), age(value, now)]
}

fn check(policy: &Node<'_>) {
    let spec = policy.get("spec");
    let envs = rules::policy(&spec, true);
    let mutations = spec.get("mutations");
    mutations.required_for("mutations must contain at least one item");
    for mutation in mutations.items() {
        let kind = mutation.get("patchType");
        let (wanted, other) = match kind.text() {
            "JSONPatch" => ("jsonPatch", "applyConfiguration"),
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
            "" => {
                kind.missing("");
                continue;
            }
            _ => {
                kind.one_of_even_empty(&["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        let (wanted, other) = (mutation.get(wanted), mutation.get(other));
        wanted.set(&format!("must be specified when patchType is {}", kind.text()));
        if wanted.has() && wanted.get("expression").text().trim().is_empty() {
            wanted.get("expression").missing("");
        }
        // Struct literals are not typed here, so that what they give is not known.
        let gives: &[&str] = match kind.text() {
            "JSONPatch" => &["list(JSONPatch)"],
            _ => &["Object", "dyn"],
        };
        rules::expression(&wanted.get("expression"), &envs.mutations, gives);
        if other.has() {
            let name = other.path().as_str().rsplit('.').next().unwrap_or_default();
            let text = format!("must not be specified when patchType is {}", kind.text());
            other.error(Error::invalid(other.path().clone(), format!("{{{name}}}"), text));
        }
    }
    spec.get("reinvocationPolicy").required_one_of(&rules::REINVOCATION);
}
