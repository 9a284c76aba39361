//! How large the values of a schema can be, for the estimate of what rules cost.

use smol_str::SmolStr;

use crate::Value;
use crate::structural::{Additional, NodeType, Schema};

use super::REQUEST;

/// Bytes of the smallest value.
pub(super) fn min_size(schema: &Schema) -> u64 {
    if schema.int_or_string {
        return 1;
    }
    let rules = schema.rules.as_ref();
    match schema.node {
        NodeType::Boolean => 4,
        NodeType::Number | NodeType::Integer | NodeType::Any => 1,
        NodeType::Array => 2,
        NodeType::String => match rules.map(|rules| rules.format.as_str()).unwrap_or_default() {
            "duration" => 3,
            "date" => 12,
            "date-time" => 21,
            _ => 2,
        },
        NodeType::Object => {
            let required = |key: &SmolStr| rules.is_some_and(|rules| rules.required.contains(key));
            let fields = schema
                .properties
                .iter()
                .filter(|(key, property)| required(key) && property.default.is_none());
            2 + fields.map(|(key, property)| key.len() as u64 + min_size(property) + 4).sum::<u64>()
        }
    }
}

/// Elements of a list or map, or the length of a string, at the most.
fn max_elements(schema: &Schema) -> u64 {
    let rules = schema.rules.as_ref();
    let stated = |most: Option<i64>| most.map(|most| most.max(0) as u64);
    let length = || rules.and_then(|rules| stated(rules.max_length));
    if schema.int_or_string {
        return length().map_or(REQUEST - 2, |length| length * 4);
    }
    match schema.node {
        NodeType::Array => {
            let each = schema.items.as_deref().map_or(1, min_size);
            rules.and_then(|rules| stated(rules.max_items)).unwrap_or((REQUEST - 2) / (each + 1))
        }
        NodeType::Object => match &schema.additional {
            Additional::Schema(inner) => rules
                .and_then(|rules| stated(rules.max_properties))
                .unwrap_or((REQUEST - 2) / (min_size(inner) + 6)),
            _ => 0,
        },
        NodeType::String => match rules.map(|rules| rules.format.as_str()).unwrap_or_default() {
            "byte" => length().unwrap_or(REQUEST - 2),
            "duration" | "date-time" => 32,
            "date" => 12,
            _ => match (length(), rules) {
                (Some(length), _) => length * 4,
                (None, Some(rules)) if !rules.values.is_empty() => {
                    let texts = rules.values.iter().filter_map(Value::as_str);
                    texts.map(|text| text.len() as u64).max().unwrap_or(0)
                }
                _ => REQUEST - 2,
            },
        },
        _ => 0,
    }
}

/// The size of what a path of an expression leads to.
pub(super) fn size_at(schema: &Schema, path: &[SmolStr]) -> Option<u64> {
    let mut here = schema;
    for step in path.get(1..)? {
        here = match step.as_str() {
            "@items" => here.items.as_deref()?,
            "@values" => match &here.additional {
                Additional::Schema(inner) => inner,
                _ => return None,
            },
            // Keys are strings of any length.
            "@keys" => return matches!(here.additional, Additional::Schema(_)).then_some(0),
            field => match &here.additional {
                Additional::Schema(inner) => inner,
                _ => here.property(&crate::cel::unescape(field))?,
            },
        };
    }
    Some(max_elements(here))
}
