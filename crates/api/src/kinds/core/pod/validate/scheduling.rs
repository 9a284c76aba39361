//! Affinity, tolerations, scheduling gates, topology spread.

use std::collections::BTreeSet;

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{has, int, list};
use crate::validation::check::{self, Errors};
use crate::validation::{meta, names};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub fn affinity(affinity: Option<&Value>, path: &Path, errors: &mut Errors) {
    let Some(affinity) = affinity else { return };
    if let Some(node) = affinity.get("nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(selector) = node.get(REQUIRED).filter(|selector| !selector.is_null()) {
            node_selector(selector, &path.child(REQUIRED), errors);
        }
        for (at, term) in list(node, &[PREFERRED]).iter().enumerate() {
            let path = path.child(PREFERRED).index(at);
            weight(term, &path, errors);
            if let Some(preference) = term.get("preference") {
                node_term(preference, &path.child("preference"), errors);
            }
        }
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.get(kind) else { continue };
        let path = path.child(kind);
        for (at, term) in list(pods, &[REQUIRED]).iter().enumerate() {
            pod_term(term, &path.child(REQUIRED).index(at), errors);
        }
        for (at, term) in list(pods, &[PREFERRED]).iter().enumerate() {
            let path = path.child(PREFERRED).index(at);
            weight(term, &path, errors);
            let empty = Value::object();
            pod_term(term.get("podAffinityTerm").unwrap_or(&empty), &path.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, path: &Path, errors: &mut Errors) {
    let weight = int(term, &["weight"]);
    if !(1..=100).contains(&weight) {
        errors.push(Error::invalid(path.child("weight"), weight, "must be in the range 1-100"));
    }
}

/// A NodeSelector, of a Pod or of a PersistentVolume.
pub fn node_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("nodeSelectorTerms");
    let terms = list(selector, &["nodeSelectorTerms"]);
    if terms.is_empty() {
        return errors.push(Error::required(path, "must have at least one node selector term"));
    }
    for (at, term) in terms.iter().enumerate() {
        node_term(term, &path.index(at), errors);
    }
}

fn node_term(term: &Value, path: &Path, errors: &mut Errors) {
    for (at, expression) in list(term, &["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(at);
        let values = list(expression, &["values"]);
        match expression.str_at(&["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let text = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(Error::required(path.child("values"), text));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(Error::forbidden(path.child("values"), text));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let text = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(Error::required(path.child("values"), text));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => {
                errors.push(Error::invalid(path.child("operator"), other, "not a valid selector operator"))
            }
        }
        meta::validate_label_name(expression.str_at(&["key"]), &path.child("key"), errors);
        for (at, value) in values.iter().enumerate() {
            let text = value.as_str().unwrap_or_default();
            check::format(text, &path.child("values").index(at), names::label_value, errors);
        }
    }
    for (at, expression) in list(term, &["matchFields"]).iter().enumerate() {
        let path = path.child("matchFields").index(at);
        let values = list(expression, &["values"]);
        match expression.str_at(&["operator"]) {
            "In" | "NotIn" if values.len() == 1 => {}
            "In" | "NotIn" => {
                let text =
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                errors.push(Error::required(path.child("values"), text));
            }
            other => {
                errors.push(Error::invalid(path.child("operator"), other, "not a valid selector operator"))
            }
        }
        let key = expression.str_at(&["key"]);
        if key != "metadata.name" {
            errors.push(Error::invalid(path.child("key"), key, "not a valid field selector key"));
            continue;
        }
        for (at, value) in values.iter().enumerate() {
            let text = value.as_str().unwrap_or_default();
            check::format(text, &path.child("values").index(at), names::dns_subdomain, errors);
        }
    }
}

fn pod_term(term: &Value, path: &Path, errors: &mut Errors) {
    check::label_selector(term.get("labelSelector"), &path.child("labelSelector"), errors);
    check::label_selector(term.get("namespaceSelector"), &path.child("namespaceSelector"), errors);
    for name in list(term, &["namespaces"]).iter().filter_map(Value::as_str) {
        check::format(name, &path.child("namespace"), names::dns_label, errors);
    }
    label_keys(term, path, errors);
    let key = term.str_at(&["topologyKey"]);
    if key.is_empty() {
        errors.push(Error::required(path.child("topologyKey"), "can not be empty"));
    }
    meta::validate_label_name(key, &path.child("topologyKey"), errors);
}

fn label_keys(term: &Value, path: &Path, errors: &mut Errors) {
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = list(term, &[field]);
        if !keys.is_empty() && !has(term, &["labelSelector"]) {
            let text = "must not be specified when labelSelector is not set";
            errors.push(Error::forbidden(path.child(field), text));
        }
        for (at, key) in keys.iter().filter_map(Value::as_str).enumerate() {
            meta::validate_label_name(key, &path.child(field).index(at), errors);
        }
    }
    let other = list(term, &["mismatchLabelKeys"]);
    for (at, key) in list(term, &["matchLabelKeys"]).iter().enumerate() {
        if other.contains(key) {
            let text = "exists in both matchLabelKeys and mismatchLabelKeys";
            errors.push(Error::invalid(path.child("matchLabelKeys").index(at), key.clone(), text));
        }
    }
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub fn tolerations(tolerations: &[Value], path: &Path, errors: &mut Errors) {
    for (at, toleration) in tolerations.iter().enumerate() {
        let path = path.index(at);
        let at = |field: &str| toleration.str_at(&[field]);
        let (key, operator, value, effect) = (at("key"), at("operator"), at("value"), at("effect"));
        if !key.is_empty() {
            meta::validate_label_name(key, &path.child("key"), errors);
        } else if operator != "Exists" {
            let text =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(Error::invalid(path.child("operator"), operator, text));
        }
        if has(toleration, &["tolerationSeconds"]) && effect != "NoExecute" {
            let text = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(Error::invalid(path.child("effect"), effect, text));
        }
        match operator {
            "Equal" | "" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    errors.push(Error::invalid(path.child("operator"), value, wrong.join(";")));
                }
            }
            "Exists" => {
                if !value.is_empty() {
                    let text = "value must be empty when `operator` is 'Exists'";
                    errors.push(Error::invalid(path.child("operator"), value, text));
                }
            }
            // Lt and Gt wait behind TaintTolerationComparisonOperators, off by default.
            "Lt" | "Gt" => {
                let supported = ["Equal", "Exists", "Lt", "Gt"];
                errors.push(Error::not_supported(path.child("operator"), operator, &supported));
            }
            other => errors.push(Error::not_supported(path.child("operator"), other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() {
            check::one_of(effect, path.child("effect"), &EFFECTS, errors);
        }
    }
}

/// Taints of a Node.
pub fn taints(taints: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, taint) in taints.iter().enumerate() {
        let path = path.index(at);
        let (key, effect) = (taint.str_at(&["key"]), taint.str_at(&["effect"]));
        meta::validate_label_name(key, &path.child("key"), errors);
        let wrong = names::label_value(taint.str_at(&["value"]));
        if !wrong.is_empty() {
            errors.push(Error::invalid(path.child("value"), taint.str_at(&["value"]), wrong.join(";")));
        }
        check::required_one_of(effect, path.child("effect"), &EFFECTS, errors);
        if !seen.insert((key, effect)) {
            let mut error = Error::duplicate(path, taint.clone());
            error.detail = "taints must be unique by key and effect pair".into();
            errors.push(error);
        }
    }
}

pub fn gates(gates: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, gate) in gates.iter().enumerate() {
        let name = gate.str_at(&["name"]);
        check::format(name, &path.index(at), names::qualified_name, errors);
        if !seen.insert(name) {
            errors.push(Error::duplicate(path.index(at), name));
        }
    }
}

pub fn spread(constraints: &[Value], path: &Path, errors: &mut Errors) {
    for (at, constraint) in constraints.iter().enumerate() {
        let path = path.index(at);
        let skew = int(constraint, &["maxSkew"]);
        if skew <= 0 {
            errors.push(Error::invalid(path.child("maxSkew"), skew, "must be greater than zero"));
        }
        let (key, action) = (constraint.str_at(&["topologyKey"]), constraint.str_at(&["whenUnsatisfiable"]));
        if key.is_empty() {
            errors.push(Error::required(path.child("topologyKey"), "can not be empty"));
        }
        check::one_of(action, path.child("whenUnsatisfiable"), &["DoNotSchedule", "ScheduleAnyway"], errors);
        let again = |other: &Value| {
            other.str_at(&["topologyKey"]) == key && other.str_at(&["whenUnsatisfiable"]) == action
        };
        if constraints[at + 1..].iter().any(again) {
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            errors.push(Error::duplicate(path, format!("{{{key}, {action}}}")));
        }
        if let Some(domains) = constraint.get("minDomains").and_then(Value::as_int) {
            let path = path.child("minDomains");
            if domains <= 0 {
                errors.push(Error::invalid(path.clone(), domains, "must be greater than zero"));
            }
            if action != "DoNotSchedule" {
                let text =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                errors.push(Error::invalid(path, domains, text));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            check::optional_one_of(constraint, &path, field, &["Honor", "Ignore"], errors);
        }
        label_keys(constraint, &path, errors);
        check::label_selector(constraint.get("labelSelector"), &path.child("labelSelector"), errors);
    }
}
