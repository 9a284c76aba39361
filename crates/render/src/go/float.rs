//! `strconv`'s floats and integers.

use api::yaml::shortest;

/// `strconv.FormatFloat(number, verb, precision, 64)`; a negative precision asks for the shortest text that reads back.
pub fn format(number: f64, verb: u8, precision: i32) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    match verb {
        b'e' | b'E' => {
            let text =
                if precision < 0 { shortest(number) } else { format!("{number:.*e}", precision as usize) };
            exponent(&text, verb)
        }
        b'f' | b'F' => {
            if precision < 0 {
                plain(&shortest(number))
            } else {
                format!("{number:.*}", precision as usize)
            }
        }
        _ => general(number, verb, precision),
    }
}

/// Digits with an exponent as digits without.
fn plain(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    let point = exponent + 1;
    if point <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    match digits.split_at_checked(point as usize) {
        Some((whole, fraction)) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
        _ => format!("{sign}{digits:0<width$}", width = point as usize),
    }
}

fn exponent(text: &str, verb: u8) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}{}{sign}{:02}", verb as char, exponent.abs())
}

fn general(number: f64, verb: u8, precision: i32) -> String {
    let e = if verb == b'G' { b'E' } else { b'e' };
    let least = precision < 0;
    let places = if precision == 0 { 1 } else { precision };
    let scientific = if least { shortest(number) } else { format!("{number:.*e}", places as usize - 1) };
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or_default();
    let mut mantissa = mantissa.to_string();
    if mantissa.contains('.') {
        mantissa.truncate(mantissa.trim_end_matches('0').trim_end_matches('.').len());
    }
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count() as i32;
    let mut limit = places;
    if limit > digits && digits > power {
        limit = digits;
    }
    if least {
        limit = 6;
    }
    if power < -4 || power >= limit {
        return exponent(&format!("{mantissa}e{power}"), e);
    }
    let after = (digits - power - 1).max(0);
    format!("{number:.*}", after as usize)
}

/// `strconv.ParseInt(text, base, 64)`; `None` for a text that is none, or out of range.
pub fn parse_int(text: &str, base: u32) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let magnitude = parse_uint(digits, base)?;
    if negative {
        (magnitude <= 1 << 63).then(|| (magnitude as i64).wrapping_neg())
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// `strconv.ParseUint(text, base, 64)`.
pub fn parse_uint(text: &str, base: u32) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix, prefixed) = if base != 0 {
        (lower.as_str(), base, false)
    } else if let Some(rest) = lower.strip_prefix("0x") {
        (rest, 16, true)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (rest, 2, true)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (rest, 8, true)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8, true)
    } else {
        (lower.as_str(), 10, false)
    };
    if digits.is_empty() {
        return None;
    }
    let plain: String = if base == 0 && digits.contains('_') {
        // Underscores stand between digits only, or after the base.
        let fits = !digits.ends_with('_') && !digits.contains("__") && (prefixed || !digits.starts_with('_'));
        if !fits {
            return None;
        }
        digits.replace('_', "")
    } else {
        digits.to_string()
    };
    if plain.is_empty() || !plain.chars().all(|char| char.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(&plain, radix).ok()
}

/// `strconv.ParseFloat(text, 64)`; `None` for a text that is none, or out of range.
pub fn parse(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    match bare {
        "inf" | "infinity" => {
            return Some(if lower.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        "nan" => return (lower == "nan").then_some(f64::NAN),
        _ => {}
    }
    if let Some(hex) = bare.strip_prefix("0x") {
        let value = parse_hex(hex)?;
        return Some(if lower.starts_with('-') { -value } else { value });
    }
    if !bare.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'+' | b'-')) {
        return None;
    }
    lower.parse::<f64>().ok().filter(|number| number.is_finite())
}

fn parse_hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0f64;
    for char in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(char.to_digit(16)?);
    }
    Some(value * 2f64.powi(exponent - 4 * fraction.len() as i32))
}
