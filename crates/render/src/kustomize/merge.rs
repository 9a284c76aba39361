//! Strategic merge as kyaml does it: by the schema's merge keys, patched elements first, `null` and `$patch` clear.

use api::schema::{Schema, of_kind};
use api::{Map, Value};

use super::resource::group_version;

/// Merges `patch` into `object`; `None`: the patch deletes it.
pub(super) fn merge(object: Value, patch: Value) -> Result<Option<Value>, String> {
    let (group, version) = group_version(object.str_at(&["apiVersion"]));
    let schema = of_kind(group, version, object.str_at(&["kind"])).map(Schema::Type);
    both(object, patch, schema)
}

enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(text: &str) -> Result<Directive, String> {
    match text {
        "merge" => Ok(Directive::Merge),
        "replace" => Ok(Directive::Replace),
        "delete" => Ok(Directive::Delete),
        other => Err(format!("unknown patch strategy '{other}'")),
    }
}

fn both(mut target: Value, patch: Value, schema: Option<Schema<'static>>) -> Result<Option<Value>, String> {
    match (&mut target, patch) {
        (_, Value::Null) => Ok(None),
        (Value::Null, patch) => added(patch, schema),
        (Value::Object(map), Value::Object(mut patch)) => {
            match patch.remove("$patch").as_ref().and_then(Value::as_str).map(directive).transpose()? {
                Some(Directive::Delete) => return Ok(None),
                Some(Directive::Replace) => return added(Value::Object(patch), schema),
                Some(Directive::Merge) | None => {}
            }
            fields(map, patch, schema)?;
            Ok(Some(target))
        }
        (Value::Array(items), Value::Array(patch)) => match strategy(schema) {
            None => Ok(Some(Value::Array(patch))),
            Some(keys) => list(std::mem::take(items), patch, &keys, schema),
        },
        (Value::Object(_), _) => Err("wrong node kind: expected a map".into()),
        (Value::Array(_), _) => Err("wrong node kind: expected a list".into()),
        (_, Value::Object(_) | Value::Array(_)) => Err("wrong node kind: expected a scalar".into()),
        (_, patch) => Ok(Some(patch)),
    }
}

fn fields(map: &mut Map, patch: Map, schema: Option<Schema<'static>>) -> Result<(), String> {
    for (key, value) in patch {
        let below = schema.and_then(|schema| schema.child(&key));
        let merged = match map.get_mut(&key).map(std::mem::take) {
            Some(old) => both(old, value, below),
            None => added(value, below),
        };
        match merged.map_err(|text| format!("{key}: {text}"))? {
            Some(value) => {
                map.insert(key, value);
            }
            None => {
                map.remove(&key);
            }
        }
    }
    Ok(())
}

/// A part of a patch that is new to the object: without its directives and nulls.
fn added(value: Value, schema: Option<Schema<'static>>) -> Result<Option<Value>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Object(mut patch) => {
            if let Some(Directive::Delete) =
                patch.remove("$patch").as_ref().and_then(Value::as_str).map(directive).transpose()?
            {
                return Ok(None);
            }
            let mut map = Map::new();
            fields(&mut map, patch, schema)?;
            Ok(Some(Value::Object(map)))
        }
        Value::Array(patch) => match strategy(schema) {
            None => Ok(Some(Value::Array(patch))),
            Some(keys) => list(Vec::new(), patch, &keys, schema),
        },
        scalar => Ok(Some(scalar)),
    }
}

/// The keys by which a list's elements are merged, none for a set of scalars; `None`: the list is replaced.
fn strategy(schema: Option<Schema<'static>>) -> Option<Vec<&'static str>> {
    let field = schema?.field()?;
    if !field.is_list() || !field.patches_by("merge") {
        return None;
    }
    let keys: Vec<&str> = field.map_keys().collect();
    Some(if !keys.is_empty() {
        keys
    } else if field.merge_key().is_empty() {
        Vec::new()
    } else {
        vec![field.merge_key()]
    })
}

fn list(
    old: Vec<Value>,
    mut patch: Vec<Value>,
    keys: &[&'static str],
    schema: Option<Schema<'static>>,
) -> Result<Option<Value>, String> {
    let whole = patch.iter().position(|item| {
        item.as_map().is_some_and(|map| {
            map.len() == 1 && map.get("$patch").is_some_and(|value| value.as_str().is_some())
        })
    });
    if let Some(at) = whole {
        let text = patch.remove(at);
        match directive(text.str_at(&["$patch"]))? {
            Directive::Delete => return Ok(None),
            Directive::Replace => return Ok(Some(Value::Array(patch))),
            Directive::Merge => {}
        }
    }
    if keys.is_empty() {
        let mut merged: Vec<Value> = Vec::new();
        for item in patch.into_iter().chain(old) {
            if !merged.contains(&item) {
                merged.push(item);
            }
        }
        return Ok(Some(Value::Array(merged)));
    }
    let element = schema.map(Schema::item);
    let used = keys.iter().filter(|key| patch.iter().chain(&old).any(|item| item.get(key).is_some())).count();
    let several = used > 1;
    let mut rest: Vec<Option<Value>> = old.into_iter().map(Some).collect();
    let mut merged: Vec<Value> = Vec::new();
    for item in patch {
        let found = rest.iter_mut().find(|old| old.as_ref().is_some_and(|old| same(old, &item, keys)));
        let next = match found {
            // With several keys kyaml leaves a merged element in its place; with one it goes where the patch has it.
            // An element that has only some of the other's keys is found, but what the patch says of it is lost.
            Some(place) if several => {
                let exact = |old: &Value| keys.iter().all(|key| old.get(key) == item.get(key));
                if place.as_ref().is_some_and(exact) {
                    *place = match place.take() {
                        Some(old) => both(old, item, element)?,
                        None => None,
                    };
                }
                None
            }
            Some(place) => match place.take() {
                Some(old) => both(old, item, element)?,
                None => None,
            },
            None => match merged.iter_mut().find(|done| same(done, &item, keys)) {
                Some(done) => {
                    let once = std::mem::take(done);
                    *done = both(once, item, element)?.unwrap_or_default();
                    None
                }
                None => added(item, element)?,
            },
        };
        merged.extend(next);
    }
    merged.extend(rest.into_iter().flatten());
    merged.retain(|item| !item.is_null());
    Ok(Some(Value::Array(merged)))
}

/// All keys that both have are equal, and at least one is had by both: a Service's port without a protocol is the one
/// with that number.
fn same(a: &Value, b: &Value, keys: &[&str]) -> bool {
    let mut common = false;
    for key in keys {
        match (a.get(key), b.get(key)) {
            (Some(a), Some(b)) if a == b => common = true,
            (Some(_), Some(_)) => return false,
            _ => {}
        }
    }
    common
}
