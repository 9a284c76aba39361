//! JSON patch (RFC 6902) with the leniency of Go's evanphx/json-patch, which Kustomize uses.

use api::{Map, Value};

use super::GROWN;

/// Applies the operations in order; the message names the operation that failed.
pub(super) fn apply(document: &mut Value, operations: &[Value]) -> Result<(), String> {
    let mut copied = 0;
    for (index, operation) in operations.iter().enumerate() {
        one(document, operation, &mut copied).map_err(|text| format!("operation {index}: {text}"))?;
    }
    Ok(())
}

fn one(document: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let name = operation.str_at(&["op"]);
    let text = operation.str_at(&["path"]);
    let path = pointer(text)?;
    let value = || operation.get("value").cloned().unwrap_or_default();
    match name {
        "add" => add(document, &path, text, value()),
        "remove" => remove(document, &path, text).map(drop),
        "replace" => replace(document, &path, value())
            .ok_or_else(|| format!("replace operation does not apply: doc is missing path: {text}")),
        "move" | "copy" => {
            let from = operation.str_at(&["from"]);
            let source = pointer(from)?;
            let taken = if name == "move" {
                remove(document, &source, from)?
            } else {
                let found = find(document, &source)
                    .ok_or_else(|| format!("copy: doc is missing from path: {from}"))?;
                // Each copy can double the document.
                *copied += super::weight(found);
                if *copied > GROWN {
                    return Err(format!("copy operations copy more than {GROWN} bytes"));
                }
                found.clone()
            };
            add(document, &path, text, taken)
        }
        "test" => {
            let found = find(document, &path).cloned().unwrap_or_default();
            if same(&found, &value()) { Ok(()) } else { Err(format!("testing path {text} failed")) }
        }
        other => Err(format!("unknown operation {other:?}; use add, remove, replace, move, copy or test")),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
        _ => a == b,
    }
}

fn pointer(text: &str) -> Result<Vec<String>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let rest = text.strip_prefix('/').ok_or_else(|| format!("the path {text:?} must start with /"))?;
    Ok(rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

fn index(part: &str, length: usize) -> Option<usize> {
    let number: i64 = part.parse().ok()?;
    let number = if number < 0 { number + length as i64 } else { number };
    usize::try_from(number).ok()
}

fn find<'a>(document: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, part| match value {
        Value::Object(map) => map.get_mut(part),
        Value::Array(items) => {
            let at = index(part, items.len())?;
            items.get_mut(at)
        }
        _ => None,
    })
}

fn add(document: &mut Value, path: &[String], text: &str, value: Value) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    let missing = || format!("add operation does not apply: doc is missing path: {text}");
    match find(document, parents).ok_or_else(missing)? {
        Value::Object(map) => {
            map.insert(last.as_str(), value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            // Counted from the end, -1 is the place behind the last element.
            let at = index(last, items.len() + 1).filter(|at| *at <= items.len()).ok_or_else(missing)?;
            items.insert(at, value);
        }
        parent @ Value::Null => {
            *parent = Value::Object(Map::from_iter([(last.as_str(), value)]));
        }
        _ => return Err(missing()),
    }
    Ok(())
}

/// A field of a map need not be there.
fn replace(document: &mut Value, path: &[String], value: Value) -> Option<()> {
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Some(());
    };
    match find(document, parents)? {
        Value::Object(map) => drop(map.insert(last.as_str(), value)),
        Value::Array(items) => {
            let at = index(last, items.len())?;
            *items.get_mut(at)? = value;
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &[String], text: &str) -> Result<Value, String> {
    let missing = || format!("remove operation does not apply: doc is missing path: {text}");
    let (last, parents) = path.split_last().ok_or_else(missing)?;
    match find(document, parents).ok_or_else(missing)? {
        Value::Object(map) => map.remove(last).ok_or_else(missing),
        Value::Array(items) => {
            let at = index(last, items.len()).filter(|at| *at < items.len()).ok_or_else(missing)?;
            Ok(items.remove(at))
        }
        _ => Err(missing()),
    }
}
