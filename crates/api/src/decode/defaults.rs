//! The defaults that the facts state (OpenAPI's `default`). What upstream defaults by code is with the kinds.

use crate::Value;
use crate::schema::{Field, Omit, Presence, Type};

/// Fills in the stated defaults of everything below `value`, which was normalized before.
pub fn default_facts(of: &'static Type, value: &mut Value) {
    if !of.has_defaults() {
        return;
    }
    let Value::Object(map) = value else { return };
    for (key, value) in map.iter_mut() {
        let Some(field) = of.field(key) else { continue };
        let Some(inner) = field.of().filter(|of| of.has_defaults()) else { continue };
        match value {
            Value::Array(items) if field.is_list() => {
                items.iter_mut().for_each(|item| default_facts(inner, item));
            }
            Value::Object(items) if field.is_map() => {
                items.iter_mut().for_each(|(_, item)| default_facts(inner, item));
            }
            single => default_facts(inner, single),
        }
    }
    let mut added = false;
    for &place in of.defaulted() {
        let Some(field) = of.field_at(place.into()) else { continue };
        if map.get(field.json()).is_none_or(Value::is_null)
            && let Some(Ok(default)) = field.default().map(|text| crate::json::parse(text.as_bytes()))
            && !is_zero(field, &default)
        {
            map.insert(field.json(), default);
            added = true;
        }
    }
    if added {
        map.sort_by_key(|key| of.place(key));
    }
}

/// A default that Go would not write: the zero value of a field that is left out when empty.
fn is_zero(field: &Field, default: &Value) -> bool {
    field.presence() == Presence::Value
        && field.omit() == Omit::Empty
        && match default {
            Value::String(text) => text.is_empty(),
            Value::Int(number) => *number == 0,
            Value::Bool(flag) => !flag,
            _ => false,
        }
}
