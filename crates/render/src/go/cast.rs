//! spf13/cast as Sprig uses it: what `int`, `int64` and `float64` make of any value; what cannot be cast is 0.

use super::{Value, float};

/// `cast.ToInt64` (and `ToInt`, which is the same on 64 bits).
pub fn to_int64(value: &Value) -> i64 {
    match value {
        Value::Int(number) | Value::Int64(number) => *number,
        Value::Sized(super::value::Sized::Duration, _) => 0,
        Value::Sized(_, number) => *number,
        Value::Float(number) => float_to_int(*number),
        Value::Str(text) => {
            let text = text.text();
            float::parse_int(trim_zero_decimal(&text), 0).unwrap_or_default()
        }
        Value::Bool(flag) => i64::from(*flag),
        _ => 0,
    }
}

/// Go's conversion on amd64: what does not fit becomes the smallest integer.
pub fn float_to_int(number: f64) -> i64 {
    if number.is_nan() || !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number) {
        return i64::MIN;
    }
    number as i64
}

/// `cast.ToFloat64`.
pub fn to_float64(value: &Value) -> f64 {
    match value {
        Value::Int(number) | Value::Int64(number) => *number as f64,
        Value::Sized(super::value::Sized::Duration, _) => 0.0,
        Value::Sized(_, number) => *number as f64,
        Value::Float(number) => *number,
        Value::Str(text) => float::parse(&text.text()).unwrap_or_default(),
        Value::Bool(flag) => f64::from(u8::from(*flag)),
        _ => 0.0,
    }
}

/// Drops `.000` at the end.
fn trim_zero_decimal(text: &str) -> &str {
    match text.trim_end_matches('0').strip_suffix('.') {
        Some(whole) if text.ends_with('0') => whole,
        _ => text,
    }
}
