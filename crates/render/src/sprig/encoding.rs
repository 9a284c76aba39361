//! Base 64, base 32 and JSON.

use super::{Done, Entries, made, str};
use crate::go::{List, Map, MapType, Value, json};
use crate::template::{Frame, function};

pub fn all() -> Entries {
    vec![
        ("b64enc", function("s", |frame, a| made(frame, base64_encode(str(a, 0).bytes())))),
        (
            "b64dec",
            function("s", |frame, a| match base64_decode(str(a, 0).bytes()) {
                Ok(bytes) => made(frame, bytes),
                Err(error) => Ok(error.into()),
            }),
        ),
        ("b32enc", function("s", |frame, a| made(frame, base32_encode(str(a, 0).bytes())))),
        (
            "b32dec",
            function("s", |frame, a| match base32_decode(str(a, 0).bytes()) {
                Ok(bytes) => made(frame, bytes),
                Err(error) => Ok(error.into()),
            }),
        ),
        // Helm's, which differ from Sprig's in what they make of a fault.
        (
            "fromJson",
            function("s", |_, a| {
                let out = Map::new(MapType::Any);
                match json::decode(str(a, 0).bytes()) {
                    Ok(map @ Value::Map(_)) => return Ok(map),
                    Ok(Value::Nil) => {}
                    Ok(other) => out.put("Error", wrong_type(&other, "map[string]interface {}").into()),
                    Err(error) => out.put("Error", error.into()),
                }
                Ok(Value::Map(out))
            }),
        ),
        (
            "fromJsonArray",
            function("s", |_, a| {
                Ok(match json::decode(str(a, 0).bytes()) {
                    Ok(list @ Value::List(_)) => list,
                    Ok(Value::Nil) => Value::nil_list(),
                    Ok(other) => Value::list(vec![wrong_type(&other, "[]interface {}").into()]),
                    Err(error) => Value::list(vec![error.into()]),
                })
            }),
        ),
        ("mustFromJson", function("s", |_, a| json::decode(str(a, 0).bytes()))),
        ("toJson", function("a", |frame, a| made(frame, json::encode(&a[0], true).unwrap_or_default()))),
        ("mustToJson", function("a", |frame, a| made(frame, json::encode(&a[0], true)?))),
        (
            "toPrettyJson",
            function("a", |frame, a| made(frame, json::encode_pretty(&a[0]).unwrap_or_default())),
        ),
        ("mustToPrettyJson", function("a", |frame, a| made(frame, json::encode_pretty(&a[0])?))),
        ("toRawJson", function("a", raw)),
        ("mustToRawJson", function("a", raw)),
    ]
}

fn raw(frame: &Frame<'_, '_>, args: &[Value]) -> Done {
    made(frame, json::encode(&args[0], false)?)
}

/// What `encoding/json` says of a value that does not fit.
pub(super) fn wrong_type(value: &Value, wanted: &str) -> String {
    let name = match value {
        Value::Str(_) => "string",
        Value::Bool(_) => "bool",
        Value::List(List { .. }) => "array",
        Value::Map(_) => "object",
        _ => "number",
    };
    format!("json: cannot unmarshal {name} into Go value of type {wanted}")
}

pub(crate) fn base64_encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// `base64.StdEncoding.DecodeString`: line breaks are skipped; the error tells the byte.
pub(crate) fn base64_decode(text: &[u8]) -> Result<Vec<u8>, String> {
    decode(text, b'=', 4, 6, |byte| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    })
    .map_err(|at| format!("illegal base64 data at input byte {at}"))
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32_encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(5) {
        let mut group = [0u8; 8];
        group[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(group);
        let letters = (chunk.len() * 8).div_ceil(5);
        for at in 0..8 {
            let index = (bits >> (35 - 5 * at)) & 31;
            out.push(if at < letters { BASE32[index as usize] as char } else { '=' });
        }
    }
    out
}

fn base32_decode(text: &[u8]) -> Result<Vec<u8>, String> {
    decode(text, b'=', 8, 5, |byte| BASE32.iter().position(|letter| *letter == byte).map(|at| at as u8))
        .map_err(|at| format!("illegal base32 data at input byte {at}"))
}

/// Groups of letters to bytes; the error is where Go finds the fault.
fn decode(
    text: &[u8],
    pad: u8,
    group: usize,
    bits: u32,
    value: impl Fn(u8) -> Option<u8>,
) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let skip = |byte: u8| byte == b'\n' || byte == b'\r';
    let mut at = 0;
    loop {
        let mut letters: Vec<u8> = Vec::with_capacity(group);
        let mut ended = false;
        while letters.len() < group {
            while at < text.len() && skip(text[at]) {
                at += 1;
            }
            let Some(byte) = text.get(at).copied() else {
                if letters.is_empty() {
                    return Ok(out);
                }
                return Err(at - letters.len());
            };
            at += 1;
            if byte == pad {
                let allowed =
                    if group == 4 { letters.len() >= 2 } else { matches!(letters.len(), 2 | 4 | 5 | 7) };
                if !allowed {
                    return Err(at - 1);
                }
                for _ in letters.len() + 1..group {
                    while at < text.len() && skip(text[at]) {
                        at += 1;
                    }
                    match text.get(at) {
                        None => return Err(text.len()),
                        Some(byte) if *byte != pad => return Err(if group == 4 { at - 1 } else { at }),
                        Some(_) => at += 1,
                    }
                }
                while at < text.len() && skip(text[at]) {
                    at += 1;
                }
                if at < text.len() {
                    return Err(at);
                }
                ended = true;
                break;
            }
            letters.push(value(byte).ok_or(at - 1)?);
        }
        let mut buffer: u64 = 0;
        for letter in &letters {
            buffer = buffer << bits | u64::from(*letter);
        }
        let count = letters.len() as u32 * bits;
        let spare = count % 8;
        let whole = count / 8;
        buffer >>= spare;
        for byte in (0..whole).rev() {
            out.push((buffer >> (8 * byte)) as u8);
        }
        if ended {
            return Ok(out);
        }
    }
}
