//! Documents as Kustomize reads resources: go-yaml 3's rules for what a plain text is, and the nulls that nobody wrote.
//!
//! Bounded: nesting by [`super::DEPTH`], values by [`NODES`] with aliases expanded.

use std::rc::Rc;

use api::{Map, Value, yaml};
use smol_str::SmolStr;

use super::node::{Body, Node, Parser};

/// Values of one text, aliases expanded.
const NODES: usize = 2_000_000;

/// One document.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub value: Value,
    /// Where a field has no value at all, unlike a written `null`: names below one another.
    pub unwritten: Vec<Vec<String>>,
}

/// The documents of a text; the error is upstream's text. The same key twice in a map is an error.
pub fn documents(text: &str) -> Result<Vec<Document>, String> {
    // JSON may hold tabs as white space, which YAML forbids as indentation.
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str::<Value>(start)
    {
        return Ok(vec![Document { value, unwritten: Vec::new() }]);
    }
    let mut parser = Parser::new(text)?;
    let mut all = Vec::new();
    let mut count = 0;
    while let Some(node) = parser.document()? {
        let mut reader = Reader { count, place: Vec::new(), unwritten: Vec::new() };
        let value = reader.value(&node)?;
        count = reader.count;
        all.push(Document { value, unwritten: reader.unwritten });
    }
    Ok(all)
}

/// The first document's value; null if there is none.
pub fn first(text: &str) -> Result<Value, String> {
    Ok(documents(text)?.into_iter().next().unwrap_or_default().value)
}

struct Reader {
    count: usize,
    place: Vec<String>,
    unwritten: Vec<Vec<String>>,
}

impl Reader {
    fn value(&mut self, node: &Rc<Node>) -> Result<Value, String> {
        self.count += 1;
        if self.count > NODES {
            return Err(format!("yaml: more than {NODES} values after aliases are expanded"));
        }
        match &node.body {
            Body::Alias(target) => self.value(target),
            // Upstream prints what it read before it decodes it, and writes a gap within brackets as an empty text.
            Body::Scalar(..) if node.gap => Ok(Value::String("".into())),
            Body::Scalar(text, implicit) => {
                if text.is_empty() && *implicit {
                    self.unwritten.push(self.place.clone());
                }
                scalar(text, *implicit, &node.tag)
            }
            Body::Sequence(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    self.place.push(at.to_string());
                    values.push(self.value(item)?);
                    self.place.pop();
                }
                Ok(Value::Array(values))
            }
            Body::Mapping(pairs) => self.mapping(pairs),
        }
    }

    fn mapping(&mut self, pairs: &[(Rc<Node>, Rc<Node>)]) -> Result<Value, String> {
        let mut map = Map::with_capacity(pairs.len());
        let mut merged: Vec<Map> = Vec::new();
        let mut keys = std::collections::HashSet::with_capacity(pairs.len());
        for (key, value) in pairs {
            if super::decode::is_merge(key) {
                match self.value(value)? {
                    Value::Object(other) => merged.push(other),
                    Value::Array(items) => {
                        merged.extend(items.into_iter().filter_map(|item| item.as_map().cloned()));
                    }
                    _ => return Err("yaml: a merge key (<<) needs a map or a list of maps".into()),
                }
                continue;
            }
            let name = self.key(key)?;
            self.place.push(name.clone());
            let value = self.value(value)?;
            self.place.pop();
            if !keys.insert(name.clone()) {
                return Err(format!("yaml: mapping key {name:?} already defined"));
            }
            map.push_unchecked(name.into(), value);
        }
        for (key, value) in merged.into_iter().flatten() {
            if !map.contains_key(&key) {
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }

    fn key(&mut self, node: &Rc<Node>) -> Result<String, String> {
        match &node.body {
            Body::Alias(target) => self.key(target),
            // A null is the empty key.
            Body::Scalar(text, true) if matches!(text.as_str(), "~" | "null" | "Null" | "NULL") => {
                Ok(String::new())
            }
            Body::Scalar(text, _) => Ok(text.to_string()),
            Body::Sequence(_) | Body::Mapping(_) => Err("yaml: a key must be a text".into()),
        }
    }
}

fn scalar(text: &SmolStr, implicit: bool, tag: &str) -> Result<Value, String> {
    let resolved = || yaml::resolve(text, yaml::Dialect::V3);
    match tag.rsplit([':', '!']).next().unwrap_or_default() {
        kind @ ("int" | "float" | "bool" | "null") => match (kind, resolved()) {
            ("float", Value::Int(number)) => Ok(Value::Float(number as f64)),
            (kind, Value::String(_)) => Err(format!("yaml: cannot decode !!str `{text}` as a !!{kind}")),
            (_, value) => Ok(value),
        },
        "" if implicit => {
            let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
            if matches!(unsigned, ".inf" | ".Inf" | ".INF")
                || matches!(text.as_str(), ".nan" | ".NaN" | ".NAN")
            {
                return Err(format!(
                    "yaml: {text} is a number that JSON cannot hold; quote it if it is a text"
                ));
            }
            Ok(resolved())
        }
        _ => Ok(Value::String(text.clone())),
    }
}
