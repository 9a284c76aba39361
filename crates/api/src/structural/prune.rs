//! Pruning, defaulting and the form of metadata: what happens to a custom resource between decode and validation.

use super::{Additional, Schema};
use crate::{Map, Value, decode, schema};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Takes away what the schema does not know, and brings metadata into ObjectMeta's form (also of embedded resources).
/// Gives the strict errors, sorted: `unknown field "spec.foo"`.
pub fn prune(value: &mut Value, schema: &Schema) -> Result<Vec<String>, decode::Error> {
    let mut walk = Walk { path: String::new(), unknown: Vec::new() };
    let mut strict = Vec::new();
    if let Value::Object(map) = value {
        metadata(map, "", &mut strict)?;
        walk.object(map, schema, true, schema.preserve, &mut strict)?;
    }
    walk.unknown.sort();
    strict.extend(walk.unknown.iter().map(|path| format!("unknown field {}", crate::text::quote(path))));
    Ok(strict)
}

fn is_meta(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// Brings `metadata` into ObjectMeta's form, in its field order.
fn metadata(map: &mut Map, path: &str, strict: &mut Vec<String>) -> Result<(), decode::Error> {
    let (Some(value), Some(of)) = (map.get_mut("metadata"), schema::lookup(OBJECT_META)) else {
        return Ok(());
    };
    if value.is_null() {
        return Ok(());
    }
    let unknown = decode::normalize(of, value)?;
    let prefix = if path.is_empty() { "metadata.".into() } else { format!("{path}.metadata.") };
    strict.extend(unknown.into_iter().map(|text| text.replacen('"', &format!("\"{prefix}"), 1)));
    Ok(())
}

struct Walk {
    path: String,
    unknown: Vec<String>,
}

impl Walk {
    fn value(
        &mut self,
        value: &mut Value,
        schema: Option<&Schema>,
        preserve: bool,
        strict: &mut Vec<String>,
    ) -> Result<(), decode::Error> {
        match value {
            Value::Object(map) => match schema {
                Some(schema) => {
                    if schema.embedded {
                        metadata(map, &self.path.clone(), strict)?;
                    }
                    self.object(map, schema, schema.embedded, preserve || schema.preserve, strict)
                }
                None if preserve => Ok(()),
                None => {
                    for (key, _) in std::mem::take(map) {
                        self.note(&key);
                    }
                    Ok(())
                }
            },
            Value::Array(items) => {
                let schema = match schema {
                    Some(schema) => schema.items.as_deref(),
                    None => None,
                };
                for (at, item) in items.iter_mut().enumerate() {
                    let back = self.path.len();
                    self.path.push_str(&format!("[{at}]"));
                    self.value(item, schema, preserve, strict)?;
                    self.path.truncate(back);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `preserve` holds for this object and the lists in it; a property starts anew.
    fn object(
        &mut self,
        map: &mut Map,
        schema: &Schema,
        resource: bool,
        preserve: bool,
        strict: &mut Vec<String>,
    ) -> Result<(), decode::Error> {
        let mut failed = None;
        let root = self.path.is_empty();
        map.retain(|key, value| {
            if resource && is_meta(key) || failed.is_some() {
                return true;
            }
            let (inner, keep) = match (schema.property(key), &schema.additional) {
                (Some(property), _) => (Some(property), false),
                (None, Additional::Schema(inner)) => (Some(&**inner), false),
                (None, Additional::Anything) => (None, true),
                (None, Additional::None) if preserve => (None, true),
                (None, Additional::None) => {
                    if !(root && is_meta(key)) {
                        self.note(key);
                    }
                    return false;
                }
            };
            let back = self.path.len();
            if !self.path.is_empty() {
                self.path.push('.');
            }
            self.path.push_str(key);
            if let Err(error) = self.value(value, inner, keep, strict) {
                failed = Some(error);
            }
            self.path.truncate(back);
            true
        });
        failed.map_or(Ok(()), Err)
    }

    fn note(&mut self, key: &str) {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.unknown.push(format!("{}{dot}{key}", self.path));
    }
}

/// Fills in the schema's defaults, and takes nulls away where they are neither allowed nor defaulted.
pub fn default(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(map) => {
            for (name, property) in &schema.properties {
                let Some(default) = &property.default else { continue };
                match map.get(name) {
                    None => drop(map.insert(name.clone(), default.clone())),
                    Some(Value::Null) if !property.nullable => {
                        drop(map.insert(name.clone(), default.clone()))
                    }
                    Some(_) => {}
                }
            }
            map.retain(|key, value| {
                let inner = match (schema.property(key), &schema.additional) {
                    (Some(property), _) => property,
                    (None, Additional::Schema(inner)) => {
                        if value.is_null()
                            && !inner.nullable
                            && let Some(default) = &inner.default
                        {
                            *value = default.clone();
                        }
                        inner
                    }
                    _ => return true,
                };
                default_inner(value, inner);
                !value.is_null() || inner.nullable
            });
        }
        Value::Array(items) => {
            if let Some(inner) = &schema.items {
                for item in items {
                    if item.is_null()
                        && !inner.nullable
                        && let Some(default) = &inner.default
                    {
                        *item = default.clone();
                    }
                    default_inner(item, inner);
                }
            }
        }
        _ => {}
    }
}

fn default_inner(value: &mut Value, schema: &Schema) {
    if !value.is_null() {
        default(value, schema);
    }
}
