//! What a value owns by its schema, and whether it fits the schema.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;

use super::element::Element;
use super::set::{Node, Set};
use crate::schema::{Field, Kind, ListType, Omit, Presence, Scalar, Schema, Shape};
use crate::{Map, Value};

/// The set of all fields that a value states.
pub(super) fn fields(value: &Value, schema: Schema<'_>) -> Set {
    owned(value, schema).1
}

/// Whether the place itself is a member, and what below it is.
fn owned(value: &Value, schema: Schema<'_>) -> (bool, Set) {
    match (schema.shape(), value) {
        (Shape::Leaf | Shape::List(ListType::Atomic) | Shape::Object { atomic: true }, _) => {
            (true, Set::new())
        }
        (Shape::Object { .. } | Shape::Free, Value::Object(map)) => (false, object(map, schema)),
        (Shape::Free, Value::Null) => (false, Set::new()),
        (Shape::Free, _) => (true, Set::new()),
        (Shape::List(_), Value::Array(items)) => (false, list(items, schema)),
        (Shape::Object { .. } | Shape::List(_), _) => (false, Set::new()),
    }
}

fn object(map: &Map, schema: Schema<'_>) -> Set {
    let nodes = map.iter().map(|(key, value)| {
        let (own, children) = owned(value, schema.child(key).unwrap_or(Schema::Free));
        let bare = value.is_null() || value.as_map().is_some_and(Map::is_empty);
        Node { element: Element::Field(key.clone()), member: own || bare || !schema.names(key), children }
    });
    Set::from_nodes(nodes.collect())
}

fn list(items: &[Value], schema: Schema<'_>) -> Set {
    let index = index(items, schema);
    let nodes = index.elements.into_iter().map(|(element, places)| match places[..] {
        [at] => {
            let (_, children) = owned(&items[at], schema.item());
            Node { element, member: true, children }
        }
        // Doubled elements are owned as one, without their parts.
        _ => Node { element, member: true, children: Set::new() },
    });
    Set::from_nodes(nodes.collect())
}

/// The elements of an associative list in order of their first appearance, with their places.
pub(super) struct Index {
    pub(super) elements: Vec<(Element, Vec<usize>)>,
    by_text: HashMap<String, usize>,
}

impl Index {
    pub(super) fn places(&self, element: &Element) -> &[usize] {
        let at = if self.by_text.is_empty() {
            self.elements.iter().position(|(other, _)| other == element)
        } else {
            self.by_text.get(element.key().as_str()).copied()
        };
        at.map_or(&[], |at| &self.elements[at].1)
    }
}

/// Lists longer than this are indexed by hash.
const MANY: usize = 32;

/// Elements that are none (a map without keys, a null in a set) are left out: validation has named them.
pub(super) fn index(items: &[Value], schema: Schema<'_>) -> Index {
    let keys = schema.keys();
    let mut index = Index { elements: Vec::with_capacity(items.len()), by_text: HashMap::new() };
    for (at, item) in items.iter().enumerate() {
        let Ok(element) = element(item, &keys, schema) else { continue };
        let known = if items.len() <= MANY {
            index.elements.iter().position(|(other, _)| *other == element)
        } else {
            let next = index.elements.len();
            let place = *index.by_text.entry(element.key().into()).or_insert(next);
            (place < next).then_some(place)
        };
        match known {
            Some(known) => index.elements[known].1.push(at),
            None => index.elements.push((element, vec![at])),
        }
    }
    index
}

/// The path element of an item of a list of type set or map.
fn element(item: &Value, keys: &[&str], schema: Schema<'_>) -> Result<Element, String> {
    if !matches!(schema.shape(), Shape::List(ListType::Map)) {
        return match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            scalar => Ok(Element::Value(scalar.clone())),
        };
    }
    let map = match item {
        Value::Object(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut found: Vec<(SmolStr, Value)> = Vec::with_capacity(keys.len());
    for key in keys {
        let value = map.get(key).cloned().or_else(|| schema.item().child(key).and_then(key_default));
        if let Some(value) = value {
            found.push(((*key).into(), value));
        }
    }
    if found.is_empty() && !keys.is_empty() {
        let names: Vec<String> = keys.iter().map(|key| crate::text::quote(key)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
             values for any key fields)",
            names.join(" ")
        ));
    }
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    Ok(Element::Key(found.into()))
}

/// The value of a key that is left out. Upstream's OpenAPI gives a field that Go always writes its zero value as default.
fn key_default(schema: Schema<'_>) -> Option<Value> {
    let always = |field: &&Field| field.presence() == Presence::Value && field.omit() == Omit::Never;
    schema.default().or_else(|| match schema.field().filter(always)?.kind() {
        Kind::String => Some("".into()),
        Kind::Int32 | Kind::Int64 => Some(Value::Int(0)),
        Kind::Bool => Some(Value::Bool(false)),
        _ => None,
    })
}

/// Every element of a list of type set or map is one: it has a key, or is a scalar.
pub(super) fn has_elements(value: &Value, schema: Schema<'_>) -> bool {
    match (schema.shape(), value) {
        (Shape::Object { .. }, Value::Object(map)) => map.iter().all(|(key, value)| match value {
            Value::Object(_) | Value::Array(_) => {
                schema.child(key).is_none_or(|schema| has_elements(value, schema))
            }
            _ => true,
        }),
        (Shape::List(kind), Value::Array(items)) => {
            let keys = schema.keys();
            let associative = kind != ListType::Atomic;
            items.iter().all(|item| {
                (!associative || element(item, &keys, schema).is_ok()) && has_elements(item, schema.item())
            })
        }
        _ => true,
    }
}

/// What in a configuration does not fit the schema: `.spec.foo: field not declared in schema`.
pub(super) fn validate(value: &Value, schema: Schema<'_>) -> Vec<String> {
    let mut errors = Vec::new();
    check(value, schema, &At::Root, &mut errors);
    errors
}

/// Upstream's text of several errors.
pub(super) fn join(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    }
}

/// Where the check is; made into text only for an error.
enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    Element(&'a At<'a>, &'a Element),
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Field(parent, name) => write!(out, "{parent}.{name}"),
            At::Element(parent, element) => write!(out, "{parent}{element}"),
        }
    }
}

#[cold]
fn wrong(at: &At<'_>, text: &str, errors: &mut Vec<String>) {
    errors.push(if matches!(at, At::Root) { text.into() } else { format!("{at}: {text}") });
}

fn check(value: &Value, schema: Schema<'_>, at: &At<'_>, errors: &mut Vec<String>) {
    match (schema.shape(), value) {
        (_, Value::Null) => {}
        (Shape::Object { .. } | Shape::Free, Value::Object(map)) => {
            for (key, value) in map.iter() {
                let here = At::Field(at, key);
                match schema.child(key) {
                    Some(schema) => check(value, schema, &here, errors),
                    None => return wrong(&here, "field not declared in schema", errors),
                }
            }
        }
        (Shape::List(ListType::Atomic), Value::Array(items)) => {
            for (place, item) in items.iter().enumerate() {
                let element = Element::Index(place as i64);
                check(item, schema.item(), &At::Element(at, &element), errors);
            }
        }
        (Shape::List(_), Value::Array(items)) => {
            let keys = schema.keys();
            let mut seen: Vec<Element> = Vec::with_capacity(items.len().min(MANY));
            let mut many: HashSet<SmolStr> = HashSet::new();
            for (place, item) in items.iter().enumerate() {
                let element = match element(item, &keys, schema) {
                    Ok(element) => element,
                    Err(text) => return wrong(at, &format!("element {place}: {text}"), errors),
                };
                let known =
                    if items.len() <= MANY { seen.contains(&element) } else { !many.insert(element.key()) };
                if known {
                    wrong(at, &format!("duplicate entries for key {element}"), errors);
                }
                check(item, schema.item(), &At::Element(at, &element), errors);
                if items.len() <= MANY {
                    seen.push(element);
                }
            }
        }
        (Shape::Object { .. }, other) => {
            wrong(at, &format!("expected map, got &{{{}}}", crate::text::show(other)), errors);
        }
        (Shape::List(_), other) => {
            wrong(at, &format!("expected list, got &{{{}}}", crate::text::show(other)), errors);
        }
        (Shape::Leaf, value) => {
            if let Some(text) = schema.scalar().and_then(|scalar| unlike(scalar, value)) {
                wrong(at, &text, errors);
            }
        }
        (Shape::Free, _) => {}
    }
}

/// Why a value is not that scalar. Upstream prints its own types, and each scalar in another way.
fn unlike(scalar: Scalar, value: &Value) -> Option<String> {
    let number = matches!(value, Value::Int(_) | Value::Float(_));
    match (scalar, value) {
        (Scalar::Text, Value::String(_)) | (Scalar::Bool, Value::Bool(_)) => None,
        (Scalar::Any, Value::Array(_) | Value::Object(_)) => {
            Some(format!("expected any scalar, got &{{{}}}", crate::text::show(value)))
        }
        (Scalar::Any, _) => None,
        (Scalar::Number, _) if number => None,
        (Scalar::Number, other) => {
            let name = match other {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            Some(format!("expected numeric (int or float), got {name}"))
        }
        (Scalar::Bool, other) => Some(format!("expected boolean, got &{{{}}}", crate::text::show(other))),
        (Scalar::Text, other) => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", literal(other)))
        }
    }
}

/// Go's `%#v` of a decoded value.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::String(text) => crate::text::quote(text),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(literal).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let mut fields: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}:{}", crate::text::quote(key), literal(value)))
                .collect();
            fields.sort();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
