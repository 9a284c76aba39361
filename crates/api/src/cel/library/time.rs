//! Times and durations, in UTC unless a zone is given; of zones only fixed offsets and UTC are known.

use super::Out;
use crate::cel::value::Val;

const SECOND: i128 = 1_000_000_000;

/// RFC 3339 to nanoseconds since the epoch.
pub fn parse(text: &str) -> Option<i128> {
    // Fractions beyond microseconds are CEL's, not the API's.
    let (head, fraction, tail) = match text.split_once('.') {
        Some((head, rest)) => {
            let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
            (head, &rest[..end], &rest[end..])
        }
        None => (text, "", ""),
    };
    let whole = if tail.is_empty() { text.to_string() } else { format!("{head}{tail}") };
    let seconds = crate::time::parse(&whole).ok()?.seconds;
    let mut nanos = 0;
    for place in 0..9 {
        nanos = nanos * 10 + fraction.as_bytes().get(place).map_or(0, |digit| i128::from(digit - b'0'));
    }
    Some(i128::from(seconds) * SECOND + nanos)
}

/// As Go's RFC3339Nano writes it.
pub fn format(nanos: i128) -> String {
    let (seconds, rest) = (nanos.div_euclid(SECOND), nanos.rem_euclid(SECOND));
    let text = crate::time::format(seconds as i64);
    if rest == 0 {
        return text;
    }
    let fraction = format!("{rest:09}");
    format!("{}.{}Z", text.trim_end_matches('Z'), fraction.trim_end_matches('0'))
}

pub(super) fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Out<'a>> {
    if let [Val::Duration(nanos)] = args {
        let nanos = *nanos;
        return Some(Ok(Val::Int(match function {
            "getHours" => nanos / 3_600_000_000_000,
            "getMinutes" => nanos / 60_000_000_000,
            "getSeconds" => nanos / 1_000_000_000,
            "getMilliseconds" => (nanos / 1_000_000) % 1000,
            _ => return None,
        })));
    }
    let (nanos, zone) = match args {
        [Val::Timestamp(nanos)] => (*nanos, 0),
        [Val::Timestamp(nanos), Val::String(zone)] => match offset(zone) {
            Some(seconds) => (*nanos, seconds),
            None => return Some(Err(format!("unknown time zone {zone}"))),
        },
        _ => return None,
    };
    let seconds = nanos.div_euclid(SECOND) as i64 + zone;
    let (year, month, day, hour, minute, second) = crate::time::civil(seconds);
    let days = seconds.div_euclid(86_400);
    Some(Ok(Val::Int(match function {
        "getFullYear" => year,
        "getMonth" => month - 1,
        "getDate" => day,
        "getDayOfMonth" => day - 1,
        "getDayOfWeek" => (days + 4).rem_euclid(7),
        "getDayOfYear" => {
            let start = crate::time::parse(&format!("{year:04}-01-01T00:00:00Z")).ok()?.seconds;
            days - start.div_euclid(86_400)
        }
        "getHours" => hour,
        "getMinutes" => minute,
        "getSeconds" => second,
        "getMilliseconds" => (nanos.rem_euclid(SECOND) / 1_000_000) as i64,
        _ => return None,
    })))
}

/// Seconds of `UTC`, `+01:00` or `-08:00`.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "UTC" | "Z" | "") {
        return Some(0);
    }
    let (sign, rest) = match zone.as_bytes().first()? {
        b'-' => (-1, &zone[1..]),
        b'+' => (1, &zone[1..]),
        _ => (1, zone),
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60))
}
