//! RFC 6902, as evanphx/json-patch v4 does it: an index may be negative, and `replace` of a missing key of an object
//! adds it.

use super::Error;
use crate::{Map, Value, json};

/// Upstream's limit of operations in one patch.
const MAX_OPERATIONS: usize = 10_000;
/// Bytes that `copy` may add to an object in one patch.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Applies a list of operations.
pub fn json_patch(mut document: Value, patch: &Value) -> Result<Value, Error> {
    let Value::Array(operations) = patch else {
        let found = match patch {
            Value::Object(_) => "object",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            _ => "number",
        };
        return Err(Error::Bad(format!(
            "json: cannot unmarshal {found} into Go value of type jsonpatch.Patch"
        )));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(Error::TooMany { limit: MAX_OPERATIONS, found: operations.len() });
    }
    let mut copied = 0;
    for operation in operations {
        let Value::Object(operation) = operation else {
            return Err(Error::Bad(
                "json: cannot unmarshal value into Go value of type jsonpatch.Operation".into(),
            ));
        };
        apply(&mut document, operation, &mut copied).map_err(Error::Apply)?;
    }
    Ok(document)
}

fn text<'a>(operation: &'a Map, field: &str) -> Option<&'a str> {
    operation.get(field).and_then(Value::as_str)
}

fn apply(document: &mut Value, operation: &Map, copied: &mut usize) -> Result<(), String> {
    let kind = text(operation, "op").unwrap_or("unknown");
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    let missing_path = |why: &str| format!("{kind} operation failed to decode path: {why}");
    let path = || text(operation, "path");
    match kind {
        "add" => {
            let path = path().ok_or_else(|| missing_path("missing value"))?;
            let (place, key) = find(document, path).ok_or_else(|| {
                format!("add operation does not apply: doc is missing path: \"{path}\": missing value")
            })?;
            add(place, &key, value()).map_err(|error| format!("error in add for path: '{path}': {error}"))
        }
        "remove" => {
            let path = path().ok_or_else(|| missing_path("missing value"))?;
            let (place, key) = find(document, path).ok_or_else(|| {
                format!("remove operation does not apply: doc is missing path: \"{path}\": missing value")
            })?;
            remove(place, &key)
                .map(drop)
                .map_err(|error| format!("error in remove for path: '{path}': {error}"))
        }
        "replace" => {
            let path = path().ok_or_else(|| missing_path("operation missing path field: missing value"))?;
            if path.is_empty() {
                let value = value();
                if !matches!(value, Value::Object(_) | Value::Array(_)) {
                    return Err("replace operation value must be object or array: %!w(<nil>)".into());
                }
                *document = value;
                return Ok(());
            }
            let (place, key) = find(document, path).ok_or_else(|| {
                format!("replace operation does not apply: doc is missing path: {path}: missing value")
            })?;
            match place {
                Value::Array(items) => {
                    let at = index(&key, items.len()).map_err(|_| {
                        format!("replace operation does not apply: doc is missing key: {path}: missing value")
                    })?;
                    items[at] = value();
                }
                Value::Object(map) => drop(map.insert(key.as_str(), value())),
                _ => {}
            }
            Ok(())
        }
        "move" => {
            let from = text(operation, "from").ok_or(
                "move operation failed to decode from: operation, missing from field: missing value",
            )?;
            let (place, key) = find(document, from).ok_or_else(|| {
                format!("move operation does not apply: doc is missing from path: {from}: missing value")
            })?;
            get(place, &key).map_err(|error| format!("error in move for path: '{key}': {error}"))?;
            let moved =
                remove(place, &key).map_err(|error| format!("error in move for path: '{key}': {error}"))?;
            let path = path().ok_or_else(|| missing_path("operation missing path field: missing value"))?;
            let (place, key) = find(document, path).ok_or_else(|| {
                format!(
                    "move operation does not apply: doc is missing destination path: {path}: missing value"
                )
            })?;
            add(place, &key, moved).map_err(|error| format!("error in move for path: '{path}': {error}"))
        }
        "copy" => {
            let from = text(operation, "from").ok_or(
                "copy operation failed to decode from: operation, missing from field: missing value",
            )?;
            let (place, key) = find(document, from).ok_or_else(|| {
                format!("copy operation does not apply: doc is missing from path: {from}: missing value")
            })?;
            let source =
                get(place, &key).map_err(|error| format!("error in copy for from: '{from}': {error}"))?;
            let source = source.cloned().unwrap_or(Value::Null);
            *copied += json::to_vec(&source).len();
            if *copied > MAX_COPIED {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the \
                     limit {MAX_COPIED}"
                ));
            }
            let path = path().ok_or_else(|| missing_path("missing value"))?;
            let (place, key) = find(document, path).ok_or_else(|| {
                format!(
                    "copy operation does not apply: doc is missing destination path: {path}: missing value"
                )
            })?;
            add(place, &key, source).map_err(|error| format!("error while adding value during copy: {error}"))
        }
        "test" => {
            let path = path().ok_or_else(|| missing_path("operation missing path field: missing value"))?;
            let failed = || format!("testing value {path} failed: test failed");
            if path.is_empty() {
                return if *document == value() { Ok(()) } else { Err(failed()) };
            }
            let (place, key) = find(document, path).ok_or_else(|| {
                format!("test operation does not apply: is missing path: {path}: missing value")
            })?;
            let found =
                get(place, &key).map_err(|error| format!("error in test for path: '{path}': {error}"))?;
            if *found.unwrap_or(&Value::Null) == value() { Ok(()) } else { Err(failed()) }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

/// The container that a pointer leads to, and the key in it.
fn find<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (way, key) =
        path.split_once('/')?.1.rsplit_once('/').map_or(("", None), |(way, key)| (way, Some(key)));
    let Some(key) = key else {
        return matches!(document, Value::Object(_) | Value::Array(_))
            .then(|| (document, unescape(path.split_once('/').map_or("", |(_, key)| key))));
    };
    let mut here = document;
    for part in way.split('/') {
        let part = unescape(part);
        here = match here {
            Value::Object(map) => map.get_mut(&part)?,
            Value::Array(items) => {
                let at = index(&part, items.len()).ok()?;
                &mut items[at]
            }
            _ => return None,
        };
    }
    matches!(here, Value::Object(_) | Value::Array(_)).then(|| (here, unescape(key)))
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

fn number(key: &str) -> Result<i64, String> {
    key.parse().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", crate::text::quote(key)))
}

fn invalid(index: i64) -> String {
    format!("Unable to access invalid index: {index}: invalid index referenced")
}

/// The place of an existing element; negative ones count from the end.
fn index(key: &str, len: usize) -> Result<usize, String> {
    let number = number(key)?;
    let at = if number < 0 { number + len as i64 } else { number };
    usize::try_from(at).ok().filter(|at| *at < len).ok_or_else(|| invalid(number))
}

fn get<'a>(place: &'a Value, key: &str) -> Result<Option<&'a Value>, String> {
    match place {
        Value::Object(map) => Ok(map.get(key)),
        Value::Array(items) => Ok(Some(&items[index(key, items.len())?])),
        _ => Ok(None),
    }
}

fn add(place: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match place {
        Value::Object(map) => drop(map.insert(key, value)),
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let wanted = number(key)
                .map_err(|error| format!("value was not a proper array index: '{key}': {error}"))?;
            let at = if wanted < 0 { wanted + items.len() as i64 + 1 } else { wanted };
            let at =
                usize::try_from(at).ok().filter(|at| *at <= items.len()).ok_or_else(|| invalid(wanted))?;
            items.insert(at, value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(place: &mut Value, key: &str) -> Result<Value, String> {
    match place {
        Value::Object(map) => {
            map.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value"))
        }
        Value::Array(items) => {
            let at = index(key, items.len())?;
            Ok(items.remove(at))
        }
        _ => Ok(Value::Null),
    }
}
