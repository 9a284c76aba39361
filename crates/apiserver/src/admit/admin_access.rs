//! Who may have devices that others use already: only claims in namespaces that say so (DRAAdminAccess;
//! k8s.io/kubernetes/pkg/registry/resource). A part of the kinds' validation that must see the namespace.

use api::Value;
use api::field::{Error, Path};
use api::validation::check::Errors;

use crate::engine::Call;

const LABEL: &str = "resource.kubernetes.io/admin-access";

fn flag(value: &Value, path: &[&str]) -> bool {
    value.at(path).and_then(Value::as_bool) == Some(true)
}

fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    value.at(path).and_then(Value::as_array).unwrap_or_default()
}

/// Adds why a claim or a template of claims may not be made here.
pub(crate) fn created(call: &Call, value: &Value, errors: &mut Errors) {
    let resource = &call.target.kind.resource;
    let place: &[&str] = match (resource.group.as_str(), resource.plural.as_str()) {
        ("resource.k8s.io", "resourceclaims") => &["spec", "devices", "requests"],
        ("resource.k8s.io", "resourceclaimtemplates") => &["spec", "spec", "devices", "requests"],
        _ => return,
    };
    let first = list(value, place).iter().position(|request| flag(request, &["exactly", "adminAccess"]));
    if let Some(at) = first {
        // A template's are told as a claim's are.
        let path = Path::new("spec").child("devices").child("requests").index(at).child("adminAccess");
        judge(call, path, errors);
    }
}

/// The same of a claim's status: what was granted stays.
pub(crate) fn told(call: &Call, value: &Value, old: &Value, errors: &mut Errors) {
    let resource = &call.target.kind.resource;
    if (resource.group.as_str(), resource.plural.as_str()) != ("resource.k8s.io", "resourceclaims") {
        return;
    }
    let place = ["status", "allocation", "devices", "results"];
    let granted =
        |value: &Value| list(value, &place).iter().position(|result| flag(result, &["adminAccess"]));
    if let (Some(at), None) = (granted(value), granted(old)) {
        let path = place.iter().skip(1).fold(Path::new(place[0]), |path, step| path.child(step));
        judge(call, path.index(at).child("adminAccess"), errors);
    }
}

fn judge(call: &Call, path: Path, errors: &mut Errors) {
    let namespace = call.inner.peek("", "namespaces", "", &call.info.namespace);
    let labelled =
        namespace.is_some_and(|object| object.value().str_at(&["metadata", "labels", LABEL]) == "true");
    if !labelled {
        let text =
            format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
        errors.push(Error::forbidden(path, text));
    }
}
