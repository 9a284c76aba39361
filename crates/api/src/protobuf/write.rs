//! From the tree to protobuf: fields by descending tag, because the writer goes backward.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MAGIC;
use super::wire::Writer;
use crate::schema::{Field, Kind, Presence, Type, TypeShape};
use crate::{Map, Value, decode, json, time};

/// What an absent struct is.
static EMPTY: Map = Map::new();

pub(super) fn body(of: &'static Type, value: &Value) -> Vec<u8> {
    let mut writer = Writer::with_capacity(1024);
    writer.bytes_field(4, b"");
    writer.bytes_field(3, b"");
    writer.nested(2, |writer| write(of, value, writer));
    writer.nested(1, |writer| {
        writer.bytes_field(2, value.str_at(&["kind"]).as_bytes());
        writer.bytes_field(1, value.str_at(&["apiVersion"]).as_bytes());
    });
    writer.raw(MAGIC);
    writer.finish()
}

pub(super) fn watch_frame(event: &str, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(body.len() + 32);
    writer.nested(2, |writer| writer.bytes_field(1, body));
    writer.bytes_field(1, event.as_bytes());
    writer.raw(&(writer.written() as u32).to_be_bytes());
    writer.finish()
}

/// A bare message.
pub fn message(of: &'static Type, value: &Value) -> Vec<u8> {
    let mut writer = Writer::with_capacity(512);
    write(of, value, &mut writer);
    writer.finish()
}

fn write(of: &'static Type, value: &Value, out: &mut Writer) {
    match of.shape() {
        TypeShape::Object | TypeShape::Envelope => fields(of, value.as_map().unwrap_or(&EMPTY), out),
        TypeShape::Array => {
            let items = value.as_array().unwrap_or_default();
            items.iter().rev().filter_map(Value::as_str).for_each(|text| out.bytes_field(1, text.as_bytes()));
        }
        TypeShape::SchemaOrBool => {
            if let Value::Object(map) = value {
                out.nested(2, |out| fields(decode::schema_type(of), map, out));
            }
            let allows = matches!(value, Value::Object(_) | Value::Bool(true));
            out.varint_field(1, allows.into());
        }
        TypeShape::SchemaOrArray => match value {
            Value::Object(map) => out.nested(1, |out| fields(decode::schema_type(of), map, out)),
            Value::Array(items) => {
                for item in items.iter().rev() {
                    out.nested(2, |out| write(decode::schema_type(of), item, out));
                }
            }
            _ => {}
        },
        TypeShape::SchemaOrStrings => match value {
            Value::Object(map) => out.nested(1, |out| fields(decode::schema_type(of), map, out)),
            Value::Array(items) => {
                items
                    .iter()
                    .rev()
                    .filter_map(Value::as_str)
                    .for_each(|text| out.bytes_field(2, text.as_bytes()));
            }
            _ => {}
        },
        TypeShape::Quantity => special(Kind::Quantity, value, out),
        TypeShape::IntOrString => special(Kind::IntOrString, value, out),
        TypeShape::Time => special(Kind::Time, value, out),
        TypeShape::MicroTime => special(Kind::MicroTime, value, out),
        TypeShape::Duration => special(Kind::Duration, value, out),
        TypeShape::FieldsV1 | TypeShape::Json | TypeShape::RawExtension => special(Kind::Json, value, out),
        TypeShape::GroupVersion => {
            let text = value.as_str().unwrap_or_default();
            let (group, version) = text.split_once('/').unwrap_or(("", text));
            out.bytes_field(2, version.as_bytes());
            out.bytes_field(1, group.as_bytes());
        }
    }
}

fn fields(of: &'static Type, map: &Map, out: &mut Writer) {
    let tagged = of.tagged();
    for place in (0..tagged.len()).rev() {
        let field = tagged.clone().nth(place).expect("because the place is below the length");
        if field.is_inline() {
            // An inlined struct shares the JSON object and has a message of its own.
            if let Some(inner) = field.of() {
                out.nested(field.tag(), |out| fields(inner, map, out));
            }
            continue;
        }
        whole(field, map.get(field.json()).filter(|value| !value.is_null()), out);
    }
}

/// A field with all its elements.
fn whole(field: &'static Field, value: Option<&Value>, out: &mut Writer) {
    let tag = field.tag();
    if field.is_list() {
        for item in value.and_then(Value::as_array).unwrap_or_default().iter().rev() {
            single(field, tag, item, out);
        }
    } else if field.is_map() {
        let Some(Value::Object(map)) = value else { return };
        let mut entries: Vec<_> = map.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        for (key, item) in entries.into_iter().rev() {
            out.nested(tag, |out| {
                single(field, 2, item, out);
                out.bytes_field(1, key.as_bytes());
            });
        }
    } else {
        match value {
            Some(value) => single(field, tag, value, out),
            None if field.presence() == Presence::Value => single(field, tag, &Value::Null, out),
            None => {}
        }
    }
}

/// One element; null stands for the zero value.
fn single(field: &'static Field, tag: u32, value: &Value, out: &mut Writer) {
    match field.kind() {
        Kind::String => out.bytes_field(tag, value.as_str().unwrap_or_default().as_bytes()),
        Kind::Bool => out.varint_field(tag, u64::from(value.as_bool().unwrap_or_default())),
        Kind::Int32 | Kind::Int64 => out.varint_field(tag, value.as_int().unwrap_or_default() as u64),
        Kind::Double => out.double_field(
            tag,
            match value {
                Value::Int(number) => *number as f64,
                Value::Float(number) => *number,
                _ => 0.0,
            },
        ),
        Kind::Bytes => {
            let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
            out.bytes_field(tag, &bytes);
        }
        Kind::Message => {
            let of = field.of().expect("because a message names its type");
            out.nested(tag, |out| write(of, value, out));
        }
        kind => out.nested(tag, |out| special(kind, value, out)),
    }
}

/// The inside of a type with a JSON form of its own.
fn special(kind: Kind, value: &Value, out: &mut Writer) {
    match kind {
        Kind::Quantity => out.bytes_field(1, value.as_str().unwrap_or("0").as_bytes()),
        Kind::IntOrString => {
            let (form, number, text) = match value {
                Value::String(text) => (1, 0, text.as_str()),
                other => (0, other.as_int().unwrap_or_default(), ""),
            };
            out.bytes_field(3, text.as_bytes());
            out.varint_field(2, number as u64);
            out.varint_field(1, form);
        }
        Kind::Time | Kind::MicroTime => {
            let Some(Ok(time)) = value.as_str().map(time::parse) else { return };
            let nanos = if kind == Kind::Time { 0 } else { time.nanos / 1000 * 1000 };
            out.varint_field(2, nanos.into());
            out.varint_field(1, time.seconds as u64);
        }
        Kind::Duration => {
            let nanos = value.as_str().and_then(|text| time::duration::parse(text).ok()).unwrap_or_default();
            out.varint_field(1, nanos as u64);
        }
        _ if value.is_null() => {}
        _ => out.bytes_field(1, &json::to_vec(value)),
    }
}
