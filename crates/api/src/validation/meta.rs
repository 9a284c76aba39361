//! `metadata` of every kind (k8s.io/apimachinery/pkg/api/validation/objectmeta.go). The engine calls this before a
//! kind's own validation.

use super::names;
use crate::field::{Error, Path};
use crate::{Kind, Value};

/// Most bytes of all annotations of an object, keys and values.
pub const ANNOTATIONS: usize = 256 * 1024;
pub const IMMUTABLE: &str = "field is immutable";

/// On a create, after a name was generated.
pub fn validate_object_meta(kind: &Kind, value: &Value, errors: &mut Vec<Error>) {
    let path = Path::new("metadata");
    let name = value.str_at(&["metadata", "name"]);
    let generate = value.str_at(&["metadata", "generateName"]);
    if !generate.is_empty()
        && let Some(text) = kind.rules.bad_name(generate, true)
    {
        errors.push(Error::invalid(path.child("generateName"), generate, text));
    }
    if name.is_empty() {
        errors.push(Error::required(path.child("name"), "name or generateName is required"));
    } else if let Some(text) = kind.rules.bad_name(name, false) {
        errors.push(Error::invalid(path.child("name"), name, text));
    }
    let namespace = value.str_at(&["metadata", "namespace"]);
    match (kind.namespaced, namespace.is_empty()) {
        (true, true) => errors.push(Error::required(path.child("namespace"), "")),
        (true, false) => {
            for text in names::dns_label(namespace) {
                errors.push(Error::invalid(path.child("namespace"), namespace, text));
            }
        }
        (false, false) => errors.push(Error::forbidden(path.child("namespace"), "not allowed on this type")),
        (false, true) => {}
    }
    if let Some(generation) =
        value.at(&["metadata", "generation"]).and_then(Value::as_int).filter(|at| *at < 0)
    {
        let text = "must be greater than or equal to 0";
        errors.push(Error::invalid(path.child("generation"), generation, text));
    }
    let metadata = value.get("metadata").unwrap_or(&Value::Null);
    common(metadata, &path, errors);
    finalizers(kind, metadata, &path, errors);
    validate_managed_fields(metadata.get("managedFields"), &path.child("managedFields"), errors);
}

/// On an update; `new` carries the resourceVersion it was made from.
pub fn validate_object_meta_update(kind: &Kind, new: &Value, old: &Value, errors: &mut Vec<Error>) {
    let path = Path::new("metadata");
    let (new_meta, old_meta) =
        (new.get("metadata").unwrap_or(&Value::Null), old.get("metadata").unwrap_or(&Value::Null));
    if old_meta.get("deletionTimestamp").is_some_and(|time| !time.is_null()) {
        let texts = |value: &Value| -> Vec<String> {
            let items = value.get("finalizers").and_then(Value::as_array).unwrap_or_default();
            items.iter().filter_map(Value::as_str).map(String::from).collect()
        };
        let had = texts(old_meta);
        let mut extra: Vec<String> = texts(new_meta)
            .into_iter()
            .filter(|name| !had.contains(name))
            .map(|name| format!("{name:?}"))
            .collect();
        extra.sort();
        extra.dedup();
        if !extra.is_empty() {
            let text = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                extra.join(", ")
            );
            errors.push(Error::forbidden(path.child("finalizers"), text));
        }
    }
    if new_meta.str_at(&["resourceVersion"]).is_empty() {
        errors.push(Error::invalid(path.child("resourceVersion"), "", "must be specified for an update"));
    }
    let generation = |value: &Value| value.get("generation").and_then(Value::as_int).unwrap_or_default();
    if generation(new_meta) < generation(old_meta) {
        let text = "must not be decremented";
        errors.push(Error::invalid(path.child("generation"), generation(new_meta), text));
    }
    let fields =
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for field in fields {
        immutable(new_meta.get(field), old_meta.get(field), path.child(field), errors);
    }
    common(new_meta, &path, errors);
    finalizers(kind, new_meta, &path, errors);
    validate_managed_fields(new_meta.get("managedFields"), &path.child("managedFields"), errors);
}

/// Reports a field that changed and may not; `null` and absent are the same.
pub fn immutable(new: Option<&Value>, old: Option<&Value>, path: Path, errors: &mut Vec<Error>) {
    let (new, old) = (new.unwrap_or(&Value::Null), old.unwrap_or(&Value::Null));
    if new != old {
        errors.push(Error::invalid(path, new.clone(), IMMUTABLE));
    }
}

fn common(metadata: &Value, path: &Path, errors: &mut Vec<Error>) {
    validate_labels(metadata.get("labels"), &path.child("labels"), errors);
    validate_annotations(metadata.get("annotations"), &path.child("annotations"), errors);
    validate_owners(metadata.get("ownerReferences"), &path.child("ownerReferences"), errors);
}

pub fn validate_labels(labels: Option<&Value>, path: &Path, errors: &mut Vec<Error>) {
    for (key, value) in labels.and_then(Value::as_map).into_iter().flat_map(|map| map.iter()) {
        validate_label_name(key, path, errors);
        let value = value.as_str().unwrap_or_default();
        for text in names::label_value(value) {
            errors.push(Error::invalid(path.clone(), value, text));
        }
    }
}

pub fn validate_label_name(name: &str, path: &Path, errors: &mut Vec<Error>) {
    for text in names::qualified_name(name) {
        errors.push(Error::invalid(path.clone(), name, text));
    }
}

pub fn validate_annotations(annotations: Option<&Value>, path: &Path, errors: &mut Vec<Error>) {
    let mut size = 0;
    for (key, value) in annotations.and_then(Value::as_map).into_iter().flat_map(|map| map.iter()) {
        size += key.len() + value.as_str().unwrap_or_default().len();
        for text in names::qualified_name(&key.to_lowercase()) {
            errors.push(Error::invalid(path.clone(), key.as_str(), text));
        }
    }
    if size > ANNOTATIONS {
        errors.push(Error::too_long(path.clone(), ANNOTATIONS));
    }
}

fn validate_owners(owners: Option<&Value>, path: &Path, errors: &mut Vec<Error>) {
    let mut controller: Option<String> = None;
    for owner in owners.and_then(Value::as_array).unwrap_or_default() {
        let at = |field: &str| owner.str_at(&[field]).to_string();
        let (version, kind, name) = (at("apiVersion"), at("kind"), at("name"));
        if version.rsplit('/').next().unwrap_or_default().is_empty() {
            let text = "version must not be empty";
            errors.push(Error::invalid(path.child("apiVersion"), version.as_str(), text));
        }
        for field in ["kind", "name", "uid"] {
            if at(field).is_empty() {
                errors.push(Error::invalid(path.child(field), "", "must not be empty"));
            }
        }
        if version == "v1" && kind == "Event" {
            let text = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(Error::invalid(path.clone(), owner.clone(), text));
        }
        if owner.get("controller").and_then(Value::as_bool) == Some(true) {
            let this = format!("{kind}/{name}");
            match &controller {
                Some(first) => {
                    let text = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} \
                         and {this}"
                    );
                    errors.push(Error::invalid(path.clone(), owners.cloned().unwrap_or_default(), text));
                }
                None => controller = Some(this),
            }
        }
    }
}

/// `metadata.finalizers` of any kind.
pub fn validate_finalizers(finalizers: Option<&Value>, path: &Path, errors: &mut Vec<Error>) {
    let list = finalizers.and_then(Value::as_array).unwrap_or_default();
    for name in list.iter().filter_map(Value::as_str) {
        for text in names::qualified_name(name) {
            errors.push(Error::invalid(path.clone(), name, text));
        }
    }
    let has = |name: &str| list.iter().any(|item| item.as_str() == Some(name));
    if has("orphan") && has("foregroundDeletion") {
        let text = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(Error::invalid(path.clone(), finalizers.cloned().unwrap_or_default(), text));
    }
}

fn finalizers(kind: &Kind, metadata: &Value, path: &Path, errors: &mut Vec<Error>) {
    let path = path.child("finalizers");
    validate_finalizers(metadata.get("finalizers"), &path, errors);
    let is_old_event = kind.kind == "Event" && kind.resource.group.is_empty();
    if !kind.custom && !generic(&kind.resource.group) && !is_old_event {
        standard_finalizers(metadata.get("finalizers"), &path, errors);
    }
}

/// Groups whose kinds upstream validates, as it does Events, by the machinery's rules alone.
fn generic(group: &str) -> bool {
    matches!(
        group,
        "apiextensions.k8s.io"
            | "admissionregistration.k8s.io"
            | "apiregistration.k8s.io"
            | "node.k8s.io"
            | "coordination.k8s.io"
            | "policy"
    )
}

/// A name without a domain is one that Kubernetes knows; asked of built-in kinds only.
fn standard_finalizers(finalizers: Option<&Value>, path: &Path, errors: &mut Vec<Error>) {
    let list = finalizers.and_then(Value::as_array).unwrap_or_default();
    for (at, name) in list.iter().filter_map(Value::as_str).enumerate() {
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            let text = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(Error::invalid(path.index(at), name, text));
        }
    }
}

fn validate_managed_fields(entries: Option<&Value>, path: &Path, errors: &mut Vec<Error>) {
    for (at, entry) in entries.and_then(Value::as_array).unwrap_or_default().iter().enumerate() {
        let path = path.index(at);
        let operation = entry.str_at(&["operation"]);
        if operation != "Apply" && operation != "Update" {
            let text = "must be `Apply` or `Update`";
            errors.push(Error::invalid(path.child("operation"), operation, text));
        }
        let format = entry.str_at(&["fieldsType"]);
        if !format.is_empty() && format != "FieldsV1" {
            errors.push(Error::invalid(path.child("fieldsType"), format, "must be `FieldsV1`"));
        }
        let manager = entry.str_at(&["manager"]);
        if manager.len() > 128 {
            errors.push(Error::too_long(path.child("manager"), 128));
        }
        if manager.chars().any(|letter| letter.is_control()) {
            let text = format!("should only contain printable characters: {manager:?}");
            errors.push(Error::invalid(path.child("manager"), manager, text));
        }
    }
}
