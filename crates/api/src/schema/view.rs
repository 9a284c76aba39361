//! One view of a schema for built-in types and CRDs, so that each walk (patch, apply, prune, default) is one piece of
//! code.
//!
//! A [`Schema`] says what may stand at one place of a document. It is two words and copied freely.

use super::{Field, Kind, ListType, Type, TypeShape};
use crate::structural::NodeType;
use crate::{Value, structural};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What may stand at a place.
#[derive(Clone, Copy, Debug)]
pub enum Schema<'a> {
    /// A struct or a special type of the facts.
    Type(&'static Type),
    /// The whole value of a field: for a list or map the list or map itself.
    Field(&'static Field),
    /// An element of the list or map of a field.
    Item(&'static Field),
    /// The root of a CRD's schema: `apiVersion`, `kind` and `metadata` are the facts'.
    Resource(&'a structural::Schema),
    /// A node of a CRD's schema.
    Custom(&'a structural::Schema),
    /// Anything, field by field (`x-kubernetes-preserve-unknown-fields`).
    Free,
    /// Anything, as one piece (RawExtension, JSON).
    Opaque,
}

/// The form that a place has, as structured-merge-diff sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A scalar, or a piece that is only ever replaced whole and has no inner schema.
    Leaf,
    /// Ask [`Schema::keys`] for the keys of a list of type map.
    List(ListType),
    /// Named fields or free keys; ask [`Schema::child`].
    Object {
        /// Owned and replaced as a whole.
        atomic: bool,
    },
    /// Whatever the value is: an object has owned fields, everything else is a leaf.
    Free,
}

/// What a scalar may be, as structured-merge-diff checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Text,
    Number,
    Bool,
    /// A format of its own (times, quantities, `int-or-string`): any scalar.
    Any,
}

impl<'a> Schema<'a> {
    pub fn shape(self) -> Shape {
        match self {
            Schema::Type(of) => type_shape(of),
            Schema::Field(field) if field.is_list() => Shape::List(field.list_type()),
            Schema::Field(field) if field.is_map() => Shape::Object { atomic: field.atomic_map() },
            Schema::Field(field) => match value_shape(field) {
                Shape::Object { .. } => Shape::Object { atomic: field.atomic_map() },
                shape => shape,
            },
            Schema::Resource(_) => Shape::Object { atomic: false },
            Schema::Item(field) => value_shape(field),
            Schema::Custom(node) => node.shape(),
            Schema::Free => Shape::Free,
            Schema::Opaque => Shape::Leaf,
        }
    }

    /// Which scalar stands here; `None`: not only scalars may.
    pub fn scalar(self) -> Option<Scalar> {
        match self {
            Schema::Type(of) => type_scalar(of),
            Schema::Field(field) if field.is_list() || field.is_map() => None,
            Schema::Field(field) | Schema::Item(field) => match field.kind() {
                Kind::String if matches!(field.format(), "" | "byte") => Some(Scalar::Text),
                Kind::String | Kind::IntOrString | Kind::Quantity | Kind::Time | Kind::MicroTime => {
                    Some(Scalar::Any)
                }
                Kind::Bytes | Kind::Duration => Some(Scalar::Text),
                Kind::Int32 | Kind::Int64 | Kind::Double => Some(Scalar::Number),
                Kind::Bool => Some(Scalar::Bool),
                Kind::Message => field.of().and_then(type_scalar),
                Kind::RawExtension | Kind::FieldsV1 | Kind::Json | Kind::Any => None,
            },
            Schema::Custom(node) => match node.node {
                NodeType::String => {
                    let format = node.rules.as_ref().map_or("", |rules| rules.format.as_str());
                    Some(if matches!(format, "" | "byte") { Scalar::Text } else { Scalar::Any })
                }
                NodeType::Integer | NodeType::Number => Some(Scalar::Number),
                NodeType::Boolean => Some(Scalar::Bool),
                _ => None,
            },
            Schema::Resource(_) | Schema::Free | Schema::Opaque => None,
        }
    }

    /// What may stand under a key of an object; `None`: the key is unknown here.
    pub fn child(self, key: &str) -> Option<Schema<'a>> {
        match self {
            Schema::Type(of) => of.field(key).map(Schema::Field),
            Schema::Field(field) if field.is_map() => Some(Schema::Item(field)),
            Schema::Field(field) if field.is_list() => None,
            Schema::Field(field) | Schema::Item(field) => match field.of() {
                Some(of) if type_shape(of) != Shape::Free => of.field(key).map(Schema::Field),
                _ => (value_shape(field) == Shape::Free).then_some(Schema::Free),
            },
            Schema::Resource(node) => match key {
                "apiVersion" | "kind" => Some(Schema::Opaque),
                "metadata" => Some(super::lookup(OBJECT_META).map_or(Schema::Free, Schema::Type)),
                _ => node.child(key),
            },
            Schema::Custom(node) => node.child(key),
            Schema::Free => Some(Schema::Free),
            Schema::Opaque => None,
        }
    }

    /// The key is a field that the schema names, not a free key of a map.
    pub fn names(self, key: &str) -> bool {
        match self {
            Schema::Type(of) => of.place(key).is_some(),
            Schema::Field(field) if field.is_map() || field.is_list() => false,
            Schema::Field(field) | Schema::Item(field) => {
                field.of().is_some_and(|of| of.place(key).is_some())
            }
            Schema::Resource(node) => {
                matches!(key, "apiVersion" | "kind" | "metadata") || node.property(key).is_some()
            }
            Schema::Custom(node) => {
                node.property(key).is_some()
                    || node.embedded && matches!(key, "apiVersion" | "kind" | "metadata")
            }
            Schema::Free | Schema::Opaque => false,
        }
    }

    /// What an element of a list may be.
    pub fn item(self) -> Schema<'a> {
        match self {
            Schema::Field(field) if field.is_list() => Schema::Item(field),
            Schema::Custom(node) => node.items.as_deref().map_or(Schema::Opaque, Schema::Custom),
            // A bare list type such as ExtraValue: texts.
            _ => Schema::Opaque,
        }
    }

    /// The keys that tell elements of a list of type map apart.
    pub fn keys(self) -> Vec<&'a str> {
        match self {
            Schema::Field(field) => field.map_keys().collect(),
            Schema::Custom(node) => node.list_map_keys.iter().map(|key| key.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The default of the place, if one is stated.
    pub fn default(self) -> Option<Value> {
        match self {
            Schema::Field(field) => field.default().and_then(|text| serde_json::from_str(text).ok()),
            Schema::Custom(node) => node.default.clone(),
            _ => None,
        }
    }

    /// The struct of the facts at this place, for walks that need Go's rules.
    pub fn struct_type(self) -> Option<&'static Type> {
        match self {
            Schema::Type(of) => Some(of),
            Schema::Item(field) => field.of(),
            Schema::Field(field) if !field.is_list() && !field.is_map() => field.of(),
            _ => None,
        }
    }

    /// The field of the facts whose whole value stands here.
    pub fn field(self) -> Option<&'static Field> {
        match self {
            Schema::Field(field) => Some(field),
            _ => None,
        }
    }
}

fn value_shape(field: &'static Field) -> Shape {
    match field.kind() {
        Kind::Message => field.of().map_or(Shape::Leaf, type_shape),
        // Upstream's OpenAPI gives these no properties, which makes them free-form.
        Kind::Json | Kind::FieldsV1 | Kind::Any => Shape::Free,
        _ => Shape::Leaf,
    }
}

fn type_scalar(of: &'static Type) -> Option<Scalar> {
    match of.shape() {
        TypeShape::Quantity | TypeShape::IntOrString | TypeShape::Time | TypeShape::MicroTime => {
            Some(Scalar::Any)
        }
        TypeShape::Duration => Some(Scalar::Text),
        _ => None,
    }
}

fn type_shape(of: &'static Type) -> Shape {
    match of.shape() {
        TypeShape::Object | TypeShape::Envelope => Shape::Object { atomic: of.atomic() },
        TypeShape::Array => Shape::List(ListType::Atomic),
        TypeShape::SchemaOrArray
        | TypeShape::SchemaOrBool
        | TypeShape::SchemaOrStrings
        | TypeShape::Json
        | TypeShape::FieldsV1 => Shape::Free,
        _ => Shape::Leaf,
    }
}
