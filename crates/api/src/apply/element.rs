//! One step of a field path: a field, an element of a list by its keys or its value, or an index.

use std::cmp::Ordering;
use std::fmt;

use smol_str::SmolStr;

use crate::{Map, Value, json};

/// See the module. The order is that of structured-merge-diff, in which FieldsV1 is written.
#[derive(Clone, Debug)]
pub enum Element {
    Field(SmolStr),
    /// Keys and their values, by name.
    Key(Box<[(SmolStr, Value)]>),
    Value(Value),
    Index(i64),
}

impl Element {
    /// From a key of FieldsV1: `f:name`, `k:{"name":"a"}`, `v:"x"`, `i:0`.
    pub(super) fn parse(text: &SmolStr) -> Option<Element> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => Element::Field(rest.into()),
            "k" => match json::parse(rest.as_bytes()).ok()? {
                Value::Object(map) => {
                    let mut keys: Vec<(SmolStr, Value)> = map.into_iter().collect();
                    keys.sort_by(|(left, _), (right, _)| left.cmp(right));
                    Element::Key(keys.into())
                }
                _ => return None,
            },
            "v" => Element::Value(json::parse(rest.as_bytes()).ok()?),
            "i" => Element::Index(rest.parse().ok()?),
            _ => return None,
        })
    }

    /// As a key of FieldsV1.
    pub(super) fn key(&self) -> SmolStr {
        match self {
            Element::Field(name) => smol_str::format_smolstr!("f:{name}"),
            Element::Key(keys) => {
                let map: Map = keys.iter().cloned().collect();
                smol_str::format_smolstr!("k:{}", Value::Object(map))
            }
            Element::Value(value) => smol_str::format_smolstr!("v:{value}"),
            Element::Index(at) => smol_str::format_smolstr!("i:{at}"),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(out, ".{name}"),
            Element::Key(keys) => {
                out.write_str("[")?;
                for (at, (name, value)) in keys.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(out, "{comma}{name}={}", shown(value))?;
                }
                out.write_str("]")
            }
            Element::Value(value) => write!(out, "[={}]", shown(value)),
            Element::Index(at) => write!(out, "[{at}]"),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => crate::text::quote(text),
        other => other.to_string(),
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Element {}
impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Element) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Element {
    fn cmp(&self, other: &Element) -> Ordering {
        match (self, other) {
            (Element::Field(left), Element::Field(right)) => left.cmp(right),
            (Element::Key(left), Element::Key(right)) => {
                for ((left_name, left), (right_name, right)) in left.iter().zip(right) {
                    let order = left_name.cmp(right_name).then_with(|| compare(left, right));
                    if order != Ordering::Equal {
                        return order;
                    }
                }
                left.len().cmp(&right.len())
            }
            (Element::Value(left), Element::Value(right)) => compare(left, right),
            (Element::Index(left), Element::Index(right)) => left.cmp(right),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl Element {
    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Key(_) => 1,
            Element::Value(_) => 2,
            Element::Index(_) => 3,
        }
    }
}

/// structured-merge-diff's total order of values: numbers by value, then texts, bools, lists, maps, null.
pub(super) fn compare(left: &Value, right: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Int(_) | Value::Float(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    let float = |value: &Value| match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => 0.0,
    };
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => left.cmp(right),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            float(left).total_cmp(&float(right))
        }
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => {
            for (left, right) in left.iter().zip(right) {
                let order = compare(left, right);
                if order != Ordering::Equal {
                    return order;
                }
            }
            left.len().cmp(&right.len())
        }
        (Value::Object(left), Value::Object(right)) => {
            let sorted = |map: &Map| {
                let mut fields: Vec<(SmolStr, Value)> = map.clone().into_iter().collect();
                fields.sort_by(|(left, _), (right, _)| left.cmp(right));
                fields
            };
            for ((left_name, left), (right_name, right)) in sorted(left).iter().zip(&sorted(right)) {
                let order = left_name.cmp(right_name).then_with(|| compare(left, right));
                if order != Ordering::Equal {
                    return order;
                }
            }
            left.len().cmp(&right.len())
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

/// Equality as structured-merge-diff has it: numbers by value, objects whatever their order.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Int(left), Value::Float(right)) | (Value::Float(right), Value::Int(left)) => {
            *left as f64 == *right
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().enumerate().all(|(at, (key, value))| {
                    right.get_near(at, key).is_some_and(|other| equal(value, other))
                })
        }
        (left, right) => left == right,
    }
}
