//! The network: names are not looked up, and objects only where the world has a cluster to ask.

use super::{Entries, text};
use crate::go::world::Lookup;
use crate::go::{Map, MapType, Value};
use crate::template::function;

pub fn all() -> Entries {
    vec![
        ("getHostByName", function("s", |_, _| Ok("".into()))),
        (
            "lookup",
            function("ssss", |frame, a| {
                let [api_version, kind, namespace, name] = [0, 1, 2, 3].map(|at| text(a, at));
                let wanted =
                    Lookup { api_version: &api_version, kind: &kind, namespace: &namespace, name: &name };
                let found = frame.exec.world.lookup(&wanted)?;
                Ok(found.map_or_else(|| Value::Map(Map::new(MapType::Any)), |object| unstructured(&object)))
            }),
        ),
    ]
}

/// An object as client-go reads it: whole numbers are `int64`, unlike those of values.
fn unstructured(tree: &api::Value) -> Value {
    match tree {
        api::Value::Int(number) => Value::Int64(*number),
        api::Value::Array(items) => Value::list(items.iter().map(unstructured).collect()),
        api::Value::Object(map) => {
            Value::Map(Map::any(map.iter().map(|(key, value)| (key.as_str(), unstructured(value)))))
        }
        other => super::yaml::from_tree(other),
    }
}
