//! The walk along a field spec, as kyaml's fieldspec filter makes it.

use api::{Map, Value};

use super::file::FieldSpec;
use super::resource::group_version;

/// What to make of the last field of a path if it is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Create {
    Never,
    Scalar,
    Map,
}

impl FieldSpec {
    pub fn matches(&self, object: &Value) -> bool {
        let (group, version) = group_version(object.str_at(&["apiVersion"]));
        (self.kind.is_empty() || self.kind == object.str_at(&["kind"]))
            && (self.group.is_empty() || self.group == group)
            && (self.version.is_empty() || self.version == version)
    }

    /// Calls `set` on each value that the spec's path leads to in `object`, if the spec is for its kind.
    pub fn apply(
        &self,
        object: &mut Value,
        create: Create,
        set: &mut dyn FnMut(&mut Value) -> Result<(), String>,
    ) -> Result<(), String> {
        if !self.matches(object) {
            return Ok(());
        }
        let path = split(&self.path, '/');
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let create = if self.create { create } else { Create::Never };
        walk(object, &path, create, set).map_err(|text| {
            let id = super::resource::Id::of(object);
            format!("considering field '{}' of object {id}: {text}", self.path)
        })
    }
}

/// Names between separators; a backslash before one makes it part of the name. A path may start with one.
pub(super) fn split(path: &str, separator: char) -> Vec<String> {
    let mut all = path.split(separator);
    let mut parts: Vec<String> = Vec::new();
    if path.len() > 1 && path.starts_with(separator) {
        all.next();
    }
    for part in all {
        match parts.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(separator);
                last.push_str(part);
            }
            _ => parts.push(part.into()),
        }
    }
    parts
}

fn walk(
    value: &mut Value,
    path: &[&str],
    create: Create,
    set: &mut dyn FnMut(&mut Value) -> Result<(), String>,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else { return set(value) };
    match value {
        Value::Null => Ok(()),
        Value::Array(items) => items.iter_mut().try_for_each(|item| walk(item, path, create, set)),
        Value::Object(map) => {
            let (name, list) = match first.strip_suffix("[]") {
                Some(name) => (name, true),
                None => (*first, false),
            };
            if name.is_empty() {
                return Err("cannot set or create an empty field name".into());
            }
            let made = match create {
                _ if list => None,
                Create::Never => None,
                Create::Scalar if rest.is_empty() => Some(Value::Null),
                _ => Some(Value::Object(Map::new())),
            };
            if let Some(made) = made
                && map.get(name).is_none_or(Value::is_null)
            {
                map.insert(name, made);
            }
            match map.get_mut(name) {
                // A list that has no value becomes an empty one.
                Some(field @ Value::Null) if list => {
                    *field = Value::Array(Vec::new());
                    Ok(())
                }
                Some(field) => walk(field, rest, create, set),
                None => Ok(()),
            }
        }
        _ => Err("expected sequence or mapping node".into()),
    }
}
