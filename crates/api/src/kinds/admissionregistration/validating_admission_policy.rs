//! ValidatingAdmissionPolicy.

use super::rules;
use crate::Value;
use crate::cel::Env;
use crate::field::Error;
use crate::kinds::edit::{default_pointer, each, inside, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "validatingadmissionpolicies",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            generation: true,
            unconditional_update: false,
            defaults,
            check,
            check_status: |policy, _| {
                let status = policy.get("status");
                for warning in status.at(&["typeChecking", "expressionWarnings"]).items() {
                    warning.get("warning").required();
                    if warning.get("fieldRef").text().trim().is_empty() {
                        warning.get("fieldRef").missing("");
                    }
                }
                status.get("conditions").conditions();
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

fn check(policy: &Node<'_>) {
    let spec = policy.get("spec");
    let envs = rules::policy(&spec, false);
    let (validations, annotations) = (spec.get("validations"), spec.get("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let text = "validations or auditAnnotations must contain at least one item";
        validations.missing(text);
        return annotations.missing(text);
    }
    for validation in validations.items() {
        let (expression, message) = (validation.get("expression"), validation.get("message"));
        if expression.text().trim().is_empty() {
            expression.missing("expression is not specified");
        }
        rules::expression(&expression, &envs.expressions, &["bool"]);
        let blank = |node: &Node<'_>| !node.text().is_empty() && node.text().trim().is_empty();
        let computed = validation.get("messageExpression");
        if blank(&computed) {
            computed.invalid("must be non-empty if specified");
        }
        rules::expression(&computed, &envs.expressions, &["string"]);
        if blank(&message) {
            message.invalid("must be non-empty if specified");
        } else if message.text().trim().contains(['\n', '\r']) {
            message.invalid("must not contain line breaks");
        }
        validation.get("reason").one_of_set(&["Forbidden", "Invalid", "RequestEntityTooLarge"]);
    }
    audit_annotations(policy, &annotations, &envs.expressions);
}

fn audit_annotations(policy: &Node<'_>, annotations: &Node<'_>, env: &Env) {
    let name = policy.at(&["metadata", "name"]).text();
    if annotations.len() > 20 {
        annotations.invalid("must not have more than 20 auditAnnotations");
    }
    let items = annotations.items();
    for (at, annotation) in items.iter().enumerate() {
        let (key, value) = (annotation.get("key"), annotation.get("valueExpression"));
        if name.is_empty() {
            key.error(Error::invalid(key.path().clone(), key.text(), "requires metadata.name be non-empty"));
        } else {
            let whole = format!("{name}/{}", key.text());
            for text in names::qualified_name(&whole) {
                key.error(Error::invalid(key.path().clone(), whole.as_str(), text));
            }
        }
        match value.text().trim().len() {
            0 => value.missing("valueExpression is not specified"),
            long if long > 5 * 1024 => value.missing("must not exceed 5120 bytes in length"),
            _ => rules::expression(&value, env, &["string", "null_type"]),
        }
        if items[..at].iter().any(|other| other.get("key").text() == key.text()) {
            key.error(Error::duplicate(key.path().clone(), key.text()));
        }
    }
}

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

/// The cell of a policy's paramKind.
pub fn param_kind_cell(value: &Value) -> Value {
    match value.at(&["spec", "paramKind"]).filter(|kind| !kind.is_null()) {
        None => "<unset>".into(),
        Some(kind) => format!("{}/{}", kind.str_at(&["apiVersion"]), kind.str_at(&["kind"])).into(),
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let count = list(value, &["spec", "validations"]).len() as i64;
    vec![cells::name(value), Value::Int(count), param_kind_cell(value), age(value, now)]
}
