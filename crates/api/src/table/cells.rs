//! What the cells of several kinds are made of.

use crate::Value;
use crate::kinds::edit::{entries, list};
use crate::selector::Labels;

/// Names and images of a pod template's containers, each joined by commas.
pub fn containers(template: &Value) -> [Value; 2] {
    let containers = list(template, &["spec", "containers"]);
    let join = |field: &str| -> Value {
        let texts: Vec<&str> = containers.iter().map(|container| container.str_at(&[field])).collect();
        texts.join(",").into()
    };
    [join("name"), join("image")]
}

/// A map of labels as `a=b,c=d`, or `<none>`.
pub fn labels(map: Option<&Value>) -> String {
    let mut pairs: Vec<String> = entries(map.unwrap_or(&Value::Null), &[])
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",") }
}

/// A LabelSelector as text, or `<none>`.
pub fn selector(selector: Option<&Value>) -> String {
    match Labels::from_object(selector.unwrap_or(&Value::Null)) {
        Ok(labels) if labels.requirements().is_empty() => "<none>".into(),
        Ok(labels) => labels.to_string(),
        Err(_) => "<error>".into(),
    }
}

/// `text`, or `instead` for nothing.
pub fn or(text: &str, instead: &str) -> Value {
    if text.is_empty() { instead.into() } else { text.into() }
}

/// The cell `Name`.
pub fn name(value: &Value) -> Value {
    value.str_at(&["metadata", "name"]).into()
}
