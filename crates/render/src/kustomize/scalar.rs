//! Scalars as kyaml's nodes have them: their text, and what a text is when it is written into a place.

use api::Value;

use crate::yaml;

/// The text of a scalar; `None` for lists and maps.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Null => Some("null".into()),
        Value::Array(_) | Value::Object(_) => None,
        Value::Float(number) => Some(yaml::format_float(*number)),
        other => Some(other.to_string()),
    }
}

/// A text without quotes or tag, as it is read again: `1` is a number.
pub(super) fn untagged(text: &str) -> Value {
    if text.is_empty() {
        return Value::String("".into());
    }
    yaml::resolve(text, yaml::Dialect::V3)
}

/// A text written over a scalar: the old type stays (`1` over a text is a text, over a number a number).
pub(super) fn over(old: &Value, text: &str) -> Result<Value, String> {
    match old {
        Value::Array(_) | Value::Object(_) => Err(format!("cannot write {text:?} over a list or a map")),
        Value::String(_) => Ok(Value::String(text.into())),
        Value::Null => match yaml::resolve(text, yaml::Dialect::V3) {
            Value::Null => Ok(Value::Null),
            _ => Err(format!("cannot decode `{text}` as a !!null")),
        },
        Value::Bool(_) => match yaml::resolve(text, yaml::Dialect::V2) {
            Value::Bool(flag) => Ok(Value::Bool(flag)),
            _ => Err(format!("cannot decode !!str `{text}` as a !!bool")),
        },
        Value::Int(_) => match yaml::resolve(text, yaml::Dialect::V3) {
            number @ Value::Int(_) => Ok(number),
            _ => Err(format!("cannot decode !!str `{text}` as a !!int")),
        },
        Value::Float(_) => match yaml::resolve(text, yaml::Dialect::V3) {
            Value::Int(number) => Ok(Value::Float(number as f64)),
            number @ Value::Float(_) => Ok(number),
            _ => Err(format!("cannot decode !!str `{text}` as a !!float")),
        },
    }
}

/// A text that a transformer writes without a tag, in the old scalar's quotes: a text that had none becomes what it looks like.
pub(super) fn restyled(old: &Value, text: &str) -> Value {
    match old {
        // A text that looks like something else had quotes, and keeps them.
        Value::String(before) if !matches!(untagged(before), Value::String(_)) || before.is_empty() => {
            Value::String(text.into())
        }
        _ => untagged(text),
    }
}
