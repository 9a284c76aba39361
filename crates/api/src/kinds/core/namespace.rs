//! Namespace: the label of its name, the finalizer that its controller takes away.

use crate::Value;
use crate::field::{Error, Path};
use crate::kind::{Context, Rules, keep, name_by};
use crate::kinds::Builtin;
use crate::kinds::edit::{has, list};
use crate::table::{age, cells};
use crate::validation::check::{self, Errors};
use crate::validation::names;

pub const KIND: Builtin =
    Builtin { group: "", plural: "namespaces", storage: "v1", rules: || Box::new(Namespace) };

struct Namespace;

/// The finalizer that every new namespace has.
const KUBERNETES: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

fn label(value: &mut Value) {
    let name = value.str_at(&["metadata", "name"]).to_string();
    if !name.is_empty() {
        value.set(&["metadata", "labels", NAME_LABEL], name);
    }
}

fn finalizers(value: &Value, path: impl Fn(usize) -> Path, errors: &mut Errors) {
    for (at, name) in list(value, &["spec", "finalizers"]).iter().enumerate() {
        let name = name.as_str().unwrap_or_default();
        check::format(name, &path(at), names::qualified_name, errors);
        if !name.contains('/') && !matches!(name, KUBERNETES | "orphan" | "foregroundDeletion") {
            let text = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(Error::invalid(path(at), name, text));
        }
    }
}

impl Rules for Namespace {
    fn default(&self, _: &str, value: &mut Value) {
        label(value);
        if value.str_at(&["status", "phase"]).is_empty() {
            value.set(&["status", "phase"], "Active");
        }
    }
    fn prepare_create(&self, _: &Context<'_>, new: &mut Value) {
        label(new);
        let mut status = Value::object();
        status.set(&["phase"], "Active");
        new.set(&["status"], status);
        let mut finalizers = list(new, &["spec", "finalizers"]).to_vec();
        if !finalizers.iter().any(|name| name.as_str() == Some(KUBERNETES)) {
            finalizers.push(KUBERNETES.into());
        }
        new.set(&["spec", "finalizers"], finalizers);
    }
    fn prepare_update(&self, _: &Context<'_>, new: &mut Value, old: &Value) {
        label(new);
        keep(new, old, "spec");
        keep(new, old, "status");
    }
    fn prepare_subresource(&self, name: &str, context: &Context<'_>, new: &mut Value, old: &Value) {
        match name {
            "finalize" => keep(new, old, "status"),
            _ => self.prepare_status(context, new, old),
        }
    }
    fn validate_create(&self, _: &Context<'_>, new: &Value, errors: &mut Errors) {
        finalizers(new, |_| Path::new("spec").child("finalizers"), errors);
    }
    fn validate_status(&self, _: &Context<'_>, new: &Value, _: &Value, errors: &mut Errors) {
        let phase = new.str_at(&["status", "phase"]);
        let deleting = has(new, &["metadata", "deletionTimestamp"]);
        let path = Path::new("status").child("Phase");
        if !deleting && phase != "Active" {
            let text = "may only be 'Active' if `deletionTimestamp` is empty";
            errors.push(Error::invalid(path, phase, text));
        } else if deleting && phase != "Terminating" {
            let text = "may only be 'Terminating' if `deletionTimestamp` is not empty";
            errors.push(Error::invalid(path, phase, text));
        }
    }
    fn validate_subresource(
        &self,
        name: &str,
        context: &Context<'_>,
        new: &Value,
        old: &Value,
        errors: &mut Errors,
    ) {
        match name {
            "finalize" => finalizers(new, |at| Path::new("spec").child("finalizers").index(at), errors),
            _ => self.validate_status(context, new, old, errors),
        }
    }
    fn has_status(&self) -> bool {
        true
    }
    fn bad_name(&self, name: &str, prefix: bool) -> Option<String> {
        name_by(names::dns_label, name, prefix)
    }
    fn cells(&self, value: &Value, now: i64) -> Option<Vec<Value>> {
        Some(vec![cells::name(value), value.str_at(&["status", "phase"]).into(), age(value, now)])
    }
}
