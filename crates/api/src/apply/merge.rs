//! Merging a configuration into a live value, and taking fields out of a value.

use std::collections::HashSet;

use super::Element;
use super::set::{Set, descend};
use super::typed;
use crate::schema::{ListType, Schema, Shape};
use crate::{Map, Value};

/// `live` with everything that `config` states.
pub fn merge(live: &Value, config: &Value, schema: Schema<'_>) -> Result<Value, String> {
    Ok(match (schema.shape(), live, config) {
        (Shape::Object { atomic: false } | Shape::Free, Value::Object(left), Value::Object(right)) => {
            if left.is_empty() && right.is_empty() {
                return Ok(config.clone());
            }
            let mut out = Map::with_capacity(left.len().max(right.len()));
            for (at, (key, value)) in left.iter().enumerate() {
                let merged = match right.get_near(at, key) {
                    Some(other) => merge(value, other, schema.child(key).unwrap_or(Schema::Free))
                        .map_err(|error| format!(".{key}{error}"))?,
                    None => value.clone(),
                };
                out.push_unchecked(key.clone(), merged);
            }
            for (at, (key, value)) in right.iter().enumerate() {
                if left.get_near(at, key).is_none() {
                    out.push_unchecked(key.clone(), value.clone());
                }
            }
            Value::Object(out)
        }
        // A null does not delete: it owns the field and keeps what is there.
        (Shape::Object { atomic: false }, Value::Object(left), Value::Null) if !left.is_empty() => {
            live.clone()
        }
        (Shape::List(ListType::Set | ListType::Map), Value::Array(left), Value::Array(right))
            if !left.is_empty() || !right.is_empty() =>
        {
            Value::Array(list(left, right, schema)?)
        }
        (Shape::List(ListType::Set | ListType::Map), Value::Array(left), Value::Null) if !left.is_empty() => {
            live.clone()
        }
        _ => config.clone(),
    })
}

/// Both lists' elements: the configuration's in its order, the live list's others before the shared element that they
/// stood before.
fn list(left: &[Value], right: &[Value], schema: Schema<'_>) -> Result<Vec<Value>, String> {
    let (lefts, rights) = (typed::index(left, schema), typed::index(right, schema));
    if let Some((element, _)) = rights.elements.iter().find(|(_, places)| places.len() > 1) {
        return Err(format!(": duplicate entries for key {element}"));
    }
    let left_elements = in_order(left.len(), &lefts);
    let right_elements: Vec<&Element> = rights.elements.iter().map(|(element, _)| element).collect();
    let mut shared = right_elements.iter().copied().filter(|element| !lefts.places(element).is_empty());
    let mut next_shared = shared.next();
    let mut merged: HashSet<smol_str::SmolStr> = HashSet::new();
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    let merged_item = |element: &Element| {
        let config = &right[rights.places(element)[0]];
        match lefts.places(element) {
            [at] => merge(&left[*at], config, schema.item()).map_err(|error| format!("{element}{error}")),
            // Doubled live elements are replaced by the configuration's one.
            _ => Ok(config.clone()),
        }
    };
    let (mut l, mut r) = (0, 0);
    while l < left_elements.len() || r < right_elements.len() {
        if l < left_elements.len() && r < right_elements.len() {
            let (at, element) = left_elements[l];
            if element == right_elements[r] {
                merged.insert(element.key());
                out.push(merged_item(element)?);
                let _ = at;
                (l, r) = (l + 1, r + 1);
                next_shared = shared.next();
                continue;
            }
            if !rights.places(element).is_empty() && next_shared.is_some_and(|next| next != element) {
                l += 1;
                continue;
            }
        }
        if l < left_elements.len() {
            let (at, element) = left_elements[l];
            if rights.places(element).is_empty() {
                out.push(left[at].clone());
                l += 1;
                continue;
            } else if merged.contains(&element.key()) {
                l += 1;
            }
        }
        if r < right_elements.len() {
            let element = right_elements[r];
            merged.insert(element.key());
            out.push(merged_item(element)?);
            r += 1;
            if next_shared.is_some_and(|next| next == element) {
                next_shared = shared.next();
            }
        }
    }
    Ok(out)
}

/// Each element with its place, doubled ones as often as they are there.
fn in_order(len: usize, index: &typed::Index) -> Vec<(usize, &Element)> {
    let mut slots: Vec<Option<&Element>> = vec![None; len];
    for (element, places) in &index.elements {
        for &at in places {
            slots[at] = Some(element);
        }
    }
    slots.into_iter().enumerate().filter_map(|(at, element)| Some((at, element?))).collect()
}

/// `value` without the members of `gone`. What becomes empty becomes null, as upstream leaves it to decoding.
pub(super) fn remove(value: &Value, gone: &Set, schema: Schema<'_>) -> Value {
    if gone.is_empty() {
        return value.clone();
    }
    match (schema.shape(), value) {
        (Shape::Object { atomic: false } | Shape::Free, Value::Object(map)) => {
            let mut out = Map::with_capacity(map.len());
            for (key, value) in map.iter() {
                let element = Element::Field(key.clone());
                match gone.node(&element) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        out.push_unchecked(
                            key.clone(),
                            remove(value, &node.children, descend(schema, &element)),
                        );
                    }
                    None => out.push_unchecked(key.clone(), value.clone()),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Shape::List(ListType::Set | ListType::Map), Value::Array(items)) => {
            let index = typed::index(items, schema);
            let mut out = Vec::with_capacity(items.len());
            for (at, element) in in_order(items.len(), &index) {
                match gone.node(element) {
                    Some(node) if node.member => {}
                    Some(node) => out.push(remove(&items[at], &node.children, schema.item())),
                    None => out.push(items[at].clone()),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        // Nothing inside an atomic piece can be removed; upstream leaves such a list or map out.
        (Shape::List(ListType::Atomic) | Shape::Object { atomic: true }, _) => Value::Null,
        _ => value.clone(),
    }
}
