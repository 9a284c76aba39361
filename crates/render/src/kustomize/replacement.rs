//! `replacements`: copies a value from one resource into fields of others.
//!
//! Not done: paths into texts that hold YAML or JSON themselves.

use api::{Map, Value};

use super::file::{FieldOptions, Kustomization, ReplacementEntry, Source, Target};
use super::resource::Resource;
use super::select::Matcher;
use crate::tree::Tree;
use crate::{Error, yaml};

/// Runs all replacements of one kustomization.
pub(super) fn run(tree: &Tree, this: &Kustomization, all: &mut [Resource]) -> Result<(), Error> {
    for (index, entry) in this.replacements.iter().enumerate() {
        let field = format!("replacements[{index}]");
        let entries =
            if entry.path.is_empty() { vec![entry.clone()] } else { load(tree, this, entry, &field)? };
        for entry in entries {
            one(&entry, all).map_err(|text| Error::field(&this.file, &field, text))?;
        }
    }
    Ok(())
}

fn load(
    tree: &Tree,
    this: &Kustomization,
    entry: &ReplacementEntry,
    field: &str,
) -> Result<Vec<ReplacementEntry>, Error> {
    let text = this.load(tree, &entry.path, field)?;
    let mut all = Vec::new();
    for document in yaml::parse(&text, yaml::Dialect::V2).map_err(Error::yaml(&entry.path))? {
        let items = match document {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            one => vec![one],
        };
        for item in items {
            let entry = serde_json::from_slice(&item.to_json())
                .map_err(|error| Error::field(&entry.path, ".", error.to_string()))?;
            all.push(entry);
        }
    }
    Ok(all)
}

fn one(entry: &ReplacementEntry, all: &mut [Resource]) -> Result<(), String> {
    if entry.targets.is_empty() {
        return Err("replacements must specify a source and at least one target".into());
    }
    let value = match (&entry.source, &entry.source_value) {
        (Some(_), Some(_)) => return Err("value and resource selectors are mutually exclusive".into()),
        (None, None) => return Err("replacements must specify a source and at least one target".into()),
        (None, Some(text)) => Value::String(text.as_str().into()),
        (Some(source), None) => taken(source, all)?,
    };
    entry.targets.iter().try_for_each(|target| put(target, &value, all))
}

fn taken(source: &Source, all: &[Resource]) -> Result<Value, String> {
    let matching: Vec<&Resource> = all
        .iter()
        .filter(|resource| {
            resource.any_id(|id| {
                id.of_kind(&source.group, &source.version, &source.kind)
                    && (source.name.is_empty() || source.name == id.name)
                    && (source.namespace.is_empty() || source.namespace == id.namespace)
            })
        })
        .collect();
    let shown = || format!("{}/{}", source.kind, source.name);
    let [resource] = matching.as_slice() else {
        let text = if matching.is_empty() { "nothing selected by" } else { "multiple matches for selector" };
        return Err(format!("{text} {}", shown()));
    };
    let path = if source.field_path.is_empty() { "metadata.name" } else { &source.field_path };
    let mut found = Vec::new();
    let mut value = resource.value.clone();
    visit(&mut value, &split(path), None, &mut |value| found.push(value.clone()));
    let value = found.into_iter().next().filter(|value| !value.is_null());
    let value =
        value.ok_or_else(|| format!("fieldPath `{path}` is missing for replacement source {}", shown()))?;
    if source.options.delimiter.is_empty() {
        return Ok(value);
    }
    let text = scalar(&value).ok_or("delimiter option can only be used with scalar nodes")?;
    let part = usize::try_from(source.options.index)
        .ok()
        .and_then(|at| text.split(&source.options.delimiter).nth(at));
    let part = part
        .ok_or_else(|| format!("options.index {} is out of bounds for value {text}", source.options.index))?;
    Ok(Value::String(part.into()))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Array(_) | Value::Object(_) | Value::Null => None,
        other => Some(other.to_string()),
    }
}

fn put(target: &Target, value: &Value, all: &mut [Resource]) -> Result<(), String> {
    let select = Matcher::new(&target.select)?;
    let reject: Vec<Matcher> = target.reject.iter().map(Matcher::new).collect::<Result<_, _>>()?;
    let default = ["metadata.name".to_string()];
    let paths = if target.field_paths.is_empty() { &default[..] } else { &target.field_paths };
    for resource in all.iter_mut() {
        let rejected = reject.iter().any(|matcher| {
            (matcher.has_marks() && matcher.marks(resource))
                || (!matcher.names_nothing() && matcher.any_id(resource))
        });
        if rejected || !select.marks(resource) || !select.any_id(resource) {
            continue;
        }
        for path in paths {
            let create = target.options.create.then_some(value);
            let mut fault = None;
            let mut hits = 0;
            visit(&mut resource.value, &split(path), create, &mut |place| {
                hits += 1;
                if let Err(text) = set(&target.options, place, value) {
                    fault = Some(text);
                }
            });
            if let Some(text) = fault {
                return Err(text);
            }
            if hits == 0 {
                let or = if target.options.create { "find or create" } else { "find" };
                return Err(format!("unable to {or} field {path:?} in replacement target"));
            }
        }
    }
    Ok(())
}

fn set(options: &FieldOptions, place: &mut Value, value: &Value) -> Result<(), String> {
    if options.delimiter.is_empty() {
        // A text stays a text: upstream changes the scalar and keeps its quotes.
        *place = match (&*place, scalar(value)) {
            (Value::String(_), Some(text)) => Value::String(text.into()),
            _ => value.clone(),
        };
        return Ok(());
    }
    let only = "delimiter option can only be used with scalar nodes";
    let old = scalar(place).ok_or(only)?;
    let new = scalar(value).ok_or(only)?;
    let mut parts: Vec<&str> = old.split(&options.delimiter).collect();
    match usize::try_from(options.index) {
        Err(_) => parts.insert(0, &new),
        Ok(at) if at >= parts.len() => parts.push(&new),
        Ok(at) => parts[at] = &new,
    }
    *place = Value::String(parts.join(&options.delimiter).into());
    Ok(())
}

/// Names between dots; a dot inside `[…]` or after `\` belongs to the name.
fn split(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut bracket = false;
    let mut chars = path.chars().peekable();
    while let Some(char) = chars.next() {
        let last = parts.last_mut().expect("because it starts with one part");
        match char {
            '\\' if chars.peek() == Some(&'.') => last.extend(chars.next()),
            '[' => {
                bracket = true;
                last.push(char);
            }
            ']' => {
                bracket = false;
                last.push(char);
            }
            '.' if !bracket => parts.push(String::new()),
            other => last.push(other),
        }
    }
    parts
}

fn visit(value: &mut Value, path: &[String], create: Option<&Value>, hit: &mut dyn FnMut(&mut Value)) {
    let Some((first, rest)) = path.split_first() else { return hit(value) };
    if first == "*" {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| visit(item, rest, create, hit)),
            Value::Object(map) => map.iter_mut().for_each(|(_, item)| visit(item, rest, create, hit)),
            _ => {}
        }
        return;
    }
    // `[name=web]` chooses elements of a list.
    if let Some(test) = first.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        if let Value::Array(items) = value {
            let (key, wanted) = test.split_once('=').unwrap_or(("", test));
            let fits = |item: &Value| {
                let field = if key.is_empty() { Some(item) } else { item.get(key) };
                field.and_then(scalar).as_deref() == Some(wanted)
            };
            if create.is_some() && !key.is_empty() && !items.iter().any(fits) {
                items.push(Value::Object(Map::from_iter([(key, wanted)])));
            }
            items.iter_mut().filter(|item| fits(item)).for_each(|item| visit(item, rest, create, hit));
        }
        return;
    }
    match value {
        Value::Array(items) => {
            if let Some(item) = first.parse::<usize>().ok().and_then(|at| items.get_mut(at)) {
                visit(item, rest, create, hit);
            }
        }
        Value::Object(map) => {
            if let Some(value) = create
                && map.get(first).is_none_or(Value::is_null)
            {
                let next = rest.first().map(String::as_str);
                let made = match next {
                    None => value.clone(),
                    Some(next) if next.starts_with('[') => Value::Array(Vec::new()),
                    Some(_) => Value::Object(Map::new()),
                };
                map.insert(first.as_str(), made);
            }
            if let Some(field) = map.get_mut(first) {
                visit(field, rest, create, hit);
            }
        }
        _ => {}
    }
}
