//! Scalars as kyaml's nodes have them: their text, and what a text is when it is written into a place.

use api::Value;

use crate::yaml;

/// The text of a scalar; `None` for lists and maps.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(match text.strip_prefix(MISFIT).and_then(|rest| rest.split_once(' ')) {
            Some((_, text)) => text.to_string(),
            None => text.to_string(),
        }),
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

/// Marks a text that its type does not fit, until it is replaced again or printed.
const MISFIT: char = '\0';

/// A text written over a scalar: the old type stays (`1` over a text is a text, over a number a number). What does not
/// fit is found by [`misfit`] when it is printed, because a later change may still repair it.
pub(super) fn over(old: &Value, text: &str) -> Result<Value, String> {
    let read = |dialect| yaml::resolve(text, dialect);
    let kept = |name: &str| Value::String(format!("{MISFIT}{name} {text}").into());
    Ok(match (old, read(yaml::Dialect::V3)) {
        (Value::Array(_) | Value::Object(_), _) => {
            return Err(format!("cannot write {text:?} over a list or a map"));
        }
        (Value::String(old), _) if old.starts_with(MISFIT) => {
            let name = old[1..].split(' ').next().unwrap_or_default().to_string();
            return over(
                &match name.as_str() {
                    "!!int" => Value::Int(0),
                    "!!float" => Value::Float(0.5),
                    "!!bool" => Value::Bool(true),
                    _ => Value::Null,
                },
                text,
            );
        }
        (Value::String(_), _) => Value::String(text.into()),
        (Value::Null, Value::Null) => Value::Null,
        (Value::Null, _) => kept("!!null"),
        (Value::Bool(_), _) => match read(yaml::Dialect::V2) {
            Value::Bool(flag) => Value::Bool(flag),
            _ => kept("!!bool"),
        },
        (Value::Int(_), number @ Value::Int(_)) => number,
        (Value::Int(_), _) => kept("!!int"),
        (Value::Float(_), Value::Int(number)) => Value::Float(number as f64),
        (Value::Float(_), number @ Value::Float(_)) => number,
        (Value::Float(_), _) => kept("!!float"),
    })
}

/// The complaint of upstream's printer about a text that its type does not fit.
pub(super) fn misfit(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let (name, text) = text.strip_prefix(MISFIT)?.split_once(' ')?;
            Some(format!("cannot decode !!str `{text}` as a {name}"))
        }
        Value::Array(items) => items.iter().find_map(misfit),
        Value::Object(map) => map.iter().find_map(|(_, value)| misfit(value)),
        _ => None,
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
