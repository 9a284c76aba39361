//! Conversions between types, by the types' names.

use super::{Out, strings, time};
use crate::cel::value::Val;

pub(super) fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Out<'a>> {
    use Val as V;
    let [value] = args else { return None };
    let range = |what: &str| Err(format!("{what} overflow"));
    let bad = |what: &str| Err(format!("type conversion error from 'string' to '{what}'"));
    Some(match (function, value) {
        ("bool", V::Bool(_))
        | ("int", V::Int(_))
        | ("uint", V::Uint(_))
        | ("double", V::Double(_))
        | ("string", V::String(_))
        | ("bytes", V::Bytes(_))
        | ("timestamp", V::Timestamp(_))
        | ("duration", V::Duration(_)) => Ok(value.clone()),
        ("bool", V::String(text)) => match text.as_str() {
            "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(V::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(V::Bool(false)),
            _ => bad("bool"),
        },
        ("int", V::Uint(number)) => {
            i64::try_from(*number).map_or_else(|_| range("integer"), |n| Ok(V::Int(n)))
        }
        ("int", V::Double(number)) => {
            match number.is_finite() && number.abs() < 9_223_372_036_854_775_807.0 {
                true => Ok(V::Int(*number as i64)),
                false => range("integer"),
            }
        }
        ("int", V::String(text)) => text.parse().map_or_else(|_| bad("int"), |number| Ok(V::Int(number))),
        ("int", V::Timestamp(nanos)) => Ok(V::Int(nanos.div_euclid(1_000_000_000) as i64)),
        ("uint", V::Int(number)) => {
            u64::try_from(*number).map_or_else(|_| range("unsigned integer"), |number| Ok(V::Uint(number)))
        }
        ("uint", V::Double(number)) => match (0.0..18_446_744_073_709_551_615.0).contains(number) {
            true => Ok(V::Uint(*number as u64)),
            false => range("unsigned integer"),
        },
        ("uint", V::String(text)) => text.parse().map_or_else(|_| bad("uint"), |number| Ok(V::Uint(number))),
        ("double", V::Int(number)) => Ok(V::Double(*number as f64)),
        ("double", V::Uint(number)) => Ok(V::Double(*number as f64)),
        ("double", V::String(text)) => {
            text.parse().map_or_else(|_| bad("double"), |number| Ok(V::Double(number)))
        }
        ("string", V::Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(V::text(text)),
            Err(_) => Err("invalid UTF-8 in bytes, cannot convert to string".into()),
        },
        ("string", V::Tree(..) | V::List(_) | V::Map(_) | V::Null) => return None,
        ("string", other) => Ok(V::text(strings::plain(other)?)),
        ("bytes", V::String(text)) => Ok(V::Bytes(text.as_bytes().into())),
        ("timestamp", V::String(text)) => {
            time::parse(text).map_or_else(|| bad("timestamp"), |nanos| Ok(V::Timestamp(nanos)))
        }
        ("timestamp", V::Int(seconds)) => Ok(V::Timestamp(i128::from(*seconds) * 1_000_000_000)),
        ("duration", V::String(text)) => crate::time::duration::parse(text)
            .map_or_else(|_| bad("duration"), |nanos| Ok(V::Duration(nanos))),
        ("duration", V::Int(nanos)) => Ok(V::Duration(*nanos)),
        _ => return None,
    })
}
