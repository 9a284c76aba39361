//! Cells of volumes and claims.

use crate::Value;
use crate::kinds::edit::list;

/// `RWO,ROX`: access modes, short, each once, in upstream's order.
pub fn access_modes(modes: &[Value]) -> Value {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| modes.iter().any(|one| one.as_str() == Some(mode));
    let texts: Vec<&str> = SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    texts.join(",").into()
}

/// The storage class, from the old annotation or the field.
pub fn class(value: &Value) -> Value {
    let annotated = value.str_at(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    if annotated.is_empty() { value.str_at(&["spec", "storageClassName"]).into() } else { annotated.into() }
}

/// A text that a pointer field has, or `<unset>`.
pub fn or_unset(value: &Value, path: &[&str]) -> Value {
    value.at(path).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| "<unset>".into())
}

/// `status.phase`, or `Terminating`.
pub fn phase(value: &Value) -> Value {
    match value.at(&["metadata", "deletionTimestamp"]).filter(|time| !time.is_null()) {
        Some(_) => "Terminating".into(),
        None => value.str_at(&["status", "phase"]).into(),
    }
}

/// Access modes at a path.
pub fn modes_at(value: &Value, path: &[&str]) -> Value {
    access_modes(list(value, path))
}
