//! Go's `time.Duration` as text: `1h30m0.5s`. What is read, what is refused and with which words is Go's; a duration is
//! nanoseconds in an `i64`, as there.

/// A text that is no duration, told as Go's `time.ParseDuration` does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("time: invalid duration {}", super::quote(.0))]
    Invalid(String),
    #[error("time: missing unit in duration {}", super::quote(.0))]
    MissingUnit(String),
    #[error("time: unknown unit {} in duration {}", super::quote(.unit), super::quote(.text))]
    UnknownUnit { unit: String, text: String },
}

/// Nanoseconds of a Go duration such as `1h30m0.5s`.
pub fn parse(text: &str) -> Result<i64, Error> {
    let invalid = || Error::Invalid(text.into());
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let number = match whole {
            "" => 0,
            whole => whole.parse::<u64>().ok().filter(|number| *number <= 1 << 63).ok_or_else(invalid)?,
        };
        let (unit, after) =
            after.split_at(after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len()));
        let scale: i64 = match unit {
            "" => return Err(Error::MissingUnit(text.into())),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(Error::UnknownUnit { unit: unit.into(), text: text.into() }),
        };
        total += i128::from(number) * i128::from(scale) + part(fraction, scale);
        if total > 1 << 63 {
            return Err(invalid());
        }
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

/// A Go duration: `1h0m0s`, `1.5s`, `100ms`.
pub fn format(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".into();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let decimal = |number: u64, unit: u64| {
        let (whole, part) = (number / unit, number % unit);
        let places = unit.ilog10() as usize;
        let fraction = format!("{part:0places$}");
        let fraction = fraction.trim_end_matches('0');
        if part == 0 { whole.to_string() } else { format!("{whole}.{fraction}") }
    };
    match size {
        0..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(size, 1_000_000)),
        _ => {
            let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
            let seconds = decimal(rest, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// As [`format()`], for what is at most 292 years.
pub fn text(duration: std::time::Duration) -> String {
    format(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Nanoseconds of the digits behind a point, by the floating-point numbers that Go takes for them, so that the last
/// nanosecond is the same. Digits beyond those that fit 63 bits count for nothing.
fn part(fraction: &str, scale: i64) -> i128 {
    let (mut number, mut power) = (0u64, 1f64);
    for digit in fraction.bytes() {
        if number > i64::MAX as u64 / 10 {
            break;
        }
        let next = number * 10 + u64::from(digit - b'0');
        if next > 1 << 63 {
            break;
        }
        number = next;
        power *= 10.0;
    }
    (number as f64 * (scale as f64 / power)) as i128
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_go_both_ways() {
        for text in ["0s", "1h0m0s", "1.5s", "100ms", "1.5µs", "7ns", "-2m30s", "25h1m0.000000001s"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }

    /// Go's own cases (src/time/time_test.go, parseDurationTests), and what lies beyond them.
    #[test]
    fn reads_as_go() {
        for (text, expected) in [
            ("0", 0),
            ("+5s", 5_000_000_000),
            ("-.5s", -500_000_000),
            ("1.s", 1_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("12µs3μs", 15_000),
            ("52763797000ns", 52_763_797_000),
            ("0.3333333333333333333h", 1_200_000_000_000),
            ("9007199254740993ns", (1 << 53) + 1),
            ("9223372036854775.807us", i64::MAX),
            ("9223372036s854ms775us807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
            ("0.9223372036854775807h", 3_320_413_933_267),
            ("0.100000000000000000000h", 360_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            ("s", r#"time: invalid duration "s""#),
            (".s", r#"time: invalid duration ".s""#),
            ("3", r#"time: missing unit in duration "3""#),
            ("1x", r#"time: unknown unit "x" in duration "1x""#),
            ("1.2.3s", r#"time: missing unit in duration "1.2.3s""#),
            ("1é", r#"time: unknown unit "\xc3\xa9" in duration "1\xc3\xa9""#),
            ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
            ("3000000h", r#"time: invalid duration "3000000h""#),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), expected);
        }
    }
}
