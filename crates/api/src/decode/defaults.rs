//! The defaults that the facts state (OpenAPI's `default`). What upstream defaults by code is with the kinds.

use crate::Value;
use crate::schema::{Field, Omit, Presence, Type};

/// Fills in the stated defaults of everything below `value`, which was normalized before.
pub fn default_facts(of: &'static Type, value: &mut Value) {
    if !of.has_defaults() {
        return;
    }
    let Value::Object(map) = value else { return };
    for field in of.fields() {
        if let Some(text) = field.default() {
            match map.get(field.json()) {
                None | Some(Value::Null) => {
                    if let Ok(default) = serde_json::from_str(text)
                        && !is_zero(field, &default)
                    {
                        map.insert(field.json(), default);
                    }
                }
                Some(_) => {}
            }
            continue;
        }
        let Some(inner) = field.of().filter(|of| of.has_defaults()) else { continue };
        match map.get_mut(field.json()) {
            Some(Value::Array(items)) if field.is_list() => {
                items.iter_mut().for_each(|item| default_facts(inner, item));
            }
            Some(Value::Object(items)) if field.is_map() => {
                items.iter_mut().for_each(|(_, item)| default_facts(inner, item));
            }
            Some(single) => default_facts(inner, single),
            None => {}
        }
    }
    map.sort_by_key(|key| of.place(key));
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
