//! Nodes to values as JSON would hold them: scalars by go-yaml 2's rules, keys made texts, merge keys merged.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use api::{Map, Value};
use smol_str::SmolStr;

use super::node::{Anchor, Body, Node};
use crate::go::{float, quote, text};

const PREFIX: &str = "tag:yaml.org,2002:";
/// Pairs of a map that is searched for each of its keys.
const SHORT: usize = 24;

/// The value of a document's node.
pub(super) fn value(node: &Rc<Node>) -> Result<Value, String> {
    let mut decoder =
        Decoder { decoded: 0, aliased: 0, nesting: 0, depth: 0, within: Vec::new(), unsupported: false };
    let value = decoder.value(node)?;
    // What JSON cannot hold is told after what YAML cannot read, if a later value of the same key has not taken its place.
    if decoder.unsupported
        && let Some(error) = unsupported(node)
    {
        return Err(error);
    }
    finite(&value).map(|()| value)
}

fn finite(value: &Value) -> Result<(), String> {
    match value {
        Value::Float(number) if !number.is_finite() => {
            Err(format!("json: unsupported value: {}", float::format(*number, b'g', -1)))
        }
        Value::Array(items) => items.iter().try_for_each(finite),
        // JSON is written key by key in their order, and tells the first.
        Value::Object(map) => {
            let endless = map.iter().filter_map(|(key, value)| Some((key, finite(value).err()?)));
            endless.min_by_key(|(key, _)| *key).map_or(Ok(()), |(_, error)| Err(error))
        }
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
        }
    }
}

struct Decoder {
    decoded: usize,
    aliased: usize,
    /// Values around this one, and those of them that are aliases.
    nesting: usize,
    depth: usize,
    /// The aliases around it that lie within the nodes that they name.
    within: Vec<*const Node>,
    /// There was a key that JSON cannot have.
    unsupported: bool,
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

    /// Decodes what an alias names, which must not lie within itself.
    fn enter<T>(
        &mut self,
        alias: &Rc<Node>,
        anchor: &Anchor,
        decode: impl FnOnce(&mut Decoder, &Rc<Node>) -> Result<T, String>,
    ) -> Result<T, String> {
        let again = || format!("yaml: anchor '{}' value contains itself", anchor.name);
        let place = Rc::as_ptr(alias);
        if self.within.contains(&place) {
            return Err(again());
        }
        let target = anchor.node().ok_or_else(again)?;
        self.within.push(place);
        self.depth += 1;
        let done = decode(self, &target);
        self.depth -= 1;
        self.within.pop();
        done
    }

    fn value(&mut self, node: &Rc<Node>) -> Result<Value, String> {
        self.count()?;
        // A text's own nesting is bounded, but aliases add theirs.
        if self.nesting > super::DEPTH {
            return Err("yaml: exceeded max depth of 10000".into());
        }
        self.nesting += 1;
        let value = self.body(node);
        self.nesting -= 1;
        value
    }

    fn body(&mut self, node: &Rc<Node>) -> Result<Value, String> {
        match &node.body {
            Body::Alias(target) => {
                self.depth += 1;
                let value = self.value(target);
                self.depth -= 1;
                value
            }
            Body::Within(anchor) => self.enter(node, anchor, |decoder, target| decoder.value(target)),
            Body::Scalar(text, implicit) => {
                scalar(text, *implicit, &node.tag).map(|(scalar, text)| match scalar {
                    Scalar::Null => Ok(Value::Null),
                    Scalar::Bool(flag) => Ok(Value::Bool(flag)),
                    Scalar::Int(number) => Ok(Value::Int(number)),
                    Scalar::Uint(number) => Ok(Value::Float(number as f64)),
                    Scalar::Float(number) => Ok(Value::Float(number)),
                    Scalar::Time | Scalar::Text => Ok(Value::String(text)),
                })?
            }
            Body::Sequence(items) => {
                let values: Result<Vec<Value>, String> = items.iter().map(|item| self.value(item)).collect();
                Ok(Value::Array(values?))
            }
            Body::Mapping(pairs) => {
                let mut map = Map::with_capacity(pairs.len());
                self.mapping(node, &mut map)?;
                Ok(Value::Object(map))
            }
        }
    }

    fn mapping(&mut self, node: &Rc<Node>, map: &mut Map) -> Result<(), String> {
        let Body::Mapping(pairs) = &node.body else { return Ok(()) };
        // Long maps are not searched for each of their keys.
        let mut keys = (pairs.len() > SHORT).then(|| map.keys().cloned().collect::<HashSet<SmolStr>>());
        for (key, value) in pairs {
            if is_merge(key) {
                self.merge(value, map)?;
                if let Some(keys) = &mut keys {
                    keys.extend(map.keys().cloned());
                }
                continue;
            }
            let name = self.key(key)?;
            let value = self.value(value)?;
            let Some(name) = name else {
                self.unsupported = true;
                continue;
            };
            match keys.as_mut().map(|keys| keys.insert(name.clone())) {
                Some(true) => map.push_unchecked(name, value),
                _ => drop(map.insert(name, value)),
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
            Body::Within(anchor) if is_mapping(anchor) => {
                self.count()?;
                self.enter(node, anchor, |decoder, target| {
                    decoder.count()?;
                    decoder.mapping(target, map)
                })
            }
            Body::Sequence(items) => {
                // The first of several wins, so it comes last.
                for item in items.iter().rev() {
                    match &item.body {
                        Body::Mapping(_) => {}
                        Body::Alias(target) if matches!(target.body, Body::Mapping(_)) => {}
                        Body::Within(anchor) if is_mapping(anchor) => {}
                        _ => return Err(WANTED.into()),
                    }
                    self.merge(item, map)?;
                }
                Ok(())
            }
            _ => Err(WANTED.into()),
        }
    }

    /// The text that a key becomes; none if JSON cannot have it.
    fn key(&mut self, node: &Rc<Node>) -> Result<Option<SmolStr>, String> {
        self.count()?;
        match &node.body {
            Body::Alias(target) => {
                self.depth += 1;
                let key = self.key(target);
                self.depth -= 1;
                key
            }
            Body::Within(anchor) => self.enter(node, anchor, |decoder, target| decoder.key(target)),
            Body::Scalar(text, implicit) => {
                let (scalar, text) = scalar(text, *implicit, &node.tag)?;
                Ok(match scalar {
                    Scalar::Int(number) => Some(number.to_string().into()),
                    Scalar::Bool(flag) => Some(if flag { "true" } else { "false" }.into()),
                    Scalar::Float(number) => Some(key_float(number).into()),
                    Scalar::Time | Scalar::Text => Some(text),
                    Scalar::Uint(_) | Scalar::Null => None,
                })
            }
            Body::Sequence(_) | Body::Mapping(_) => {
                self.value(node)?;
                Err(format!("yaml: invalid map key: {}", go_syntax(node)))
            }
        }
    }
}

/// What a scalar is, and its text.
fn scalar(written: &SmolStr, implicit: bool, tag: &str) -> Result<(Scalar, SmolStr), String> {
    if tag.is_empty() && !implicit {
        return Ok((Scalar::Text, written.clone()));
    }
    let short = tag.strip_prefix(PREFIX).unwrap_or(tag);
    let wanted = match short {
        "" => None,
        "str" | "bool" | "int" | "float" | "null" | "timestamp" if tag.starts_with(PREFIX) => Some(short),
        "binary" if tag.starts_with(PREFIX) => {
            let bytes = crate::sprig::encoding::base64_decode(written.as_bytes())
                .map_err(|_| "yaml: !!binary value contains invalid base64 data".to_string())?;
            return Ok((Scalar::Text, text::decode(&bytes).into()));
        }
        _ => return Ok((Scalar::Text, written.clone())),
    };
    if wanted == Some("str") {
        return Ok((Scalar::Text, written.clone()));
    }
    let found = resolve(written, wanted.is_none() || wanted == Some("timestamp"));
    let Some(wanted) = wanted else { return Ok((found, written.clone())) };
    let wanted = format!("!!{wanted}");
    match found {
        Scalar::Int(number) if wanted == "!!float" => Ok((Scalar::Float(number as f64), written.clone())),
        found if found.tag() == wanted => Ok((found, written.clone())),
        found => Err(format!("yaml: cannot decode {} `{written}` as a {wanted}", found.tag())),
    }
}

/// A node as `%#v` prints what the YAML decoder made of it.
fn go_syntax(node: &Rc<Node>) -> String {
    shown(node).text
}

/// What `%#v` prints of a value, and what it is as a key: Go's order of keys of several types, and among those of one type.
struct Shown {
    text: String,
    kind: u8,
    number: f64,
    string: String,
}

fn shown(node: &Rc<Node>) -> Shown {
    let other = |text: String, kind: u8| Shown { text, kind, number: 0.0, string: String::new() };
    match &node.body {
        Body::Alias(target) => shown(target),
        Body::Within(anchor) => {
            anchor.node().map_or_else(|| other(String::new(), 0), |target| shown(&target))
        }
        Body::Scalar(text, implicit) => match scalar(text, *implicit, &node.tag) {
            Ok((Scalar::Null, _)) | Err(_) => other("interface {}(nil)".into(), 0),
            Ok((Scalar::Time | Scalar::Text, text)) => {
                Shown { string: text.as_str().into(), ..other(quote::quote(text.as_bytes()), 1) }
            }
            Ok((Scalar::Int(number), _)) => Shown { number: number as f64, ..other(number.to_string(), 2) },
            Ok((Scalar::Uint(number), _)) => {
                Shown { number: number as f64, ..other(format!("0x{number:x}"), 2) }
            }
            Ok((Scalar::Float(number), _)) => Shown { number, ..other(float::format(number, b'g', -1), 3) },
            Ok((Scalar::Bool(flag), _)) => Shown { number: f64::from(flag), ..other(flag.to_string(), 4) },
        },
        Body::Sequence(items) => {
            let items: Vec<String> = items.iter().map(go_syntax).collect();
            other(format!("[]interface {{}}{{{}}}", items.join(", ")), 5)
        }
        Body::Mapping(_) => {
            let mut fields = fields(node);
            fields.sort_by(|(a, _), (b, _)| {
                // NaN comes before all numbers.
                let numbers =
                    || b.number.is_nan().cmp(&a.number.is_nan()).then(a.number.total_cmp(&b.number));
                a.kind.cmp(&b.kind).then_with(numbers).then_with(|| a.string.cmp(&b.string))
            });
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{}:{}", key.text, go_syntax(value))).collect();
            other(format!("map[interface {{}}]interface {{}}{{{}}}", fields.join(", ")), 6)
        }
    }
}

/// The fields of a map with those that it merges, the last of each key.
fn fields(node: &Rc<Node>) -> Vec<(Shown, Rc<Node>)> {
    let (mut all, mut places) = (Vec::new(), HashMap::new());
    collect(node, &mut all, &mut places);
    all
}

fn collect(node: &Rc<Node>, all: &mut Vec<(Shown, Rc<Node>)>, places: &mut HashMap<(u8, String), usize>) {
    match &node.body {
        Body::Alias(target) => collect(target, all, places),
        Body::Within(anchor) => anchor.node().iter().for_each(|target| collect(target, all, places)),
        Body::Scalar(..) => {}
        Body::Sequence(items) => items.iter().rev().for_each(|item| collect(item, all, places)),
        Body::Mapping(pairs) => {
            for (key, value) in pairs {
                if is_merge(key) {
                    collect(value, all, places);
                    continue;
                }
                let key = shown(key);
                match places.get(&(key.kind, key.text.clone())) {
                    // No NaN is another's equal.
                    Some(at) if !key.number.is_nan() => all[*at].1 = value.clone(),
                    _ => {
                        places.insert((key.kind, key.text.clone()), all.len());
                        all.push((key, value.clone()));
                    }
                }
            }
        }
    }
}

/// The first key that JSON cannot have: none at all, or a number that only 64 bits without a sign hold.
fn unsupported(node: &Rc<Node>) -> Option<String> {
    match &node.body {
        Body::Alias(target) => unsupported(target),
        Body::Within(_) | Body::Scalar(..) => None,
        Body::Sequence(items) => items.iter().find_map(unsupported),
        Body::Mapping(_) => fields(node).iter().find_map(|(key, value)| {
            let kind = match key.text.as_str() {
                "interface {}(nil)" => "%!s(<nil>), key: <nil>".to_string(),
                number if number.starts_with("0x") => format!("uint64, key: {number}"),
                _ => return unsupported(value),
            };
            let shown = match go_syntax(value) {
                nothing if nothing == "interface {}(nil)" => "<nil>".to_string(),
                shown => shown,
            };
            Some(format!("unsupported map key of type: {kind}, value: {shown}"))
        }),
    }
}

fn is_mapping(anchor: &Anchor) -> bool {
    anchor.node().is_some_and(|node| matches!(node.body, Body::Mapping(_)))
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

/// Whether a plain text is certainly no key or value that cannot be decoded, or that JSON cannot have; it may be one if not.
pub(super) fn is_clear(text: &str, key: bool) -> bool {
    match text.as_bytes().first() {
        None | Some(b'~' | b'n' | b'N') => {
            !key || matches!(resolve(text, false), Scalar::Text | Scalar::Bool(_))
        }
        Some(b'<') => text != "<<",
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => match resolve(text, false) {
            Scalar::Float(number) => number.is_finite(),
            Scalar::Uint(_) | Scalar::Null => !key,
            Scalar::Bool(_) | Scalar::Int(_) | Scalar::Time | Scalar::Text => true,
        },
        _ => true,
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
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => float::parse(text).map_or(Scalar::Text, Scalar::Float),
        b'0'..=b'9' | b'+' | b'-' => {
            if times && api::yaml::is_time(text) {
                return Scalar::Time;
            }
            if text.contains('_') { number(&text.replace('_', "")) } else { number(text) }
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
    matches!(resolve(text, true), Scalar::Text) && !sexagesimal
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
    if let Some(digits) = plain.strip_prefix("0b") {
        // `0b-1` is none to Go, but is tried once more without its prefix.
        if let Some(number) = float::parse_int(digits, 2) {
            return Scalar::Int(number);
        }
    }
    Scalar::Text
}
