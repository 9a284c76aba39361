//! Trees made into objects: strategic patches and server-side apply.

use super::{go_name, is_struct};
use crate::Value;
use crate::schema::{Field, Kind, Type, TypeShape};

/// What Go's conversion of trees into structs does otherwise than its decoder of texts: integers are cut to the size of
/// their fields, and the types that read themselves say alone what they cannot read.
pub fn restore(of: &'static Type, value: &mut Value) -> Result<(), String> {
    match of.shape() {
        TypeShape::IntOrString => return alone(Kind::IntOrString, value),
        TypeShape::Time => return alone(Kind::Time, value),
        _ => {}
    }
    let Value::Object(map) = value else { return Ok(()) };
    if !is_struct(of) {
        return Ok(());
    }
    for (key, value) in map.iter_mut() {
        let Some(field) = of.field(key) else { continue };
        match value {
            Value::Array(items) if field.is_list() => {
                items.iter_mut().try_for_each(|item| restore_one(field, item))?;
            }
            Value::Object(map) if field.is_map() => {
                map.iter_mut().try_for_each(|(_, item)| restore_one(field, item))?;
            }
            value => restore_one(field, value)?,
        }
    }
    Ok(())
}

fn restore_one(field: &'static Field, value: &mut Value) -> Result<(), String> {
    match (field.kind(), &*value) {
        (Kind::Int32, Value::Int(number)) => *value = Value::Int(i64::from(*number as i32)),
        (kind @ (Kind::IntOrString | Kind::Time | Kind::MicroTime | Kind::Duration), value) => {
            return alone(kind, value);
        }
        (Kind::Message, _) => return field.of().map_or(Ok(()), |of| restore(of, value)),
        _ => {}
    }
    Ok(())
}

/// A type that reads itself reads a text, or (IntOrString) a number too.
fn alone(kind: Kind, value: &Value) -> Result<(), String> {
    let (found, wanted) = match (kind, value) {
        (_, Value::Null | Value::String(_)) => return Ok(()),
        (Kind::IntOrString, Value::Int(number)) if i32::try_from(*number).is_ok() => return Ok(()),
        (Kind::IntOrString, Value::Int(_) | Value::Float(_)) => (format!("number {value}"), "int32"),
        (Kind::IntOrString, other) => (go_name(other).to_string(), "int32"),
        (_, other) => (go_name(other).to_string(), "string"),
    };
    Err(format!("json: cannot unmarshal {found} into Go value of type {wanted}"))
}
