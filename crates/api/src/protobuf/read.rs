//! From protobuf to the tree. What comes out is brought into order by `decode::normalize`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use smol_str::SmolStr;

use super::Error;
use super::wire::{self, Reader};
use crate::schema::{Field, Kind, Type, TypeShape};
use crate::{Map, Value, decode, json, time};

pub(super) fn message(of: &'static Type, bytes: &[u8], depth: usize) -> Result<Value, Error> {
    if depth > json::MAX_DEPTH {
        return Err(Error::Wire("it is nested too deep"));
    }
    match of.shape() {
        TypeShape::Object | TypeShape::Envelope => {
            let mut values = Vec::new();
            fields(of, bytes, depth, &mut values)?;
            Ok(Value::Object(Map::from_distinct(values)))
        }
        TypeShape::Array => Ok(Value::Array(all_texts(bytes, 1)?)),
        TypeShape::SchemaOrBool => {
            let (mut allows, mut schema) = (false, None);
            let mut reader = Reader::new(bytes);
            while let Some((tag, field)) = reader.field()? {
                match (tag, field) {
                    (1, wire::Field::Varint(flag)) => allows = flag != 0,
                    (2, wire::Field::Bytes(inner)) => {
                        schema = Some(message(decode::schema_type(of), inner, depth + 1)?);
                    }
                    _ => {}
                }
            }
            Ok(schema.unwrap_or(Value::Bool(allows)))
        }
        TypeShape::SchemaOrArray | TypeShape::SchemaOrStrings => {
            let (mut schema, mut list) = (None, Vec::new());
            let mut reader = Reader::new(bytes);
            while let Some((tag, field)) = reader.field()? {
                match (tag, field) {
                    (1, wire::Field::Bytes(inner)) => {
                        schema = Some(message(decode::schema_type(of), inner, depth + 1)?);
                    }
                    (2, wire::Field::Bytes(inner)) if of.shape() == TypeShape::SchemaOrArray => {
                        list.push(message(decode::schema_type(of), inner, depth + 1)?);
                    }
                    (2, wire::Field::Bytes(inner)) => list.push(Value::String(wire::text(inner))),
                    _ => {}
                }
            }
            Ok(schema.unwrap_or(Value::Array(list)))
        }
        TypeShape::Quantity => special(Kind::Quantity, bytes),
        TypeShape::IntOrString => special(Kind::IntOrString, bytes),
        TypeShape::Time => special(Kind::Time, bytes),
        TypeShape::MicroTime => special(Kind::MicroTime, bytes),
        TypeShape::Duration => special(Kind::Duration, bytes),
        TypeShape::FieldsV1 | TypeShape::Json | TypeShape::RawExtension => special(Kind::Json, bytes),
        TypeShape::GroupVersion => {
            let texts = [all_texts(bytes, 1)?, all_texts(bytes, 2)?].concat();
            let parts: Vec<&str> =
                texts.iter().filter_map(Value::as_str).filter(|text| !text.is_empty()).collect();
            Ok(parts.join("/").into())
        }
    }
}

fn all_texts(bytes: &[u8], wanted: u32) -> Result<Vec<Value>, Error> {
    let mut texts = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((tag, field)) = reader.field()? {
        if let wire::Field::Bytes(text) = field
            && tag == wanted
        {
            texts.push(Value::String(wire::text(text)));
        }
    }
    Ok(texts)
}

/// Adds the fields of a message to `values`; those of inlined messages too.
fn fields(
    of: &'static Type,
    bytes: &[u8],
    depth: usize,
    values: &mut Vec<(SmolStr, Value)>,
) -> Result<(), Error> {
    if depth > json::MAX_DEPTH {
        return Err(Error::Wire("it is nested too deep"));
    }
    let first = values.len();
    let mut reader = Reader::new(bytes);
    while let Some((tag, on_wire)) = reader.field()? {
        let Some(field) = of.tagged().find(|field| field.tag() == tag) else { continue };
        if field.is_inline() {
            if let (Some(inner), wire::Field::Bytes(bytes)) = (field.of(), on_wire) {
                fields(inner, bytes, depth + 1, values)?;
            }
            continue;
        }
        // A repeated field comes in a row: look from the end.
        let name = field.json();
        let at = match values[first..].iter().rposition(|(key, _)| key == name) {
            Some(at) => first + at,
            None => {
                let empty = match (field.is_list(), field.is_map()) {
                    (true, _) => Value::Array(Vec::new()),
                    (_, true) => Value::object(),
                    _ => Value::Null,
                };
                values.push((SmolStr::new_static(name), empty));
                values.len() - 1
            }
        };
        match &mut values[at].1 {
            Value::Array(items) if field.is_list() => list(field, on_wire, depth, items)?,
            Value::Object(map) if field.is_map() => {
                let wire::Field::Bytes(bytes) = on_wire else {
                    return Err(Error::Wire("a map's entry is no message"));
                };
                let (key, value) = entry(field, bytes, depth)?;
                // Sorted keys, as Go writes them, need no search.
                if map.keys().next_back().is_none_or(|last| *last < key) {
                    map.push_unchecked(key, value);
                } else {
                    map.insert(key, value);
                }
            }
            slot => *slot = single(field, on_wire, depth)?,
        }
    }
    Ok(())
}

fn list(
    field: &'static Field,
    on_wire: wire::Field<'_>,
    depth: usize,
    items: &mut Vec<Value>,
) -> Result<(), Error> {
    match on_wire {
        // Packed numbers: Go never writes them and always takes them.
        wire::Field::Bytes(bytes) if matches!(field.kind(), Kind::Int32 | Kind::Int64 | Kind::Bool) => {
            let mut reader = Reader::new(bytes);
            while !reader.is_empty() {
                let number = reader.varint()?;
                items.push(single(field, wire::Field::Varint(number), depth)?);
            }
        }
        wire::Field::Bytes(bytes) if field.kind() == Kind::Double => {
            let mut reader = Reader::new(bytes);
            while !reader.is_empty() {
                let bits = reader.fixed64()?;
                items.push(single(field, wire::Field::Fixed64(bits), depth)?);
            }
        }
        one => items.push(single(field, one, depth)?),
    }
    Ok(())
}

fn entry(field: &'static Field, bytes: &[u8], depth: usize) -> Result<(SmolStr, Value), Error> {
    let (mut key, mut value) = (SmolStr::default(), Value::Null);
    let mut reader = Reader::new(bytes);
    while let Some((tag, on_wire)) = reader.field()? {
        match (tag, on_wire) {
            (1, wire::Field::Bytes(text)) => key = wire::text(text),
            (2, on_wire) => value = single(field, on_wire, depth)?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn single(field: &'static Field, on_wire: wire::Field<'_>, depth: usize) -> Result<Value, Error> {
    Ok(match (field.kind(), on_wire) {
        (Kind::String, wire::Field::Bytes(text)) => Value::String(wire::text(text)),
        (Kind::Bool, wire::Field::Varint(flag)) => Value::Bool(flag != 0),
        (Kind::Int32, wire::Field::Varint(number)) => Value::Int((number as i32).into()),
        (Kind::Int64, wire::Field::Varint(number)) => Value::Int(number as i64),
        (Kind::Double, wire::Field::Fixed64(bits)) => {
            let number = f64::from_bits(bits);
            if !number.is_finite() {
                return Err(Error::Wire("a number is not finite"));
            }
            Value::Float(number)
        }
        (Kind::Bytes, wire::Field::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Kind::Message, wire::Field::Bytes(bytes)) => {
            let of = field.of().expect("because a message names its type");
            message(of, bytes, depth + 1)?
        }
        (
            Kind::Quantity
            | Kind::IntOrString
            | Kind::Time
            | Kind::MicroTime
            | Kind::Duration
            | Kind::RawExtension
            | Kind::FieldsV1
            | Kind::Json,
            wire::Field::Bytes(bytes),
        ) => special(field.kind(), bytes)?,
        _ => return Err(Error::Wire("a field has the wrong wire type")),
    })
}

/// The inside of a type with a JSON form of its own.
fn special(kind: Kind, bytes: &[u8]) -> Result<Value, Error> {
    let mut numbers = [0u64; 3];
    let mut text: &[u8] = b"";
    let mut reader = Reader::new(bytes);
    while let Some((tag, field)) = reader.field()? {
        match field {
            wire::Field::Varint(number) if (1..=3).contains(&tag) => numbers[tag as usize - 1] = number,
            wire::Field::Bytes(found) => text = found,
            wire::Field::Varint(_) | wire::Field::Fixed64(_) | wire::Field::Fixed32 => {}
        }
    }
    Ok(match kind {
        Kind::Quantity if text.is_empty() => "0".into(),
        Kind::Quantity => Value::String(wire::text(text)),
        Kind::IntOrString if numbers[0] == 1 => Value::String(wire::text(text)),
        Kind::IntOrString => Value::Int((numbers[1] as i32).into()),
        Kind::Time | Kind::MicroTime => {
            let time = time::Time { seconds: numbers[0] as i64, nanos: (numbers[1] as u32).min(999_999_999) };
            // What RFC 3339 cannot say is not a time: years 1 to 9999.
            let sayable = (-62_135_596_800..=253_402_300_799).contains(&time.seconds);
            match kind {
                _ if bytes.is_empty() => Value::Null,
                _ if !sayable => return Err(Error::Wire("a time is out of range")),
                Kind::Time => time::format(time.seconds).into(),
                _ => time::format_micro(time).into(),
            }
        }
        Kind::Duration => time::duration::format(numbers[0] as i64).into(),
        _ if text.is_empty() => Value::Null,
        _ => json::parse(text).map_err(|_| Error::Wire("an embedded object is no JSON"))?,
    })
}
