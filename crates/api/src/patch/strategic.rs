//! Strategic merge patch: lists with a merge key are merged element by element, and directives say what a merge cannot:
//! `$patch`, `$retainKeys`, `$deleteFromPrimitiveList/<list>`, `$setElementOrder/<list>`.
//!
//! Strategies and merge keys come from the facts through [`Schema`]; a place without a schema merges objects by key and
//! replaces lists, as merge patch does. Custom resources take no strategic patch (HTTP 415): the server sees to that.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;

use super::Error;
use crate::schema::{Kind, Schema};
use crate::text::show;
use crate::{Map, Value, json};

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to a value of `schema`.
pub fn strategic_merge(document: Value, patch: Value, schema: Schema<'_>) -> Result<Value, Error> {
    let (document, patch) = match (document, patch) {
        (Value::Object(document), Value::Object(patch)) => (document, patch),
        (Value::Object(_), _) => return Err(bad("invalid JSON document")),
        (other, _) => return Ok(other),
    };
    merge(document, patch, schema).map(Value::Object)
}

fn bad(text: impl Into<String>) -> Error {
    Error::Apply(text.into())
}

/// What the schema says about a list or map field.
struct Meta<'a> {
    schema: Schema<'a>,
    merge: bool,
    replace: bool,
    key: &'static str,
}

fn meta<'a>(schema: Schema<'a>, field: &str) -> Result<Meta<'a>, Error> {
    let plain = |schema| Meta { schema, merge: false, replace: false, key: "" };
    if matches!(schema, Schema::Free | Schema::Opaque) {
        return Ok(plain(schema));
    }
    let Some(child) = schema.child(field) else {
        let raw = schema.field().is_some_and(|field| field.kind() == Kind::RawExtension);
        let none = if raw { "RawExtension" } else { "object" };
        let of = schema.struct_type().map_or(none, |of| of.short_name());
        return Err(bad(format!(
            "unable to find api field in struct {of} for the json field {}",
            crate::text::quote(field)
        )));
    };
    Ok(match child.field() {
        Some(field) => Meta {
            schema: child,
            merge: field.patches_by("merge"),
            replace: field.patches_by("replace"),
            key: field.merge_key(),
        },
        None => plain(child),
    })
}

fn merge(mut original: Map, mut patch: Map, schema: Schema<'_>) -> Result<Map, Error> {
    if let Some(directive) = patch.get(PATCH) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                Ok(patch)
            }
            Some("delete") => Ok(Map::new()),
            _ => {
                let (directive, patch) = (show(directive), show(&Value::Object(patch)));
                Err(bad(format!("unknown patch type: {directive} in map: {patch}")))
            }
        };
    }
    retain_keys(&mut original, &mut patch)?;
    set_orders(&mut original, &mut patch, schema)?;
    for (key, mut value) in patch {
        let (key, deletes): (SmolStr, bool) = match key.strip_prefix(DELETE) {
            Some(list) => (list.into(), true),
            None if key.starts_with(DELETE.trim_end_matches('/')) => {
                return Err(bad("invalid patch format of primitive list"));
            }
            None => (key, false),
        };
        if value.is_null() {
            original.remove(&key);
            continue;
        }
        let same = matches!(
            (original.get(&key), &value),
            (Some(Value::Object(_)), Value::Object(_)) | (Some(Value::Array(_)), Value::Array(_))
        );
        if !same {
            if !deletes {
                discard_nulls(&mut value);
                match without_directives(value) {
                    Some(value) => drop(original.insert(key, value)),
                    None => drop(original.remove(&key)),
                }
            }
            continue;
        }
        let meta = meta(schema, &key)?;
        let slot = original.get_mut(&key).expect("because it was just seen");
        *slot = match (std::mem::take(slot), value) {
            (Value::Object(_), Value::Object(patch)) if meta.replace => Value::Object(patch),
            (Value::Object(before), Value::Object(patch)) => {
                Value::Object(merge(before, patch, meta.schema)?)
            }
            (Value::Array(before), Value::Array(patch)) if meta.merge || deletes => {
                Value::Array(merge_list(before, patch, &meta, deletes)?)
            }
            (_, patch) => patch,
        };
    }
    Ok(original)
}

/// `$retainKeys`: fields of the original that the list does not name go away.
fn retain_keys(original: &mut Map, patch: &mut Map) -> Result<(), Error> {
    let Some(keep) = patch.remove(RETAIN) else { return Ok(()) };
    let wrong = || bad("invalid patch format of retainKeys");
    let Value::Array(keep) = keep else { return Err(wrong()) };
    let keep: HashSet<&str> = keep.iter().filter_map(Value::as_str).collect();
    let stray = patch.iter().any(|(key, value)| {
        !value.is_null()
            && !key.starts_with(DELETE)
            && !key.starts_with(ORDER)
            && !keep.contains(key.as_str())
    });
    if stray {
        return Err(wrong());
    }
    original.retain(|key, _| keep.contains(key.as_str()));
    Ok(())
}

/// `$setElementOrder/<list>`: merges the list and puts it in the order that the client saw.
fn set_orders(original: &mut Map, patch: &mut Map, schema: Schema<'_>) -> Result<(), Error> {
    let prefix = ORDER.trim_end_matches('/');
    let orders: Vec<SmolStr> = patch.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
    for directive in orders {
        let order = patch.remove(&directive).unwrap_or_default();
        let wrong = || bad("invalid patch format of setElementOrder list");
        let Value::Array(order) = order else { return Err(expected_list(&order)) };
        let list = directive.strip_prefix(ORDER).ok_or_else(wrong)?;
        let take = |from: &mut Map| match from.remove(list) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(expected_list(&other)),
        };
        let position = original.keys().position(|key| key == list);
        let server = take(original)?;
        let patched = take(patch)?;
        let meta = meta(schema, list)?;
        check_order(patched.as_deref().unwrap_or_default(), &order, &meta)?;
        let mut before = server.clone().unwrap_or_default();
        refill(&mut before, patched.as_deref().unwrap_or_default(), &meta);
        let given = patched.as_ref().map_or(0, Vec::len);
        let stated = server.is_some() || patched.is_some();
        let merged = match (server, patched) {
            (Some(server), None) => server,
            (None, Some(patched)) => match without_directives(Value::Array(patched)) {
                Some(Value::Array(items)) => items,
                _ => continue,
            },
            (Some(server), Some(patched)) if meta.merge => merge_list(server, patched, &meta, false)?,
            (Some(_), Some(patched)) => patched,
            (None, None) => continue,
        };
        if stated && before.is_empty() && given == 0 {
            return Err(bad("no elements in any of the given slices"));
        }
        let (in_patch, server_only) = partition(merged, &order, meta.key)?;
        let both = interleave(in_patch, server_only, &order, &before, meta.key)?;
        original.insert(list, Value::Array(both));
        if let Some(position) = position {
            original.move_last_to(position);
        }
    }
    Ok(())
}

/// Upstream reads the server's order from a list whose deleted places new elements have taken meanwhile (its slices share
/// memory): clients have come to see that order.
fn refill(server: &mut Vec<Value>, patch: &[Value], meta: &Meta<'_>) {
    let key = |item: &Value| item.get(meta.key).cloned();
    let directive = |item: &Value| item.get(PATCH).and_then(Value::as_str).map(String::from);
    let gone: Vec<Option<Value>> =
        patch.iter().filter(|item| directive(item).as_deref() == Some("delete")).map(key).collect();
    if meta.key.is_empty()
        || gone.is_empty()
        || patch.iter().any(|item| directive(item).as_deref() == Some("replace"))
    {
        return;
    }
    let before = server.len();
    server.retain(|item| !gone.contains(&key(item)));
    let new: Vec<Value> = patch
        .iter()
        .filter(|item| directive(item).is_none() && !server.iter().any(|other| key(other) == key(item)))
        .take(before - server.len())
        .cloned()
        .collect();
    server.extend(new);
}

fn expected_list(found: &Value) -> Error {
    bad(format!("expected a []interface {{}}, but received a {}", go_type(found)))
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The patch's elements must come in the order that the directive states.
fn check_order(patch: &[Value], order: &[Value], meta: &Meta<'_>) -> Result<(), Error> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    // Elements to delete need no place. Other directives are passed over, but, as upstream has it, only while the order
    // is not exhausted.
    let kept: Vec<&Value> =
        patch.iter().filter(|item| item.get(PATCH).and_then(Value::as_str) != Some("delete")).collect();
    let (mut at, mut place) = (0, 0);
    while at < kept.len() && place < order.len() {
        if kept[at].get(PATCH).is_some() {
            at += 1;
            continue;
        }
        at += usize::from(identity(kept[at], meta.key)? == identity(&order[place], meta.key)?);
        place += 1;
    }
    if at < kept.len() && place >= order.len() {
        let patch = show(&Value::Array(patch.to_vec()));
        let order = show(&Value::Array(order.to_vec()));
        return Err(bad(format!(
            "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
        )));
    }
    Ok(())
}

/// What tells an element apart: its merge key's value, or itself. As text, so that it can be hashed.
fn identity(item: &Value, key: &str) -> Result<String, Error> {
    if key.is_empty() {
        return Ok(json::to_string(item));
    }
    let Value::Object(map) = item else {
        return Err(bad(format!("expected a map[string]interface {{}}, but received a {}", go_type(item))));
    };
    match map.get(key) {
        Some(value) => Ok(json::to_string(value)),
        None => Err(bad(format!("map: {} does not contain declared merge key: {key}", show(item)))),
    }
}

fn places(list: &[Value], key: &str) -> Result<HashMap<String, usize>, Error> {
    let mut places = HashMap::with_capacity(list.len());
    for (at, item) in list.iter().enumerate() {
        places.entry(identity(item, key)?).or_insert(at);
    }
    Ok(places)
}

/// Elements that `order` names, and those that it does not.
fn partition(list: Vec<Value>, order: &[Value], key: &str) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let named = places(order, key)?;
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for item in list {
        let known = named.contains_key(&identity(&item, key)?);
        if known { inside.push(item) } else { outside.push(item) }
    }
    Ok((inside, outside))
}

/// Both lists in their orders; an element that only the server has stands before the first element of the patch that
/// the server has behind it.
fn interleave(
    patch: Vec<Value>,
    server_only: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    key: &str,
) -> Result<Vec<Value>, Error> {
    let server = places(server_order, key)?;
    let sorted = |list: Vec<Value>, order: &HashMap<String, usize>| {
        let mut keyed = Vec::with_capacity(list.len());
        for item in list {
            let identity = identity(&item, key)?;
            keyed.push((order.get(&identity).copied(), server.get(&identity).copied(), item));
        }
        keyed.sort_by_key(|(at, ..)| at.unwrap_or(usize::MAX));
        Ok::<_, Error>(keyed)
    };
    let patch = sorted(patch, &places(patch_order, key)?)?;
    let mut left = sorted(server_only, &server)?.into_iter().peekable();
    let mut all = Vec::with_capacity(patch.len() + left.len());
    for (_, right_at, right) in patch {
        while let Some((_, _, item)) = left.next_if(
            |(_, left_at, _)| matches!((left_at, right_at), (Some(left), Some(right)) if *left < right),
        ) {
            all.push(item);
        }
        all.push(right);
    }
    all.extend(left.map(|(_, _, item)| item));
    Ok(all)
}

fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    meta: &Meta<'_>,
    deletes: bool,
) -> Result<Vec<Value>, Error> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let mut types = original.iter().chain(&patch).map(std::mem::discriminant);
    let first = types.next();
    let maps = matches!(original.first().or(patch.first()), Some(Value::Object(_)));
    if types.any(|other| Some(other) != first) {
        let show = |list: Vec<Value>| crate::text::show(&Value::Array(list));
        let both = format!("[{} {}]", show(original), show(patch));
        return Err(bad(format!("list element types are not identical: {both}")));
    }
    let mut server_order = original.clone();
    let mut order = patch.clone();
    let merged = if !maps {
        let named = |list: &[Value]| list.iter().map(json::to_string).collect::<HashSet<_>>();
        if deletes {
            let gone = named(&patch);
            return Ok(original.into_iter().filter(|item| !gone.contains(&json::to_string(item))).collect());
        }
        let mut seen = HashSet::new();
        original.into_iter().chain(patch).filter(|item| seen.insert(json::to_string(item))).collect()
    } else {
        if meta.key.is_empty() {
            return Err(bad("cannot merge lists without merge key for struct"));
        }
        let (kept, plain) = special_elements(original, patch, meta.key)?;
        server_order = kept.clone();
        order = plain.clone();
        merge_elements(kept, plain, meta)?
    };
    let (in_patch, server_only) = partition(merged, &order, meta.key)?;
    interleave(in_patch, server_only, &order, &server_order, meta.key)
}

/// Carries out `$patch` elements: `delete` takes matching ones away, `replace` drops the whole original.
fn special_elements(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Error> {
    let (mut plain, mut replace) = (Vec::new(), false);
    for item in patch {
        let Some(directive) = item.get(PATCH) else {
            plain.push(item);
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                let gone = item.get(key).ok_or_else(|| {
                    bad(format!("map: {} does not contain declared merge key: {key}", show(&item)))
                })?;
                original.retain(|item| item.get(key) != Some(gone));
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(bad("merging lists cannot yet be specified in the patch")),
            _ => return Err(bad(format!("unknown patch type: {} in map: {}", show(directive), show(&item)))),
        }
    }
    Ok(if replace { (plain, Vec::new()) } else { (original, plain) })
}

fn merge_elements(mut original: Vec<Value>, patch: Vec<Value>, meta: &Meta<'_>) -> Result<Vec<Value>, Error> {
    let schema = match meta.schema {
        schema @ Schema::Field(_) => schema.item(),
        other => other,
    };
    // Elements of the server without the key are only found by nobody.
    let mut places: HashMap<String, usize> = HashMap::new();
    for (at, item) in original.iter().enumerate() {
        if let Some(value) = item.get(meta.key) {
            places.entry(json::to_string(value)).or_insert(at);
        }
    }
    for item in patch {
        let identity = identity(&item, meta.key)?;
        match (places.get(&identity), item) {
            (Some(&at), Value::Object(patch)) => {
                let Value::Object(before) = std::mem::take(&mut original[at]) else { continue };
                original[at] = Value::Object(merge(before, patch, schema)?);
            }
            (_, item) => {
                places.insert(identity, original.len());
                original.push(item);
            }
        }
    }
    Ok(original)
}

fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.iter_mut().for_each(|(_, value)| discard_nulls(value));
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// What is left of a value that has nothing to be merged with; `None`: it is a directive itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(PATCH) => None,
        Value::Object(map) => Some(Value::Object(
            map.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?))).collect(),
        )),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}
