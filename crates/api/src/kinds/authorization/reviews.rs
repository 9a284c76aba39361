//! What the reviews of rights ask of a request.

use crate::Value;
use crate::field::{Error, Path};
use crate::validation::{Node, names};

/// Of a SubjectAccessReview or a SelfSubjectAccessReview (`own`).
fn spec(spec: &Node<'_>, own: bool) {
    let (resource, other) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    match (resource.has(), other.has()) {
        (true, true) => other.invalid("cannot be specified in combination with resourceAttributes"),
        (false, false) => {
            resource.invalid("exactly one of nonResourceAttributes or resourceAttributes must be specified");
        }
        _ => {}
    }
    let user = spec.get("user");
    if !own && user.text().is_empty() && spec.get("groups").is_empty() {
        let text = "at least one of user or group must be specified";
        user.error(Error::invalid(user.path().clone(), "", text));
    }
    selector(&resource.get("fieldSelector"), false);
    selector(&resource.get("labelSelector"), true);
}

/// A review has no metadata but what the server writes.
fn no_metadata(review: &Node<'_>, detail: &str, and: &[&str]) {
    let mut metadata = review.get("metadata").value().clone();
    for field in ["managedFields", "creationTimestamp"].iter().chain(and) {
        metadata.remove(&[field]);
    }
    if !crate::kinds::edit::same(Some(&metadata), Some(&Value::object())) {
        review.get("metadata").invalid(detail);
    }
}

pub fn subject(review: &Node<'_>) {
    spec(&review.get("spec"), false);
    no_metadata(review, "must be empty", &[]);
}

pub fn own(review: &Node<'_>) {
    spec(&review.get("spec"), true);
    no_metadata(review, "must be empty", &[]);
}

pub fn local(review: &Node<'_>) {
    spec(&review.get("spec"), false);
    no_metadata(review, "must be empty except for namespace", &["namespace"]);
    let attributes = review.at(&["spec", "resourceAttributes"]);
    let namespace = attributes.get("namespace").text();
    if attributes.has() && namespace != review.at(&["metadata", "namespace"]).text() {
        let path = Path::new("spec.resourceAttributes.namespace");
        review.error(Error::invalid(path, namespace, "must match metadata.namespace"));
    }
    let other = review.at(&["spec", "nonResourceAttributes"]);
    if other.has() {
        other.invalid("disallowed on this kind of request");
    }
}

fn selector(selector: &Node<'_>, labels: bool) {
    if !selector.has() {
        return;
    }
    let (raw, requirements) = (selector.get("rawSelector"), selector.get("requirements"));
    if !raw.text().is_empty() && !requirements.is_empty() {
        raw.invalid("may not specified at the same time as requirements");
    }
    if raw.text().is_empty() && requirements.is_empty() {
        requirements.missing(format!(
            "when {} is specified, requirements or rawSelector is required",
            selector.path()
        ));
    }
    for requirement in requirements.items() {
        let (key, values) = (requirement.get("key"), requirement.get("values"));
        if !labels {
            key.required_for("must be specified");
        }
        match requirement.get("operator").text() {
            "In" | "NotIn" => {
                values.required_for("must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" => {
                values.unset("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            // A newer client may know more operators.
            _ => {}
        }
        if labels {
            key.label_key();
            for value in values.items() {
                value.is_even_empty(names::label_value);
            }
        }
    }
}
