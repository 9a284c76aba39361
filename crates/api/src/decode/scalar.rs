//! Scalars and the types with a JSON form of their own, brought into the form in which Go writes them.

use super::{At, Error, wrong};
use crate::quantity::Quantity;
use crate::schema::Kind;
use crate::{Value, time};

/// `value` is not null.
pub(super) fn normalize(kind: Kind, value: &mut Value, at: &At<'_>) -> Result<(), Error> {
    match (kind, &*value) {
        (Kind::String, Value::String(_))
        | (Kind::Bool, Value::Bool(_))
        | (Kind::Int64, Value::Int(_))
        | (Kind::Double, Value::Int(_) | Value::Float(_))
        // Go keeps the bytes, whatever JSON they are.
        | (Kind::FieldsV1, _) => Ok(()),
        (Kind::Int32 | Kind::IntOrString, Value::Int(number)) if i32::try_from(*number).is_ok() => Ok(()),
        (Kind::IntOrString, Value::String(_)) => Ok(()),
        (Kind::Int32 | Kind::Int64 | Kind::IntOrString, Value::Int(_) | Value::Float(_)) => {
            let wanted = at.go_scalar().unwrap_or(if kind == Kind::Int64 { "int64" } else { "int32" });
            Err(Error::Type { found: format!("number {value}"), place: at.go_place(), wanted: wanted.into() })
        }
        (Kind::Bytes, Value::String(text)) => {
            if let Some(fixed) = base64(text)? {
                *value = fixed.into();
            }
            Ok(())
        }
        // encoding/json takes a list of small numbers for bytes too.
        (Kind::Bytes, Value::Array(items)) => {
            let byte = |item: &Value| match item {
                Value::Null => Some(0),
                other => other.as_int().and_then(|number| u8::try_from(number).ok()),
            };
            let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
            let bytes = bytes.ok_or_else(|| wrong(&items[0], at, || "uint8".into()))?;
            *value = encode(&bytes).into();
            Ok(())
        }
        (Kind::Quantity, Value::String(text)) => {
            let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
            let canonical = trimmed.parse::<Quantity>()?.to_string();
            if canonical != *text {
                *value = canonical.into();
            }
            Ok(())
        }
        (Kind::Quantity, Value::Int(_) | Value::Float(_)) => {
            *value = value.to_string().parse::<Quantity>()?.to_string().into();
            Ok(())
        }
        (Kind::Quantity, _) => Err(crate::quantity::Error::Format.into()),
        (Kind::Time, Value::String(text)) => {
            // The common form needs no calendar: it is checked and stays as it is.
            let parsed = time::parse(text)?;
            if text.len() != 20 || !text.ends_with('Z') {
                *value = time::format(parsed.seconds).into();
            }
            Ok(())
        }
        (Kind::MicroTime, Value::String(text)) => {
            let parsed = time::parse_micro(text)?;
            if text.len() != 27 || !text.ends_with('Z') {
                *value = time::format_micro(parsed).into();
            }
            Ok(())
        }
        (Kind::Duration, Value::String(_)) => Ok(()),
        (kind, other) => Err(wrong(other, at, || {
            at.go_scalar()
                .unwrap_or(match kind {
                Kind::Bool => "bool",
                Kind::Int32 | Kind::IntOrString => "int32",
                Kind::Int64 => "int64",
                Kind::Double => "float64",
                Kind::Bytes => "[]uint8",
                _ => "string",
            })
            .into()
        })),
    }
}

fn encode(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Checks padded base64; `Some` where Go would write another text (line breaks, trailing bits).
fn base64(text: &str) -> Result<Option<String>, Error> {
    use ::base64::Engine as _;
    use ::base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    // Go's StdEncoding takes trailing bits and skips line breaks.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &::base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let clean;
    let source = if text.contains(['\r', '\n']) {
        clean = text.replace(['\r', '\n'], "");
        clean.as_str()
    } else {
        text
    };
    let bytes = LENIENT.decode(source).map_err(|_| Error::Base64(corrupt_at(text.as_bytes())))?;
    let written = LENIENT.encode(&bytes);
    Ok((written != text).then_some(written))
}

/// Where Go's decoder, which goes by groups of four, gives up.
fn corrupt_at(text: &[u8]) -> usize {
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let mut at = 0;
    loop {
        let mut group = 0;
        while group < 4 {
            let Some(byte) = text.get(at) else { return at - group };
            at += 1;
            match byte {
                b'\r' | b'\n' => continue,
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => group += 1,
                b'=' if group == 3 => {
                    return at + text[at..].iter().take_while(|byte| is_break(byte)).count();
                }
                b'=' if group == 2 => {
                    at += text[at..].iter().take_while(|byte| is_break(byte)).count();
                    return match text.get(at) {
                        None => text.len(),
                        Some(b'=') => {
                            at += 1;
                            at + text[at..].iter().take_while(|byte| is_break(byte)).count()
                        }
                        Some(_) => at - 1,
                    };
                }
                _ => return at - 1,
            }
        }
    }
}
