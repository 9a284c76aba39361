//! The parameters that a binding leads to (policy/generic, `CollectParams`).

use api::Value;
use api::selector::Labels;

use super::{Binding, Policy};
use crate::admit::Request;

/// Each is run with on its own; `None` is a run without parameters.
pub(super) fn of(
    request: &Request<'_>,
    policy: &Policy,
    binding: &Binding,
) -> Result<Vec<Option<Value>>, String> {
    let (Some((api_version, kind)), Some(reference)) = (&policy.params, &binding.params) else {
        return Ok(vec![None]);
    };
    let inner = &request.call.inner;
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let kinds = inner.kinds.load();
    let unknown = || format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'");
    let row = kinds.kind(group, kind).filter(|row| row.version(version).is_some()).ok_or_else(unknown)?;
    let cache = inner.caches.get(&kinds.storage_of(row).resource).ok_or_else(unknown)?;
    let given = reference.str_at(&["namespace"]);
    let namespace = match (row.namespaced, given) {
        (false, "") => "",
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into());
        }
        (true, "") if request.namespace().is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                    .into(),
            );
        }
        (true, "") => request.namespace(),
        (true, given) => given,
    };
    let shown = |object: &api::Object| {
        let mut value = object.value();
        crate::codec::from_storage(row, version, &mut value).ok()?;
        Some(value)
    };
    let name = reference.str_at(&["name"]);
    let found: Vec<Option<Value>> = match name {
        "" => {
            let empty = Value::object();
            let selector = reference.get("selector").filter(|own| !own.is_null()).unwrap_or(&empty);
            let labels = Labels::from_object(selector).map_err(|error| error.to_string())?;
            let snapshot = cache.snapshot();
            snapshot
                .range(namespace, None)
                .filter(|object| labels.matches(&object.labels))
                .map(|object| shown(object))
                .collect()
        }
        name => cache.get(namespace, name).iter().map(|object| shown(object)).collect(),
    };
    match (found.is_empty(), reference.str_at(&["parameterNotFoundAction"])) {
        (true, "Deny") => {
            Err("no params found for policy binding with `Deny` parameterNotFoundAction".into())
        }
        _ => Ok(found),
    }
}
