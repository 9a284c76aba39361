//! FieldsV1: a [`Set`] as JSON. `f:a` is a field, `k:{…}` an element by keys, `v:…` by value, and `.` the node itself
//! where something is below it.

use super::Element;
use super::set::{Node, Set};
use crate::{Map, Value};

/// Reads FieldsV1; `None`: it is malformed.
pub(super) fn decode(fields: &Value) -> Option<Set> {
    let Value::Object(map) = fields else { return None };
    nodes(map).map(|(set, _)| set)
}

/// The set of an object's keys, and whether `.` is among them.
fn nodes(map: &Map) -> Option<(Set, bool)> {
    let (mut nodes, mut own) = (Vec::with_capacity(map.len()), false);
    for (key, value) in map.iter() {
        if key == "." {
            own = true;
            continue;
        }
        let Value::Object(inner) = value else { return None };
        // Kinds of elements that a later version may bring are skipped, as upstream does.
        let known =
            key.as_bytes().get(1) == Some(&b':') && matches!(key.as_bytes()[0], b'f' | b'k' | b'v' | b'i');
        if !known {
            continue;
        }
        let element = Element::parse(key)?;
        let (children, own) = nodes_of(inner)?;
        nodes.push(Node { element, member: own || inner.is_empty(), children });
    }
    Some((Set::from_nodes(nodes), own))
}

fn nodes_of(map: &Map) -> Option<(Set, bool)> {
    if map.is_empty() { Some((Set::new(), true)) } else { nodes(map) }
}

/// Writes FieldsV1.
pub(super) fn encode(set: &Set) -> Value {
    Value::Object(contents(set, false))
}

fn contents(set: &Set, own: bool) -> Map {
    let mut fields = Vec::with_capacity(set.nodes.len() + usize::from(own));
    if own {
        fields.push((".".into(), Value::object()));
    }
    for node in &set.nodes {
        let own = node.member && !node.children.is_empty();
        fields.push((node.element.key(), Value::Object(contents(&node.children, own))));
    }
    Map::from_distinct(fields)
}
