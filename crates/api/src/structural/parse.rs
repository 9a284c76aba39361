//! From the tree of a JSONSchemaProps to a [`Schema`]. Lenient: what has a wrong type is as if it were not there,
//! because decoding and the structural checks have complained before.

use smol_str::SmolStr;

use super::{Additional, NodeType, Pattern, Rules, Schema};
use crate::Value;
use crate::schema::ListType;

pub(super) fn node(from: &Value) -> Schema {
    let flag = |name: &str| from.get(name).and_then(Value::as_bool) == Some(true);
    let list_of = |name: &str| match from.get(name) {
        Some(Value::Array(items)) => items.iter().map(node).collect(),
        _ => Vec::new(),
    };
    let mut properties: Vec<(SmolStr, Schema)> = match from.get("properties") {
        Some(Value::Object(map)) => map.iter().map(|(name, schema)| (name.clone(), node(schema))).collect(),
        _ => Vec::new(),
    };
    properties.sort_by(|(left, _), (right, _)| left.cmp(right));
    let rules = Rules {
        format: Some(text(from, "format")).filter(|name| super::format::is_known(name)).unwrap_or_default(),
        maximum: number(from, "maximum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        minimum: number(from, "minimum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        max_length: int(from, "maxLength"),
        min_length: int(from, "minLength"),
        pattern: Pattern::new(text(from, "pattern")),
        max_items: int(from, "maxItems"),
        min_items: int(from, "minItems"),
        unique_items: flag("uniqueItems"),
        multiple_of: number(from, "multipleOf"),
        values: from.get("enum").and_then(Value::as_array).map(<[Value]>::to_vec).unwrap_or_default(),
        max_properties: int(from, "maxProperties"),
        min_properties: int(from, "minProperties"),
        required: texts(from, "required"),
        all_of: list_of("allOf"),
        one_of: list_of("oneOf"),
        any_of: list_of("anyOf"),
        not: from.get("not").filter(|not| !not.is_null()).map(|not| Box::new(node(not))),
        expressions: from
            .get("x-kubernetes-validations")
            .and_then(Value::as_array)
            .map(<[Value]>::to_vec)
            .unwrap_or_default(),
    };
    Schema {
        node: match from.get("type").and_then(Value::as_str).unwrap_or_default() {
            "object" => NodeType::Object,
            "array" => NodeType::Array,
            "string" => NodeType::String,
            "integer" => NodeType::Integer,
            "number" => NodeType::Number,
            "boolean" => NodeType::Boolean,
            _ => NodeType::Any,
        },
        nullable: flag("nullable"),
        properties,
        additional: match from.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Anything,
            Some(schema @ Value::Object(_)) => Additional::Schema(Box::new(node(schema))),
            _ => Additional::None,
        },
        items: from.get("items").filter(|items| !items.is_null()).map(|items| Box::new(node(items))),
        // Go reads a null here as no default.
        default: from.get("default").filter(|default| !default.is_null()).cloned(),
        preserve: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        int_or_string: flag("x-kubernetes-int-or-string"),
        list_type: match text(from, "x-kubernetes-list-type").as_str() {
            "set" => Some(ListType::Set),
            "map" => Some(ListType::Map),
            "atomic" => Some(ListType::Atomic),
            _ => None,
        },
        list_map_keys: texts(from, "x-kubernetes-list-map-keys"),
        map_atomic: text(from, "x-kubernetes-map-type") == "atomic",
        rules: (rules != Rules::default()).then(|| Box::new(rules)),
    }
}

fn text(from: &Value, name: &str) -> SmolStr {
    match from.get(name) {
        Some(Value::String(text)) => text.clone(),
        _ => SmolStr::default(),
    }
}

fn texts(from: &Value, name: &str) -> Vec<SmolStr> {
    let items = from.get(name).and_then(Value::as_array).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(SmolStr::from).collect()
}

fn int(from: &Value, name: &str) -> Option<i64> {
    from.get(name).and_then(Value::as_int)
}

fn number(from: &Value, name: &str) -> Option<f64> {
    match from.get(name) {
        Some(Value::Int(number)) => Some(*number as f64),
        Some(Value::Float(number)) => Some(*number),
        _ => None,
    }
}
