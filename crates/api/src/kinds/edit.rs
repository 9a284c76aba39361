//! Small steps on a [`Value`] that defaults and strategies are made of.

use crate::Value;

/// Go's zero value, or nothing: what defaulting takes for unset in a field that is no pointer.
pub fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Int(0)) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}

/// Sets a field that is no pointer if it is unset.
pub fn default(value: &mut Value, field: &str, to: impl Into<Value>) {
    if is_unset(value.get(field)) {
        value.set(&[field], to);
    }
}

/// Sets a pointer field if it is nil; zero is a value.
pub fn default_pointer(value: &mut Value, field: &str, to: impl Into<Value>) {
    if value.get(field).is_none_or(Value::is_null) {
        value.set(&[field], to);
    }
}

/// Runs `with` on each element of the list at `path`.
pub fn each(value: &mut Value, path: &[&str], mut with: impl FnMut(&mut Value)) {
    for item in value.at_mut(path).and_then(Value::as_array_mut).into_iter().flatten() {
        with(item);
    }
}

/// Runs `with` on the object at `path`, if there is one.
pub fn inside(value: &mut Value, path: &[&str], with: impl FnOnce(&mut Value)) {
    if let Some(inner @ Value::Object(_)) = value.at_mut(path) {
        with(inner);
    }
}

/// The elements of the list at `path`.
pub fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    value.at(path).and_then(Value::as_array).unwrap_or_default()
}

/// The fields of the map at `path`.
pub fn entries<'a>(value: &'a Value, path: &[&str]) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
    value
        .at(path)
        .and_then(Value::as_map)
        .into_iter()
        .flat_map(|map| map.iter())
        .map(|(key, value)| (key.as_str(), value))
}

/// The integer at `path`, 0 if there is none.
pub fn int(value: &Value, path: &[&str]) -> i64 {
    value.at(path).and_then(Value::as_int).unwrap_or_default()
}

/// The flag at `path`, false if there is none.
pub fn flag(value: &Value, path: &[&str]) -> bool {
    value.at(path).and_then(Value::as_bool).unwrap_or_default()
}

/// A pointer or struct that is set: neither absent nor null.
pub fn has(value: &Value, path: &[&str]) -> bool {
    value.at(path).is_some_and(|value| !value.is_null())
}

/// Equal as Go's semantic comparison sees normalized values: absent, null and an empty list are the same. An empty object is
/// a pointer that is set, where it does not stand in place of a null.
pub fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    let empty = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    let bare = |value: Option<&Value>| match value {
        Some(Value::Null) => true,
        Some(Value::Object(map)) => map.is_empty(),
        _ => false,
    };
    if bare(a) && bare(b) {
        return true;
    }
    match (a, b) {
        _ if empty(a) || empty(b) => empty(a) && empty(b),
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            a.iter().all(|(key, value)| same(Some(value), b.get(key)))
                && b.iter().all(|(key, value)| a.contains_key(key) || same(None, Some(value)))
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b)))
        }
        (a, b) => a == b,
    }
}
