//! Protobuf both ways for every type of the facts: Kubernetes' envelope (`k8s\x00` and a `runtime.Unknown`), bare
//! messages, and watch frames. The rules are told in `facts/README.md`; no message is known by name here, save the
//! envelope itself and the types with a JSON form of their own.
//!
//! Decoding gives what [`crate::decode::normalize`] gives of the same object's JSON. Unknown tags are skipped: strict
//! decoding does not exist in protobuf. Nesting is limited like JSON's ([`crate::json::MAX_DEPTH`]).

mod read;
pub mod wire;
mod write;

use smol_str::SmolStr;

use crate::schema::{self, Type};
use crate::{Value, decode};

pub use write::message as encode_message;

/// What a body in Kubernetes' protobuf starts with.
pub const MAGIC: &[u8; 4] = b"k8s\x00";

/// Bytes that are no message of their type.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("provided data does not appear to be a protobuf message, expected prefix {MAGIC:?}")]
    Magic,
    #[error("proto: the message breaks off or is not well-formed: {0}")]
    Wire(&'static str),
    #[error("no kind {kind:?} is registered for version {api_version:?} in scheme")]
    Kind { api_version: String, kind: String },
    #[error(transparent)]
    Value(#[from] decode::Error),
}

/// The outside of a body: what it holds, and the bare message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: SmolStr,
    pub kind: SmolStr,
    pub raw: &'a [u8],
    pub content_encoding: SmolStr,
    pub content_type: SmolStr,
}

/// Opens a body that starts with [`MAGIC`].
pub fn envelope(body: &[u8]) -> Result<Envelope<'_>, Error> {
    let bytes = body.strip_prefix(MAGIC).ok_or(Error::Magic)?;
    let mut envelope = Envelope::default();
    let mut reader = wire::Reader::new(bytes);
    while let Some((tag, field)) = reader.field()? {
        match (tag, field) {
            (1, wire::Field::Bytes(meta)) => {
                let mut reader = wire::Reader::new(meta);
                while let Some((tag, field)) = reader.field()? {
                    match (tag, field) {
                        (1, wire::Field::Bytes(text)) => envelope.api_version = wire::text(text),
                        (2, wire::Field::Bytes(text)) => envelope.kind = wire::text(text),
                        _ => {}
                    }
                }
            }
            (2, wire::Field::Bytes(raw)) => envelope.raw = raw,
            (3, wire::Field::Bytes(text)) => envelope.content_encoding = wire::text(text),
            (4, wire::Field::Bytes(text)) => envelope.content_type = wire::text(text),
            _ => {}
        }
    }
    Ok(envelope)
}

/// The object in a body, with the `kind` and `apiVersion` that its envelope states.
pub fn decode(body: &[u8]) -> Result<Value, Error> {
    let envelope = envelope(body)?;
    let (group, version) = match envelope.api_version.rsplit_once('/') {
        Some((group, version)) => (group, version),
        None => ("", envelope.api_version.as_str()),
    };
    let of = schema::of_kind(group, version, &envelope.kind).ok_or_else(|| Error::Kind {
        api_version: envelope.api_version.to_string(),
        kind: envelope.kind.to_string(),
    })?;
    let mut value = decode_message(of, envelope.raw)?;
    if let Value::Object(map) = &mut value {
        map.insert_first("apiVersion", envelope.api_version);
        map.insert_first("kind", envelope.kind);
    }
    Ok(value)
}

/// The value of a bare message.
pub fn decode_message(of: &'static Type, bytes: &[u8]) -> Result<Value, Error> {
    let mut value = read::message(of, bytes, 0)?;
    decode::normalize(of, &mut value)?;
    Ok(value)
}

/// A body: the envelope around the message, with the value's own `kind` and `apiVersion`.
pub fn encode(of: &'static Type, value: &Value) -> Vec<u8> {
    write::body(of, value)
}

/// One frame of a watch: the length, then a WatchEvent whose object is a body of its own.
pub fn watch_frame(event: &str, body: &[u8]) -> Vec<u8> {
    write::watch_frame(event, body)
}

#[cfg(test)]
mod tests;
