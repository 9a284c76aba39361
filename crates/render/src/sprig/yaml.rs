//! Helm's YAML functions: sigs.k8s.io/yaml in both directions, through JSON's shapes.

use api::Value as Tree;

use super::{Entries, made, str};
use crate::go::{Map, MapType, Value, walk};
use crate::template::function;
use crate::{goyaml, yaml};

pub fn all() -> Entries {
    vec![
        ("toYamlPretty", function("a", |frame, a| made(frame, super::pretty::print(&a[0])))),
        ("toYaml", function("a", |frame, a| made(frame, to_yaml(&a[0])))),
        (
            "fromYaml",
            function("s", |_, a| {
                let out = Map::new(MapType::Any);
                match from_yaml(&str(a, 0).text()) {
                    Ok(map @ Value::Map(_)) => return Ok(map),
                    Ok(Value::Nil) => {}
                    Ok(other) => out.put("Error", decoding(&other, "map[string]interface {}").into()),
                    Err(error) => out.put("Error", error.into()),
                }
                Ok(Value::Map(out))
            }),
        ),
        (
            "fromYamlArray",
            function("s", |_, a| {
                Ok(match from_yaml(&str(a, 0).text()) {
                    Ok(list @ Value::List(_)) => list,
                    // Nothing leaves the empty list that upstream began with; a null makes it nil.
                    Ok(Value::Nil) if str(a, 0).is_empty() => Value::list(Vec::new()),
                    Ok(Value::Nil) => Value::nil_list(),
                    Ok(other) => Value::list(vec![decoding(&other, "[]interface {}").into()]),
                    Err(error) => Value::list(vec![error.into()]),
                })
            }),
        ),
    ]
}

/// What the decoder says of a document of another shape than is wanted.
pub(crate) fn decoding(value: &Value, wanted: &str) -> String {
    format!("error unmarshaling JSON: while decoding JSON: {}", super::encoding::wrong_type(value, wanted))
}

/// A value as YAML without the last line end; nothing if it holds what JSON cannot.
pub(crate) fn to_yaml(value: &Value) -> String {
    printed(value).unwrap_or_default()
}

/// The same, or why it cannot be printed.
pub(crate) fn printed(value: &Value) -> Result<String, String> {
    fn readable(tree: &Tree) -> Result<(), String> {
        match tree {
            Tree::String(text) => goyaml::readable(text),
            Tree::Array(items) => items.iter().try_for_each(readable),
            Tree::Object(map) => map.iter().try_for_each(|(key, value)| {
                goyaml::readable(key)?;
                readable(value)
            }),
            _ => Ok(()),
        }
    }
    let Some(tree) = to_tree(value) else { return Ok(String::new()) };
    readable(&tree)?;
    let mut out = String::new();
    yaml::emit(&tree, &mut out);
    if out.ends_with('\n') {
        out.pop();
    }
    Ok(out)
}

/// The first document of a text. Every number is a `float64`.
pub(crate) fn from_yaml(text: &str) -> Result<Value, String> {
    goyaml::first(text).map(|value| from_tree(&value))
}

pub(crate) fn from_tree(tree: &api::Value) -> Value {
    match tree {
        api::Value::Null => Value::Nil,
        api::Value::Bool(flag) => Value::Bool(*flag),
        api::Value::Int(number) => Value::Float(*number as f64),
        api::Value::Float(number) => Value::Float(*number),
        api::Value::String(text) => Value::from(text.as_str()),
        api::Value::Array(items) => Value::list(items.iter().map(from_tree).collect()),
        api::Value::Object(map) => {
            Value::Map(Map::any(map.iter().map(|(key, value)| (key.as_str(), from_tree(value)))))
        }
    }
}

/// A value as JSON has it; `None` for numbers that it has not.
pub(crate) fn to_tree(value: &Value) -> Option<api::Value> {
    // Upstream goes through JSON, which finds that a map holds itself and gives nothing.
    if !walk::fits() {
        return None;
    }
    let _inside = value.enter()?;
    Some(match value {
        Value::Nil => api::Value::Null,
        Value::Bool(flag) => api::Value::Bool(*flag),
        Value::Int(number) | Value::Int64(number) | Value::Sized(_, number) => api::Value::Int(*number),
        Value::Float(number) if !number.is_finite() => return None,
        // JSON writes it without a fraction, and it is read back as an integer. -0 is read as 0.
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 9.3e18 => {
            let text = crate::go::json::number_text(*number);
            text.parse().map_or(api::Value::Float(*number), api::Value::Int)
        }
        Value::Float(number) => api::Value::Float(*number),
        Value::Str(text) if !walk::bytes(text.len()) => return None,
        Value::Str(text) => api::Value::String(text.text().as_ref().into()),
        Value::List(list) if list.items.is_none() => api::Value::Null,
        Value::List(list) => api::Value::Array(list.iter().map(to_tree).collect::<Option<_>>()?),
        Value::Map(map) if map.is_nil() => api::Value::Null,
        Value::Map(map) => {
            let mut fields = api::Map::with_capacity(map.len());
            for (key, value) in map.entries() {
                fields.insert(key.text().as_ref(), to_tree(&value)?);
            }
            api::Value::Object(fields)
        }
        Value::Bytes(_) | Value::Struct(_) | Value::Time(_) | Value::Version(_) => {
            let text = crate::go::json::encode(value, true).ok()?;
            serde_json::from_str(&text).ok()?
        }
    })
}
