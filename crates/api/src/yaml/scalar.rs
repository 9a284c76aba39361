//! What a plain scalar is, by the rules of Go's yaml.v3 (reading) and yaml.v2 (does it need quotes when printed).

use crate::Value;

use super::{Dialect, time};

/// A plain scalar as Go reads it into an untyped value.
pub fn resolve(text: &str, dialect: Dialect) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" if dialect == Dialect::V2 => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" if dialect == Dialect::V2 => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if let Some(number) = number(text) {
        return number;
    }
    let time = if dialect == Dialect::V3 { time::as_json(text) } else { None };
    Value::String(time.unwrap_or_else(|| text.to_string()).into())
}

/// Infinity or no number, which Go reads and then cannot write as JSON.
pub fn is_endless(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// yaml.v2 and v3 read the same numbers; a timestamp stays a text in untyped values.
fn number(text: &str) -> Option<Value> {
    let first = text.bytes().next()?;
    if !matches!(first, b'0'..=b'9' | b'+' | b'-' | b'.') || time::is_time(text) {
        return None;
    }
    let plain: String = text.chars().filter(|char| *char != '_').collect();
    if let Some(int) = integer(&plain) {
        return Some(int);
    }
    if is_float(&plain) {
        return plain.parse::<f64>().ok().filter(|float| float.is_finite()).map(Value::Float);
    }
    None
}

/// `strconv.ParseInt(text, 0, 64)`: a base prefix, or a leading zero for octal.
fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    // What `strconv` does not take is tried once more behind its `0b`, where a sign may stand.
    if digits.is_empty() || digits.starts_with(['+', '-']) && !text.starts_with("0b") {
        return None;
    }
    let wide = i128::from_str_radix(digits, base).ok()?;
    let wide = if negative { -wide } else { wide };
    match i64::try_from(wide) {
        Ok(int) => Some(Value::Int(int)),
        // Go falls back to uint64; a tree of ours keeps what is beyond int64 as a float.
        Err(_) if u64::try_from(wide).is_ok() => Some(Value::Float(wide as f64)),
        Err(_) => None,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
pub fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa && exponent.is_none_or(|text| digits(text.strip_prefix(['-', '+']).unwrap_or(text)))
}

/// Whether yaml.v2 would read the plain text back as a text: if not, it is printed in double quotes.
pub(super) fn plain_is_text(text: &str) -> bool {
    match text {
        "" | "~" | "null" | "Null" | "NULL" | ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF"
        | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => return false,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" | "n" | "N"
        | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return false,
        _ => {}
    }
    let first = text.as_bytes()[0];
    if !matches!(first, b'0'..=b'9' | b'+' | b'-' | b'.') {
        return true;
    }
    !(time::is_time(text) || number(text).is_some() || dotted_float(text) || sexagesimal(text))
}

/// A text that starts with a dot is tried with `strconv.ParseFloat`, which takes more forms than the pattern.
fn dotted_float(text: &str) -> bool {
    text.starts_with('.') && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Numbers to base 60, which YAML 1.1 readers take for numbers: `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`.
fn sexagesimal(text: &str) -> bool {
    if !text.contains(':') {
        return false;
    }
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    if !first.starts_with(|char: char| char.is_ascii_digit())
        || !first.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
    {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let last = rest.len().saturating_sub(1);
    rest.iter().enumerate().all(|(at, part)| {
        let (part, fraction) = part.split_once('.').filter(|_| at == last).unwrap_or((part, ""));
        if !fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
            return false;
        }
        match part.as_bytes() {
            [digit] => digit.is_ascii_digit(),
            [ten, digit] => (b'0'..=b'5').contains(ten) && digit.is_ascii_digit(),
            _ => false,
        }
    })
}

/// `strconv.FormatFloat(number, 'g', -1, 64)`.
pub fn format_float(number: f64) -> String {
    if number == 0.0 {
        return if number.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let text = shortest(number);
    let (mantissa, exponent) = text.split_once('e').expect("because {:e} always writes an exponent");
    let exponent: i32 = exponent.parse().expect("because {:e} writes a number there");
    // Go's shortest form turns to an exponent from six digits before the point on.
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    } else {
        format!("{number}")
    }
}

/// The shortest digits that read back, as `{:e}` prints them; of two that are as near, Go takes the even ones.
pub fn shortest(number: f64) -> String {
    let text = format!("{number:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let digits = |text: &str| -> Vec<u8> { text.bytes().filter(u8::is_ascii_digit).collect() };
    let mut own = digits(mantissa);
    let Some(last) = own.last_mut().filter(|last| **last % 2 == 1) else { return text };
    *last -= 1;
    if own.len() < 16 {
        return text;
    }
    let exact = digits(format!("{number:.60e}").split('e').next().unwrap_or_default());
    let half = exact
        .strip_prefix(own.as_slice())
        .is_some_and(|rest| rest.first() == Some(&b'5') && rest[1..].iter().all(|digit| *digit == b'0'));
    let lower = format!("{}{}e{exponent}", &mantissa[..mantissa.len() - 1], own[own.len() - 1] as char);
    if half && lower.parse() == Ok(number) { lower } else { text }
}
