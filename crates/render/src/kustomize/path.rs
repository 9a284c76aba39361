//! Paths of replacements and variables: `spec.containers.[name=web].image`, `a.0.b`, `metadata.annotations.[x/y.z]`.

use api::{Map, Value};
use regex::Regex;

use super::scalar::{text, untagged};
use crate::goyaml::kyaml;
use crate::yaml;

/// The parts of a path; dots in brackets belong to the name.
pub(super) fn split(path: &str) -> Vec<String> {
    let parts = super::fields::split(path, '.');
    let mut all = Vec::new();
    let mut parts = parts.into_iter();
    while let Some(mut part) = parts.next() {
        if part.starts_with('[') && !part.ends_with(']') {
            for more in parts.by_ref() {
                part.push('.');
                part.push_str(&more);
                if more.ends_with(']') {
                    break;
                }
            }
            if !part.contains('=') {
                part = part.trim_matches(['[', ']']).to_string();
            }
        }
        all.push(part);
    }
    all
}

fn is_index(part: &str) -> bool {
    part.starts_with('[') && part.ends_with(']')
}

fn index_parts(part: &str) -> Result<(&str, &str), String> {
    let inside = part.trim_start_matches('[').trim_end_matches(']');
    inside
        .split_once('=')
        .ok_or_else(|| "list path element must contain fieldName=fieldValue for element to match".to_string())
}

/// The one value that a path leads to, if any; elements of lists are chosen by an equal field, a number or `-`.
pub(super) fn lookup<'a>(value: &'a Value, path: &[String]) -> Result<Option<&'a Value>, String> {
    let mut here = value;
    for part in path.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        if here.is_null() {
            return Ok(None);
        }
        let next = if let Ok(at) = part.parse::<i64>() {
            let at = usize::try_from(at).map_err(|_| format!("array index {at} cannot be negative"))?;
            list(here)?.get(at)
        } else if part == "-" {
            list(here)?.last()
        } else if part == "*" {
            return Err("wildcard is not supported in PathGetter".into());
        } else if is_index(part) {
            let (key, wanted) = index_parts(part)?;
            list(here)?.iter().find(|item| {
                let field = if key.is_empty() { Some(*item) } else { item.get(key) };
                field.and_then(text).as_deref() == Some(wanted)
            })
        } else {
            match here {
                Value::Object(map) => map.get(part),
                other => {
                    return Err(format!("wrong node kind: expected MappingNode but got {}", name_of(other)));
                }
            }
        };
        match next {
            Some(found) => here = found,
            None => return Ok(None),
        }
    }
    Ok(Some(here).filter(|found| !found.is_null()))
}

fn list(value: &Value) -> Result<&[Value], String> {
    value
        .as_array()
        .ok_or_else(|| format!("wrong node kind: expected SequenceNode but got {}", name_of(value)))
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "MappingNode",
        Value::Array(_) => "SequenceNode",
        _ => "ScalarNode",
    }
}

/// What a last missing field is made as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Create {
    Never,
    Scalar,
    Map,
    List,
}

impl Create {
    pub fn like(value: &Value) -> Create {
        match value {
            Value::Object(_) => Create::Map,
            Value::Array(_) => Create::List,
            _ => Create::Scalar,
        }
    }

    /// What the value before a part must be.
    fn before(self, next: Option<&str>) -> Value {
        match next {
            Some(next) if is_index(next) || next.parse::<usize>().is_ok() => Value::Array(Vec::new()),
            Some(_) => Value::Object(Map::new()),
            None => match self {
                Create::Map => Value::Object(Map::new()),
                Create::List => Value::Array(Vec::new()),
                _ => Value::String("".into()),
            },
        }
    }
}

/// A place that a path leads to, and whether it was made on the way.
pub(super) struct Place<'a> {
    pub value: &'a mut Value,
    pub made: bool,
}

/// Calls `hit` on every place that a path leads to. `*` takes all elements of a list, `[field=pattern]` those whose field
/// matches. Below a text that holds YAML itself the places are of a copy: upstream finds them, and loses what is written.
pub(super) fn visit(
    value: &mut Value,
    path: &[String],
    create: Create,
    made: bool,
    hit: &mut dyn FnMut(Place<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return hit(Place { value, made }) };
    let next = rest.first().map(String::as_str);
    if let Ok(at) = first.parse::<usize>() {
        let found = list_mut(value)?;
        if found.len() == at && create != Create::Never {
            found.push(create.before(next));
            return visit(&mut found[at], rest, create, true, hit);
        }
        let length = found.len();
        let item = found
            .get_mut(at)
            .ok_or_else(|| format!("index {at} specified but only {length} elements found"))?;
        return visit(item, rest, create, made, hit);
    }
    if is_index(first) {
        let (key, pattern) = index_parts(first)?;
        let matcher = Regex::new(pattern).map_err(|error| error.to_string())?;
        let found = list_mut(value)?;
        let fits = |item: &Value| {
            let field = if key.is_empty() { Some(item) } else { item.get(key) };
            field.and_then(printed).is_some_and(|text| matcher.is_match(&text))
        };
        if create != Create::Never && !found.iter().any(fits) {
            found.push(if key.is_empty() {
                untagged(pattern)
            } else {
                Value::Object(Map::from_iter([(key, untagged(pattern))]))
            });
        }
        for item in found.iter_mut().filter(|item| fits(item)) {
            // Upstream stops at a scalar element.
            let rest = if key.is_empty() { &[][..] } else { rest };
            visit(item, rest, create, made, hit)?;
        }
        return Ok(());
    }
    if first == "*" {
        return list_mut(value)?.iter_mut().try_for_each(|item| visit(item, rest, create, made, hit));
    }
    match value {
        Value::Null => Ok(()),
        Value::Object(map) => {
            let new = create != Create::Never && map.get(first).is_none();
            if new {
                map.insert(first.as_str(), create.before(next));
            }
            match map.get_mut(first) {
                None => Ok(()),
                Some(Value::String(inner)) if next.is_some() => {
                    let mut parsed = kyaml::first(inner)?;
                    visit(&mut parsed, rest, create, made, hit)
                }
                Some(field) => visit(field, rest, create, made || new, hit),
            }
        }
        other => Err(format!("wrong node kind: expected MappingNode but got {}", name_of(other))),
    }
}

fn list_mut(value: &mut Value) -> Result<&mut Vec<Value>, String> {
    let name = name_of(value);
    value.as_array_mut().ok_or_else(|| format!("wrong node kind: expected SequenceNode but got {name}"))
}

/// A scalar as it would be printed, which is what patterns are matched with.
fn printed(value: &Value) -> Option<String> {
    text(value)?;
    let mut out = String::new();
    yaml::emit(value, &mut out);
    Some(out.trim().to_string())
}
