//! Documents as Kustomize reads resources: go-yaml 3's rules for what a plain text is, and the nulls that nobody wrote.
//!
//! Bounded: nesting by [`super::DEPTH`], values by [`NODES`] with aliases expanded.

use std::rc::Rc;

use api::{Map, Value, yaml};
use smol_str::SmolStr;

use super::node::{Body, Form, Node, Parser};

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
    let unix;
    let text = if text.contains("\r\n") {
        unix = text.replace("\r\n", "\n");
        unix.as_str()
    } else {
        text
    };
    let mut all = Vec::new();
    let mut count = 0;
    for part in split(text)? {
        // JSON is faster read as what it is.
        if let Some(value) = super::json::object(part.trim_start_matches([' ', '\n'])) {
            all.push(Document { value, unwritten: Vec::new() });
            continue;
        }
        // Only the first document of each part is read.
        let Some(node) = Parser::ahead(part)?.document()? else { continue };
        if node.tag.strip_prefix(PREFIX) == Some("null") {
            // Whatever else it is.
            all.push(Document::default());
            continue;
        }
        let mut reader = Reader { count, nesting: 0, place: Vec::new(), unwritten: Vec::new() };
        let value = reader.value(&node, false)?;
        count = reader.count;
        all.push(Document { value, unwritten: reader.unwritten });
    }
    Ok(all)
}

/// The parts between lines that begin with `---`, wherever such a line stands; behind it only a comment may follow.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut from, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = text[at..].find("\n---") {
        let mark = at + found;
        let Some(length) = text[mark + 1..].find('\n') else { break };
        let end = mark + 1 + length + 1;
        let behind = text[mark + 4..end].trim();
        if !behind.is_empty() && !behind.starts_with('#') {
            return Err(format!("invalid document separator: {}", text[mark..end].trim()));
        }
        // The line end before the mark belongs to the text above.
        if mark >= from {
            parts.push(&text[from..=mark]);
        }
        (from, at) = (end, end);
    }
    parts.push(&text[from..]);
    Ok(parts)
}

/// The first document's value; null if there is none.
pub fn first(text: &str) -> Result<Value, String> {
    Ok(documents(text)?.into_iter().next().unwrap_or_default().value)
}

struct Reader {
    count: usize,
    nesting: usize,
    place: Vec<String>,
    unwritten: Vec<Vec<String>>,
}

impl Reader {
    /// A node's value; `inside` if it is printed within brackets, where an alias leads too.
    fn value(&mut self, node: &Rc<Node>, inside: bool) -> Result<Value, String> {
        self.count += 1;
        if self.count > NODES {
            return Err(format!("yaml: more than {NODES} values after aliases are expanded"));
        }
        if self.nesting > super::DEPTH {
            return Err("yaml: exceeded max depth of 10000".into());
        }
        self.nesting += 1;
        let value = self.body(node, inside || node.form == Form::Brackets);
        self.nesting -= 1;
        value
    }

    fn body(&mut self, node: &Rc<Node>, inside: bool) -> Result<Value, String> {
        match &node.body {
            Body::Alias(target) => self.value(target, inside),
            // Upstream goes on until its stack ends.
            Body::Within(anchor) => Err(format!("yaml: anchor '{}' value contains itself", anchor.name)),
            // Upstream prints what it read before it decodes it, and writes a gap within brackets as an empty text.
            Body::Scalar(text, true) if inside && text.is_empty() => Ok(Value::String("".into())),
            Body::Scalar(text, _) if node.form.is_block() && !inside => {
                let text = super::fold::again(text, node.form)?;
                scalar(&text, false, &node.tag)
            }
            // Within brackets a colon brings quotes, which make a time a text.
            Body::Scalar(text, true) if inside && text.contains(':') && yaml::is_time(text) => {
                Ok(Value::String(text.clone()))
            }
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
                    values.push(self.value(item, inside)?);
                    self.place.pop();
                }
                Ok(Value::Array(values))
            }
            Body::Mapping(pairs) => self.mapping(pairs, inside),
        }
    }

    fn mapping(&mut self, pairs: &[(Rc<Node>, Rc<Node>)], inside: bool) -> Result<Value, String> {
        let mut map = Map::with_capacity(pairs.len());
        let (mut merged, mut merges): (Vec<Map>, bool) = (Vec::new(), false);
        let mut keys = std::collections::HashSet::with_capacity(pairs.len());
        for (key, value) in pairs {
            if super::decode::is_merge(key) {
                if std::mem::replace(&mut merges, true) {
                    return Err("duplicate merge key".into());
                }
                self.merge(value, inside, &mut merged)?;
                continue;
            }
            // Upstream cannot print such a map; of the outermost it makes texts of all keys.
            if !self.place.is_empty() && !is_text(key) {
                return Err("json: unsupported type: map[interface {}]interface {}".into());
            }
            let name = self.key(key, inside)?;
            self.place.push(name.clone());
            let value = self.value(value, inside)?;
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

    /// The maps that a merge key names, the first of which wins.
    fn merge(&mut self, node: &Rc<Node>, inside: bool, merged: &mut Vec<Map>) -> Result<(), String> {
        // Its fields become those of the map that merges it, without the brackets around them.
        let named = match &node.body {
            Body::Alias(target) => target,
            _ => node,
        };
        let fields = match (&node.body, &named.body) {
            (_, Body::Mapping(pairs)) => pairs,
            (Body::Within(anchor), _) => {
                return Err(format!("yaml: anchor '{}' value contains itself", anchor.name));
            }
            (Body::Alias(_), _) => return Err("invalid map merge: received alias for a non-map value".into()),
            (Body::Sequence(items), _) => {
                if items.iter().any(|item| matches!(item.body, Body::Sequence(_))) {
                    return Err("invalid map merge: received a nested sequence".into());
                }
                return items.iter().try_for_each(|item| self.merge(item, inside, merged));
            }
            _ => return Err("map merge requires map or sequence of maps as the value".into()),
        };
        if let Value::Object(map) = self.mapping(fields, inside)? {
            merged.push(map);
        }
        Ok(())
    }

    fn key(&mut self, node: &Rc<Node>, inside: bool) -> Result<String, String> {
        match &node.body {
            Body::Alias(target) => self.key(target, inside),
            Body::Within(anchor) => Err(format!("yaml: anchor '{}' value contains itself", anchor.name)),
            // Upstream prints a key that is a written null twice, and does not read that again.
            Body::Scalar(text, implicit)
                if !text.is_empty()
                    && scalar(text, *implicit, &node.tag).is_ok_and(|value| value.is_null()) =>
            {
                Err(format!("yaml: mapping key {text:?} already defined"))
            }
            // One of several lines, or a long one, is printed as it was written, and others in quotes.
            Body::Scalar(text, _)
                if node.form.is_block()
                    && !inside
                    && (text.len() > 128 || text.contains(super::fold::is_break)) =>
            {
                super::fold::again(text, node.form).map(Into::into)
            }
            Body::Scalar(text, _) if node.tag.strip_prefix(PREFIX) == Some("binary") => {
                Ok(scalar(text, false, &node.tag)?.as_str().unwrap_or_default().to_string())
            }
            Body::Scalar(text, implicit) => {
                if RESOLVED.contains(&node.tag.strip_prefix(PREFIX).unwrap_or_default()) {
                    scalar(text, *implicit, &node.tag)?;
                }
                Ok(text.to_string())
            }
            Body::Sequence(_) | Body::Mapping(_) => Err("yaml: a key must be a text".into()),
        }
    }
}

/// Whether a key is a text by itself.
fn is_text(key: &Node) -> bool {
    match &key.body {
        Body::Alias(target) => is_text(target),
        // A key that is not written is printed as an empty text.
        Body::Scalar(text, true) => text.is_empty() || type_of(text).0 == "str",
        Body::Scalar(..) => {
            matches!(key.tag.as_str(), "" | "!") || key.tag.strip_prefix(PREFIX) == Some("str")
        }
        Body::Sequence(_) | Body::Mapping(_) | Body::Within(_) => false,
    }
}

const PREFIX: &str = "tag:yaml.org,2002:";
/// Tags that say what a text has to be read as.
const RESOLVED: [&str; 5] = ["int", "float", "bool", "null", "timestamp"];

/// What a plain text is, and its value.
fn type_of(text: &str) -> (&'static str, Value) {
    let value = yaml::resolve(text, yaml::Dialect::V3);
    let name = match &value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        _ if yaml::is_endless(text) => "float",
        _ if yaml::is_time(text) => "timestamp",
        _ => "str",
    };
    (name, value)
}

fn scalar(text: &SmolStr, implicit: bool, tag: &str) -> Result<Value, String> {
    let wanted = tag.strip_prefix(PREFIX).unwrap_or_default();
    if wanted == "binary" {
        let bytes = crate::sprig::encoding::base64_decode(text.as_bytes())
            .map_err(|_| "yaml: !!binary value contains invalid base64 data".to_string())?;
        let text = crate::go::text::decode(&bytes);
        super::readable(&text)?;
        return Ok(Value::String(text.as_ref().into()));
    }
    let is_tagged = RESOLVED.contains(&wanted);
    if !implicit && !is_tagged {
        super::readable(text)?;
        return Ok(Value::String(text.clone()));
    }
    let (found, value) = type_of(text);
    if is_tagged && found != wanted && (found, wanted) != ("int", "float") {
        return Err(format!("yaml: cannot decode !!{found} `{text}` as a !!{wanted}"));
    }
    if yaml::is_endless(text) {
        return Err(format!("yaml: {text} is a number that JSON cannot hold; quote it if it is a text"));
    }
    Ok(match value {
        Value::Int(number) if wanted == "float" => Value::Float(number as f64),
        value => value,
    })
}
