//! Nodes to values as JSON would hold them: scalars by go-yaml 2's rules, keys made texts, merge keys merged.

use std::rc::Rc;

use api::{Map, Value};

use super::node::{Body, Node};
use crate::go::{float, quote};

const PREFIX: &str = "tag:yaml.org,2002:";

/// The value of a document's node.
pub(super) fn value(node: &Rc<Node>) -> Result<Value, String> {
    let mut decoder = Decoder { decoded: 0, aliased: 0, depth: 0, unsupported: None };
    let value = decoder.value(node)?;
    // What JSON cannot hold is told after what YAML cannot read.
    match decoder.unsupported {
        Some(error) => Err(error),
        None => finite(&value).map(|()| value),
    }
}

fn finite(value: &Value) -> Result<(), String> {
    match value {
        Value::Float(number) if !number.is_finite() => {
            Err(format!("json: unsupported value: {}", float::format(*number, b'g', -1)))
        }
        Value::Array(items) => items.iter().try_for_each(finite),
        Value::Object(map) => map.iter().try_for_each(|(_, value)| finite(value)),
        _ => Ok(()),
    }
}

/// What a scalar is before it becomes a JSON value.
enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    /// A date: a text, but another type for tags.
    Time,
    Text,
    Merge,
}

impl Scalar {
    fn tag(&self) -> &'static str {
        match self {
            Scalar::Null => "!!null",
            Scalar::Bool(_) => "!!bool",
            Scalar::Int(_) | Scalar::Uint(_) => "!!int",
            Scalar::Float(_) => "!!float",
            Scalar::Time => "!!timestamp",
            Scalar::Text => "!!str",
            Scalar::Merge => "!!merge",
        }
    }
}

struct Decoder {
    decoded: usize,
    aliased: usize,
    depth: usize,
    /// The first key that JSON cannot have.
    unsupported: Option<String>,
}

/// The share of values that may come from aliases.
fn allowed(decoded: usize) -> f64 {
    const LOW: f64 = 400_000.0;
    const HIGH: f64 = 4_000_000.0;
    match decoded as f64 {
        few if few <= LOW => 0.99,
        many if many >= HIGH => 0.10,
        some => 0.99 - 0.89 * ((some - LOW) / (HIGH - LOW)),
    }
}

impl Decoder {
    fn count(&mut self) -> Result<(), String> {
        self.decoded += 1;
        self.aliased += usize::from(self.depth > 0);
        let excessive = self.aliased > 100
            && self.decoded > 1000
            && self.aliased as f64 / self.decoded as f64 > allowed(self.decoded);
        if excessive {
            return Err("yaml: document contains excessive aliasing".into());
        }
        Ok(())
    }

    fn value(&mut self, node: &Rc<Node>) -> Result<Value, String> {
        self.count()?;
        match &node.body {
            Body::Alias(target) => {
                self.depth += 1;
                let value = self.value(target);
                self.depth -= 1;
                value
            }
            Body::Scalar(text, implicit) => {
                scalar(text, *implicit, &node.tag).map(|(scalar, text)| match scalar {
                    Scalar::Null => Ok(Value::Null),
                    Scalar::Bool(flag) => Ok(Value::Bool(flag)),
                    Scalar::Int(number) => Ok(Value::Int(number)),
                    Scalar::Uint(number) => Ok(Value::Float(number as f64)),
                    Scalar::Float(number) => Ok(Value::Float(number)),
                    Scalar::Time | Scalar::Text | Scalar::Merge => Ok(Value::String(text.as_str().into())),
                })?
            }
            Body::Sequence(items) => {
                let values: Result<Vec<Value>, String> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::Array(values?))
            }
            Body::Mapping(_) => {
                let mut map = Map::new();
                self.mapping(node, &mut map)?;
                Ok(Value::Object(map))
            }
        }
    }

    fn mapping(&mut self, node: &Rc<Node>, map: &mut Map) -> Result<(), String> {
        let Body::Mapping(pairs) = &node.body else { return Ok(()) };
        // A key is looked for only where one can be twice, so that long maps are not searched for each of theirs.
        let mut keys = std::collections::HashSet::new();
        keys.extend(map.keys().cloned());
        for (key, value) in pairs {
            if is_merge(key) {
                self.merge(value, map)?;
                keys.extend(map.keys().cloned());
                continue;
            }
            let name = self.key(key)?;
            let shown = value;
            let value = self.value(value)?;
            let name: smol_str::SmolStr = match name {
                Ok(name) => name.into(),
                Err(kind) => {
                    self.unsupported.get_or_insert_with(|| {
                        let shown = match go_syntax(shown) {
                            nothing if nothing == "interface {}(nil)" => "<nil>".to_string(),
                            shown => shown,
                        };
                        format!("unsupported map key of type: {kind}, value: {shown}")
                    });
                    continue;
                }
            };
            if keys.insert(name.clone()) {
                map.push_unchecked(name, value);
            } else {
                map.insert(name, value);
            }
        }
        Ok(())
    }

    fn merge(&mut self, node: &Rc<Node>, map: &mut Map) -> Result<(), String> {
        const WANTED: &str = "yaml: map merge requires map or sequence of maps as the value";
        match &node.body {
            Body::Mapping(_) => {
                self.count()?;
                self.mapping(node, map)
            }
            Body::Alias(target) if matches!(target.body, Body::Mapping(_)) => {
                self.count()?;
                self.depth += 1;
                self.count()?;
                let done = self.mapping(target, map);
                self.depth -= 1;
                done
            }
            Body::Sequence(items) => {
                // The first of several wins, so it comes last.
                for item in items.iter().rev() {
                    match &item.body {
                        Body::Mapping(_) => {}
                        Body::Alias(target) if matches!(target.body, Body::Mapping(_)) => {}
                        _ => return Err(WANTED.into()),
                    }
                    self.merge(item, map)?;
                }
                Ok(())
            }
            _ => Err(WANTED.into()),
        }
    }

    /// The text that a key becomes; the inner error is what a key is that becomes none.
    fn key(&mut self, node: &Rc<Node>) -> Result<Result<String, String>, String> {
        self.count()?;
        match &node.body {
            Body::Alias(target) => {
                self.depth += 1;
                let key = self.key(target);
                self.depth -= 1;
                key
            }
            Body::Scalar(text, implicit) => {
                let (scalar, text) = scalar(text, *implicit, &node.tag)?;
                Ok(Ok(match scalar {
                    Scalar::Int(number) => number.to_string(),
                    Scalar::Bool(flag) => flag.to_string(),
                    Scalar::Float(number) => key_float(number),
                    Scalar::Uint(number) => return Ok(Err(format!("uint64, key: 0x{number:x}"))),
                    Scalar::Null => return Ok(Err("%!s(<nil>), key: <nil>".into())),
                    Scalar::Time | Scalar::Text | Scalar::Merge => text,
                }))
            }
            Body::Sequence(_) | Body::Mapping(_) => {
                self.value(node)?;
                Err(format!("yaml: invalid map key: {}", go_syntax(node)))
            }
        }
    }
}

/// What a scalar is, and its text.
fn scalar(text: &str, implicit: bool, tag: &str) -> Result<(Scalar, String), String> {
    if tag.is_empty() && !implicit {
        return Ok((Scalar::Text, text.into()));
    }
    let short = tag.strip_prefix(PREFIX).unwrap_or(tag);
    let wanted = match short {
        "" => None,
        "str" | "bool" | "int" | "float" | "null" | "timestamp" if tag.starts_with(PREFIX) => Some(short),
        "binary" if tag.starts_with(PREFIX) => {
            let bytes = crate::sprig::encoding::base64_decode(text.as_bytes())
                .map_err(|_| "yaml: !!binary value contains invalid base64 data".to_string())?;
            return Ok((Scalar::Text, String::from_utf8_lossy(&bytes).into_owned()));
        }
        _ => return Ok((Scalar::Text, text.into())),
    };
    if wanted == Some("str") {
        return Ok((Scalar::Text, text.into()));
    }
    let found = resolve(text, wanted.is_none() || wanted == Some("timestamp"));
    let Some(wanted) = wanted else { return Ok((found, text.into())) };
    let wanted = format!("!!{wanted}");
    match found {
        Scalar::Int(number) if wanted == "!!float" => Ok((Scalar::Float(number as f64), text.into())),
        found if found.tag() == wanted => Ok((found, text.into())),
        found => Err(format!("yaml: cannot decode {} `{text}` as a {wanted}", found.tag())),
    }
}

/// A node as `%#v` prints what the YAML decoder made of it.
fn go_syntax(node: &Rc<Node>) -> String {
    match &node.body {
        Body::Alias(target) => go_syntax(target),
        Body::Scalar(text, implicit) => match scalar(text, *implicit, &node.tag) {
            Ok((Scalar::Null, _)) | Err(_) => "interface {}(nil)".into(),
            Ok((Scalar::Bool(flag), _)) => flag.to_string(),
            Ok((Scalar::Int(number), _)) => number.to_string(),
            Ok((Scalar::Uint(number), _)) => format!("0x{number:x}"),
            Ok((Scalar::Float(number), _)) => float::format(number, b'g', -1),
            Ok((Scalar::Time | Scalar::Text | Scalar::Merge, text)) => quote::quote(text.as_bytes()),
        },
        Body::Sequence(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Body::Mapping(pairs) => {
            let mut fields: Vec<(u8, String, String)> = Vec::new();
            for (key, value) in pairs {
                let (key, value) = (go_syntax(key), go_syntax(value));
                // Keys of one type stand together.
                let kind = match key.as_bytes() {
                    b"interface {}(nil)" => 0,
                    [b'"', ..] => 1,
                    b"true" | b"false" => 4,
                    _ if key.contains(['.', 'e', 'I', 'N']) && !key.starts_with("0x") => 3,
                    _ => 2,
                };
                fields.retain(|(_, own, _)| *own != key);
                fields.push((kind, key, value));
            }
            fields.sort_by(|a, b| match (a.1.parse::<f64>(), b.1.parse::<f64>()) {
                (Ok(first), Ok(second)) if a.0 == b.0 => first.total_cmp(&second),
                // Texts without the quotes at their ends, or a longer one could come first.
                _ => (a.0, a.1.trim_end_matches('"')).cmp(&(b.0, b.1.trim_end_matches('"'))),
            });
            let fields: Vec<String> =
                fields.into_iter().map(|(_, key, value)| format!("{key}:{value}")).collect();
            format!("map[interface {{}}]interface {{}}{{{}}}", fields.join(", "))
        }
    }
}

pub(super) fn is_merge(node: &Node) -> bool {
    match &node.body {
        Body::Scalar(text, implicit) => text == "<<" && (*implicit || node.tag == "tag:yaml.org,2002:merge"),
        _ => false,
    }
}

fn key_float(number: f64) -> String {
    match number {
        number if number.is_nan() => ".nan".into(),
        // Upstream rounds keys to 32 bits.
        number if number as f32 == f32::INFINITY => ".inf".into(),
        number if number as f32 == f32::NEG_INFINITY => "-.inf".into(),
        number => {
            let rounded = number as f32;
            let shortest: f64 = format!("{rounded}").parse().unwrap_or(number);
            float::format(shortest, b'g', -1)
        }
    }
}

fn resolve(text: &str, times: bool) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        "<<" => return Scalar::Merge,
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => float::parse(text).map_or(Scalar::Text, Scalar::Float),
        b'0'..=b'9' | b'+' | b'-' => {
            if times && api::yaml::is_time(text) {
                return Scalar::Time;
            }
            number(&text.replace('_', ""))
        }
        _ => Scalar::Text,
    }
}

pub(super) fn is_text(text: &str) -> bool {
    // Not read as numbers any more, but printed in quotes for those who still do.
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let sexagesimal = digits.split_once(':').is_some_and(|(first, rest)| {
        number(first) && rest.split(':').all(|part| part.len() <= 2 && number(part))
    });
    matches!(resolve(text, true), Scalar::Text | Scalar::Merge) && !sexagesimal
}

fn number(plain: &str) -> Scalar {
    if let Some(number) = float::parse_int(plain, 0) {
        return Scalar::Int(number);
    }
    if !plain.starts_with(['+', '-'])
        && let Some(number) = float::parse_uint(plain, 0)
    {
        return Scalar::Uint(number);
    }
    if api::yaml::is_float(plain)
        && let Some(number) = float::parse(plain)
    {
        return Scalar::Float(number);
    }
    Scalar::Text
}
