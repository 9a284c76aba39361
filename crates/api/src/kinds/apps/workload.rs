//! What the kinds that run a pod template share: its defaults, selector, counts.

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::core::pod::{defaults, validate, warnings};
use crate::kinds::edit::{entries, has, inside, int, list};
use crate::selector::Labels;
use crate::validation::Node;
use crate::validation::check::{self, Errors};

/// Defaults of `spec.template`.
pub fn default_template(value: &mut Value) {
    inside(value, &["spec", "template"], defaults::template);
}

/// `spec.serviceAccount` of templates follows `serviceAccountName` (see [`defaults::mirror_service_account`]).
pub fn mirror_service_account(value: &mut Value) {
    inside(value, &["spec", "template", "spec"], defaults::mirror_service_account);
}

/// Warnings for `spec.template`, where an update changed it.
pub fn template_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut texts = Vec::new();
    let of = |value: &Value| value.at(&["spec", "template"]).cloned();
    if let Some(template) =
        of(new).filter(|template| old.is_none_or(|old| of(old).as_ref() != Some(template)))
    {
        warnings::spec(&template, "spec.template", &mut texts);
    }
    texts
}

/// `spec.selector` is there, is good, is not empty, and selects the template's pods.
pub fn selector_and_template(value: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let selector = value.at(&["spec", "selector"]).filter(|selector| !selector.is_null());
    match selector {
        None => errors.push(Error::required(path.child("selector"), "")),
        Some(selector) => {
            check::label_selector(Some(selector), &path.child("selector"), errors);
            if entries(selector, &["matchLabels"]).count() + list(selector, &["matchExpressions"]).len() == 0
            {
                let text = "empty selector is invalid for deployment";
                errors.push(Error::invalid(path.child("selector"), selector.clone(), text));
            }
        }
    }
    let shown = selector.cloned().unwrap_or_default();
    match Labels::from_object(&shown) {
        Err(_) => errors.push(Error::invalid(path.child("selector"), shown, "invalid label selector")),
        Ok(labels) => {
            let template = value.at(&["spec", "template"]);
            let of_pods = template.and_then(|template| template.at(&["metadata", "labels"]));
            if !labels.is_empty() && !labels.matches_value(of_pods) {
                let path = path.child("template").child("metadata").child("labels");
                let text = "`selector` does not match template `labels`";
                errors.push(Error::invalid(path, of_pods.cloned().unwrap_or_default(), text));
            }
            self::template(template.unwrap_or(&Value::Null), &path.child("template"), errors);
        }
    }
}

/// A template whose pods run for ever.
pub fn template(template: &Value, path: &Path, errors: &mut Errors) {
    validate::template(template, path, errors);
    let policy = template.str_at(&["spec", "restartPolicy"]);
    if policy != "Always" {
        errors.push(Error::not_supported(path.child("spec").child("restartPolicy"), policy, &["Always"]));
    }
    if has(template, &["spec", "activeDeadlineSeconds"]) {
        let path = path.child("spec").child("activeDeadlineSeconds");
        errors.push(Error::forbidden(path, "activeDeadlineSeconds in ReplicaSet is not Supported"));
    }
}

/// A template whose pods run for ever, of `kind`.
pub fn pods(template: &Node<'_>, kind: &str) {
    template.by(validate::template);
    always(template, kind);
}

/// What [`pods`] asks beyond the template's own rules.
pub fn always(template: &Node<'_>, kind: &str) {
    template.at(&["spec", "restartPolicy"]).one_of_even_empty(&["Always"]);
    let deadline = template.at(&["spec", "activeDeadlineSeconds"]);
    if deadline.has() {
        deadline.forbidden(format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// `status.collisionCount` only grows.
pub fn collisions(object: &Node<'_>, old: &Node<'_>) {
    let path = ["status", "collisionCount"];
    let (count, was) = (object.at(&path), old.at(&path));
    if was.has() && count.int() < was.int() || was.has() && !count.has() {
        count.error(Error::invalid(count.path().clone(), count.int(), "cannot be decremented"));
    }
}

/// Counts in `status` are not negative, and none is above `replicas`.
pub fn status_counts(value: &Value, below: &[&str], others: &[&str], errors: &mut Errors) {
    let path = Path::new("status");
    let empty = Value::object();
    let status = value.get("status").unwrap_or(&empty);
    for field in ["replicas", "observedGeneration"].iter().chain(below).chain(others) {
        check::nonnegative(status, &path, field, errors);
    }
    let count = |field: &str| int(status, &[field]);
    for field in below {
        if count(field) > count("replicas") {
            let text = "cannot be greater than status.replicas";
            errors.push(Error::invalid(path.child(field), count(field), text));
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let text = "cannot be greater than readyReplicas";
        errors.push(Error::invalid(path.child("availableReplicas"), count("availableReplicas"), text));
    }
}

/// The number of an int-or-percent, 0 for an absent one.
pub fn bound(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Int(number)) => *number,
        Some(Value::String(text)) => {
            text.strip_suffix('%').and_then(|digits| digits.parse().ok()).unwrap_or_default()
        }
        _ => 0,
    }
}
