//! From a parsed tree to the tree that Go's decode and encode would leave: fields in the struct's order, zero values
//! left out or filled in as Go does, quantities and times in canonical form, unknown fields taken away and named.
//!
//! Strict and type errors have upstream's texts, Go's names of types in them. At the first wrong type the walk ends.

mod defaults;
mod restore;
mod scalar;
mod zero;

use std::fmt;

use smol_str::SmolStr;

pub use defaults::default_facts;
pub use restore::restore;
pub use zero::zero;

use crate::schema::{Field, Kind, Omit, Presence, Type, TypeShape};
use crate::{Map, Value};

/// A value of the wrong type, or a text that is no time, quantity or base64. Display is upstream's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("json: cannot unmarshal {found} into Go {place} of type {wanted}")]
    Type { found: String, place: String, wanted: String },
    #[error(transparent)]
    Time(#[from] crate::time::Error),
    #[error(transparent)]
    Quantity(#[from] crate::quantity::Error),
    #[error("illegal base64 data at input byte {0}")]
    Base64(usize),
    /// A type with a JSON form of its own got something else.
    #[error("{0}")]
    Form(&'static str),
}

/// Upstream stops counting strict errors here.
const MAX_STRICT: usize = 100;

/// Brings `value` into the form of `of`. Gives the strict errors: `unknown field "spec.foo"`, in the order of the text.
/// Unknown fields are gone afterwards.
pub fn normalize(of: &'static Type, value: &mut Value) -> Result<Vec<String>, Error> {
    walk(of, value, false)
}

/// [`normalize`] of what is to be stored, which has lost that a list or a map was there but empty.
pub fn canonical(of: &'static Type, value: &mut Value) -> Result<(), Error> {
    walk(of, value, true).map(drop)
}

fn walk(of: &'static Type, value: &mut Value, stored: bool) -> Result<Vec<String>, Error> {
    let mut walk = Walk { strict: Vec::new(), stored };
    match value {
        Value::Object(map) if is_struct(of) => walk.fields(of, map, &At::Root)?,
        _ => walk.message(of, value, &At::Root)?,
    }
    Ok(walk.strict)
}

/// The texts of doubled keys, for [`crate::json::duplicates`]; nobody looks for them in what is kept as it came.
pub fn duplicate_errors(of: Option<&'static Type>, paths: &[String]) -> Vec<String> {
    let seen = paths.iter().filter(|path| of.is_none_or(|of| !is_raw(of, path)));
    seen.map(|path| format!("duplicate field {}", crate::text::quote(path))).collect()
}

/// A path leads into a RawExtension or a piece of free JSON.
fn is_raw(of: &'static Type, path: &str) -> bool {
    let mut of = of;
    let mut parts = path.split('.');
    while let Some(part) = parts.next() {
        let name = part.split('[').next().unwrap_or_default();
        let Some(field) = of.field(name) else { return false };
        if matches!(field.kind(), Kind::RawExtension | Kind::Json | Kind::FieldsV1 | Kind::Any) {
            return true;
        }
        let own = |of: &Type| {
            matches!(
                of.shape(),
                TypeShape::SchemaOrBool | TypeShape::SchemaOrArray | TypeShape::SchemaOrStrings
            )
        };
        if field.of().is_some_and(own) {
            return true;
        }
        let Some(inner) = field.of() else { return false };
        of = inner;
        // A key of a map is a part of the path that no type names.
        if field.is_map() {
            parts.next();
        }
    }
    false
}

fn is_struct(of: &Type) -> bool {
    matches!(of.shape(), TypeShape::Object | TypeShape::Envelope)
}

/// Where the walk is: a list on the stack, turned into text only for an error.
enum At<'a> {
    Root,
    Field { parent: &'a At<'a>, of: &'static Type, name: &'static str },
    Key { parent: &'a At<'a>, name: &'a str },
    Index { parent: &'a At<'a>, at: usize },
}

impl At<'_> {
    /// `spec.containers[0].foo`: how strict errors name a place.
    fn path(&self, leaf: &str) -> String {
        let mut text = self.to_string();
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(leaf);
        text
    }

    /// Go's name of a scalar's type, if it has one of its own: `v1.PodPhase`.
    fn go_scalar(&self) -> Option<&'static str> {
        let (mut here, mut below) = (self, false);
        loop {
            here = match here {
                At::Root => return None,
                At::Field { of, name, .. } => {
                    let name = of.field(name)?.go_name()?;
                    let element = || {
                        name.strip_prefix("[]")
                            .or_else(|| Some(name.strip_prefix("map[")?.split_once(']')?.1))
                    };
                    return if below { element() } else { Some(name) };
                }
                At::Key { parent, .. } | At::Index { parent, .. } => {
                    below = true;
                    parent
                }
            };
        }
    }

    /// `struct field PodSpec.spec.hostNetwork`: how Go's type errors name a place, lists and map keys left out.
    fn go_place(&self) -> String {
        let mut names = Vec::new();
        let mut inner = None;
        let mut here = self;
        loop {
            here = match here {
                At::Root => break,
                At::Field { parent, of, name } => {
                    inner.get_or_insert(of.short_name());
                    names.push(*name);
                    names.extend(embedded(of, name).into_iter().rev());
                    parent
                }
                At::Key { parent, .. } | At::Index { parent, .. } => parent,
            };
        }
        match inner {
            None => "value".into(),
            Some(inner) => {
                names.reverse();
                format!("struct field {inner}.{}", names.join("."))
            }
        }
    }
}

/// The structs that hold a field of another one inlined, from the outside in.
fn embedded(of: &'static Type, name: &str) -> Vec<&'static str> {
    for inner in of.own().iter().filter(|field| field.is_inline()).filter_map(Field::of) {
        if inner.field(name).is_some() {
            let mut path = vec![inner.short_name()];
            path.extend(embedded(inner, name));
            return path;
        }
    }
    Vec::new()
}

impl fmt::Display for At<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Field { parent, name, .. } => join(parent, name, out),
            At::Key { parent, name } => join(parent, name, out),
            At::Index { parent, at } => write!(out, "{parent}[{at}]"),
        }
    }
}

fn join(parent: &At<'_>, name: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    match parent {
        At::Root => out.write_str(name),
        _ => write!(out, "{parent}.{name}"),
    }
}

struct Walk {
    strict: Vec<String>,
    /// See [`canonical`].
    stored: bool,
}

impl Walk {
    /// The fields of a struct, in place.
    fn fields(&mut self, of: &'static Type, map: &mut Map, at: &At<'_>) -> Result<(), Error> {
        let fields = map.take_fields();
        let mut known: Vec<(usize, SmolStr, Value)> = Vec::with_capacity(fields.len());
        let mut ordered = true;
        let mut next = 0;
        for (key, mut value) in fields {
            // What comes in order is found at the place after the last one.
            let place = match of.field_at(next) {
                Some(field) if field.json() == key => Some(next),
                _ => of.place(&key),
            };
            let Some(place) = place else {
                self.unknown(at, &key);
                continue;
            };
            let field = of.field_at(place).expect("because the place was just found");
            let here = At::Field { parent: at, of, name: field.json() };
            self.field(field, &mut value, &here)?;
            let key = if key.is_heap_allocated() { SmolStr::new_static(field.json()) } else { key };
            ordered &= known.last().is_none_or(|(last, ..)| *last < place);
            known.push((place, key, value));
            next = place + 1;
        }
        if !ordered {
            known.sort_unstable_by_key(|(place, ..)| *place);
        }
        // Both lists are in the struct's order: what is there, and what Go writes anyway.
        let written = of.written();
        let mut done: Vec<(SmolStr, Value)> = Vec::with_capacity(known.len() + written.len());
        let mut written = written.iter().map(|&place| usize::from(place)).peekable();
        let mut unset = |below: usize, done: &mut Vec<(SmolStr, Value)>| {
            while let Some(place) = written.next_if(|place| *place < below) {
                if let Some(field) = of.field_at(place) {
                    done.push((SmolStr::new_static(field.json()), zero::of_field(field)));
                }
            }
            written.next_if_eq(&below);
        };
        for (place, key, value) in known {
            unset(place, &mut done);
            if of.field_at(place).is_some_and(|field| !omitted(field, &value)) {
                done.push((key, value));
            }
        }
        unset(usize::MAX, &mut done);
        *map = Map::from_distinct(done);
        Ok(())
    }

    #[cold]
    fn unknown(&mut self, at: &At<'_>, key: &str) {
        if self.strict.len() < MAX_STRICT {
            let text = format!("unknown field {}", crate::text::quote(&at.path(key)));
            if !self.strict.contains(&text) {
                self.strict.push(text);
            }
        }
    }

    /// The whole value of a field: list, map or single value.
    fn field(&mut self, field: &'static Field, value: &mut Value, at: &At<'_>) -> Result<(), Error> {
        if value.is_null() {
            // A null leaves Go's field as it was: nil, or the zero value.
            if field.presence() == Presence::Value && !matches!(field.kind(), Kind::Time | Kind::MicroTime) {
                *value = zero::of_field(field);
            }
            return Ok(());
        }
        if field.is_list() {
            let Value::Array(items) = value else { return Err(wrong(value, at, || go_type(field))) };
            if self.stored && items.is_empty() {
                *value = Value::Null;
                return Ok(());
            }
            for (index, item) in items.iter_mut().enumerate() {
                self.element(field, item, &At::Index { parent: at, at: index })?;
            }
            return Ok(());
        }
        if field.is_map() {
            let Value::Object(map) = value else { return Err(wrong(value, at, || go_type(field))) };
            if self.stored && map.is_empty() {
                *value = Value::Null;
                return Ok(());
            }
            for (name, item) in map.iter_mut() {
                self.element(field, item, &At::Key { parent: at, name })?;
            }
            // Go writes maps with sorted keys.
            if !map.keys().is_sorted() {
                map.sort_by_name();
            }
            return Ok(());
        }
        self.single(field, value, at)
    }

    fn element(&mut self, field: &'static Field, value: &mut Value, at: &At<'_>) -> Result<(), Error> {
        if value.is_null() {
            *value = zero::of_element(field);
            return Ok(());
        }
        self.single(field, value, at)
    }

    fn single(&mut self, field: &'static Field, value: &mut Value, at: &At<'_>) -> Result<(), Error> {
        match field.kind() {
            Kind::Message => {
                let of = field.of().expect("because a message names its type");
                self.message(of, value, at)
            }
            Kind::RawExtension | Kind::Json | Kind::Any => Ok(()),
            kind => scalar::normalize(kind, value, at),
        }
    }

    fn message(&mut self, of: &'static Type, value: &mut Value, at: &At<'_>) -> Result<(), Error> {
        match (of.shape(), &mut *value) {
            (TypeShape::Object | TypeShape::Envelope, Value::Object(map)) => self.fields(of, map, at),
            (TypeShape::Array, Value::Array(items)) => {
                for item in items {
                    match item {
                        Value::String(_) => {}
                        Value::Null => *item = "".into(),
                        other => return Err(wrong(other, at, || "string".into())),
                    }
                }
                Ok(())
            }
            (TypeShape::SchemaOrBool, Value::Bool(_)) => Ok(()),
            // These read themselves in Go: nobody looks for unknown fields in them.
            (
                TypeShape::SchemaOrBool | TypeShape::SchemaOrArray | TypeShape::SchemaOrStrings,
                Value::Object(map),
            ) => Walk { strict: Vec::new(), ..*self }.fields(schema_type(of), map, at),
            (TypeShape::SchemaOrArray, Value::Array(items)) => {
                let mut walk = Walk { strict: Vec::new(), ..*self };
                for (index, item) in items.iter_mut().enumerate() {
                    walk.message(schema_type(of), item, &At::Index { parent: at, at: index })?;
                }
                Ok(())
            }
            (TypeShape::SchemaOrArray | TypeShape::SchemaOrStrings, other) if other.as_array().is_none() => {
                *other = Value::Null;
                Ok(())
            }
            (TypeShape::SchemaOrStrings, Value::Array(items)) => {
                match items.iter().find(|item| item.as_str().is_none()) {
                    None => Ok(()),
                    Some(item) => Err(wrong(item, at, || "string".into())),
                }
            }
            (TypeShape::SchemaOrBool, _) => Err(Error::Form("boolean or JSON schema expected")),
            (TypeShape::RawExtension | TypeShape::Json, _) => Ok(()),
            (TypeShape::Quantity, _) => scalar::normalize(Kind::Quantity, value, at),
            (TypeShape::IntOrString, _) => scalar::normalize(Kind::IntOrString, value, at),
            (TypeShape::Time, _) => scalar::normalize(Kind::Time, value, at),
            (TypeShape::MicroTime, _) => scalar::normalize(Kind::MicroTime, value, at),
            (TypeShape::Duration, _) => scalar::normalize(Kind::Duration, value, at),
            (TypeShape::FieldsV1, _) => scalar::normalize(Kind::FieldsV1, value, at),
            (TypeShape::Array, other) => {
                Err(wrong(other, at, || format!("{}.{}", package(of), of.short_name())))
            }
            (_, other) => Err(wrong(other, at, || format!("{}.{}", package(of), of.short_name()))),
        }
    }
}

/// The JSONSchemaProps inside one of its unions.
pub(crate) fn schema_type(of: &'static Type) -> &'static Type {
    of.own().iter().find_map(Field::of).expect("because each of the unions holds a schema")
}

/// Go leaves the field out of what it writes.
fn omitted(field: &Field, value: &Value) -> bool {
    match field.omit() {
        Omit::Never => false,
        Omit::Zero => value.is_null(),
        Omit::Empty => match field.presence() {
            Presence::Pointer => value.is_null(),
            Presence::Slice | Presence::Map => match value {
                Value::Null => true,
                Value::Array(items) => items.is_empty(),
                Value::Object(map) => map.is_empty(),
                Value::String(text) => text.is_empty(),
                _ => false,
            },
            Presence::Value => match (field.kind(), value) {
                (Kind::String | Kind::Bytes, Value::String(text)) => text.is_empty(),
                (Kind::Bool, Value::Bool(flag)) => !flag,
                (Kind::Int32 | Kind::Int64 | Kind::Double, Value::Int(number)) => *number == 0,
                (Kind::Double, Value::Float(number)) => *number == 0.0,
                _ => false,
            },
        },
    }
}

#[cold]
fn wrong(found: &Value, at: &At<'_>, wanted: impl FnOnce() -> String) -> Error {
    Error::Type { found: go_name(found).into(), place: at.go_place(), wanted: wanted() }
}

/// What Go's decoder calls a piece of JSON.
fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The last part of the Go package: `v1` of `io.k8s.api.core.v1.Pod`.
fn package(of: &Type) -> &'static str {
    of.name().rsplit('.').nth(1).unwrap_or_default()
}

/// Go's name of a field's type.
fn go_type(field: &Field) -> String {
    if let Some(name) = field.go_name() {
        return name.into();
    }
    let element = match field.kind() {
        Kind::String => "string".into(),
        Kind::Bool => "bool".into(),
        Kind::Int32 => "int32".into(),
        Kind::Int64 => "int64".into(),
        Kind::Double => "float64".into(),
        Kind::Bytes => "[]uint8".into(),
        Kind::Message => {
            field.of().map(|of| format!("{}.{}", package(of), of.short_name())).unwrap_or_default()
        }
        Kind::Quantity => "resource.Quantity".into(),
        Kind::IntOrString => "intstr.IntOrString".into(),
        Kind::Time => "v1.Time".into(),
        Kind::MicroTime => "v1.MicroTime".into(),
        Kind::Duration => "v1.Duration".into(),
        Kind::RawExtension => "runtime.RawExtension".into(),
        Kind::FieldsV1 => "v1.FieldsV1".into(),
        Kind::Json => "v1.JSON".into(),
        Kind::Any => "interface {}".into(),
    };
    match (field.is_list(), field.is_map()) {
        (true, _) => format!("[]{element}"),
        (_, true) => format!("map[string]{element}"),
        _ => element,
    }
}

#[cfg(test)]
mod tests;
