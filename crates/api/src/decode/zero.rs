//! What Go writes for a field that nobody set.

use smol_str::SmolStr;

use crate::schema::{Field, Kind, Presence, Type, TypeShape};
use crate::{Map, Value};

/// The value of an unset field.
pub(super) fn of_field(field: &Field) -> Value {
    match field.presence() {
        Presence::Value if !field.is_list() && !field.is_map() => of_element(field),
        _ => Value::Null,
    }
}

/// The value of a list's or map's element that is null.
pub(super) fn of_element(field: &Field) -> Value {
    match field.kind() {
        Kind::String | Kind::Duration => Value::String(SmolStr::default()),
        Kind::Bool => Value::Bool(false),
        Kind::Int32 | Kind::Int64 | Kind::Double | Kind::IntOrString => Value::Int(0),
        Kind::Quantity => "0".into(),
        // What is stored has lost that there was none.
        Kind::Bytes if field.is_map() || field.is_list() => "".into(),
        Kind::Message => field.of().map_or(Value::Null, zero),
        Kind::Bytes
        | Kind::Time
        | Kind::MicroTime
        | Kind::RawExtension
        | Kind::FieldsV1
        | Kind::Json
        | Kind::Any => Value::Null,
    }
}

/// What Go writes for the zero value of a type: `{}` for most structs.
pub fn zero(of: &'static Type) -> Value {
    match of.shape() {
        TypeShape::Object | TypeShape::Envelope => {
            let written = of.written().iter().filter_map(|&place| of.field_at(place.into()));
            Value::Object(Map::from_distinct(
                written.map(|field| (SmolStr::new_static(field.json()), of_field(field))).collect(),
            ))
        }
        TypeShape::Quantity => "0".into(),
        TypeShape::IntOrString => Value::Int(0),
        TypeShape::SchemaOrBool => Value::Bool(false),
        TypeShape::GroupVersion => "".into(),
        TypeShape::Duration => "0s".into(),
        _ => Value::Null,
    }
}
