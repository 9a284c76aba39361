//! The string formats that CRDs may use. An unknown format constrains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine as _;
use regex::Regex;

use crate::time;

macro_rules! pattern {
    ($text:expr) => {{
        static PATTERN: LazyLock<Regex> =
            LazyLock::new(|| Regex::new($text).expect("because a test compiles it"));
        &*PATTERN
    }};
}

/// Formats that are not here are as if they were not stated.
const KNOWN: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// The format constrains something: a string's form, or how a number is read.
pub(super) fn is_known(format: &str) -> bool {
    matches!(format, "int32" | "int64" | "float" | "double")
        || KNOWN.contains(&format.replace('-', "").as_str())
}

/// Whether a text has the format; dashes in the format's name do not count, as in upstream.
pub fn is_valid(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "uri" => uri(text),
        "email" => pattern!(r"^[^\s@<>]+@[^\s@<>]+$").is_match(text),
        "hostname" => hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => cidr(text),
        "mac" => {
            pattern!(r"^(?i)([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$|^([0-9a-f]{4}\.){2}[0-9a-f]{4}$").is_match(text)
        }
        "uuid" => {
            pattern!(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$").is_match(text)
        }
        "uuid3" => pattern!(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$")
            .is_match(text),
        "uuid4" => pattern!(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$")
            .is_match(text),
        "uuid5" => pattern!(r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$")
            .is_match(text),
        "isbn" => isbn(text, 10) || isbn(text, 13),
        "isbn10" => isbn(text, 10),
        "isbn13" => isbn(text, 13),
        "creditcard" => credit_card(text),
        "ssn" => pattern!(r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$").is_match(text),
        "hexcolor" => pattern!(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$").is_match(text),
        "rgbcolor" => rgb(text),
        "byte" => !text.is_empty() && base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "date" => time::parse(&format!("{text}T00:00:00Z")).is_ok() && text.len() == 10,
        "duration" => duration(text),
        "datetime" => {
            time::parse(&text.replace(['t', 'z'], "T").replace(' ', "T")).is_ok() || time::parse(text).is_ok()
        }
        "k8sshortname" => crate::validation::names::dns_label(text).is_empty(),
        "k8slongname" => crate::validation::names::dns_subdomain(text).is_empty(),
        _ => true,
    }
}

/// What Go's `url.ParseRequestURI` takes: an absolute URI or an absolute path.
fn uri(text: &str) -> bool {
    if text.is_empty() || text.chars().any(|character| character.is_control() || character == ' ') {
        return false;
    }
    text.starts_with('/') || pattern!(r"^[a-zA-Z][a-zA-Z0-9+.-]*:").is_match(text)
}

/// A single label, or labels that end in a top-level domain of letters: what go-openapi takes, symbols included.
fn hostname(text: &str) -> bool {
    let shape = pattern!(
        r"^([a-zA-Z0-9\p{S}\p{L}](-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?|([a-zA-Z0-9\p{S}\p{L}]([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?\.)+[a-zA-Z\p{L}]{2,63})$"
    );
    text.len() <= 255 && text.split('.').all(|label| label.len() <= 63) && shape.is_match(text)
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    !length.starts_with('+') && length.parse::<u8>().is_ok_and(|length| length <= most)
}

fn isbn(text: &str, length: usize) -> bool {
    let digits: Vec<u32> = text
        .chars()
        .filter(|character| !matches!(character, '-' | ' '))
        .enumerate()
        .map(|(at, character)| match character {
            'X' | 'x' if length == 10 && at == 9 => 10,
            other => other.to_digit(10).unwrap_or(99),
        })
        .collect();
    if digits.len() != length || digits.contains(&99) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(at, digit)| {
            digit
                * if length == 10 {
                    10 - at as u32
                } else if at % 2 == 0 {
                    1
                } else {
                    3
                }
        })
        .sum();
    sum.is_multiple_of(if length == 10 { 11 } else { 10 })
}

fn credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let known = pattern!(
        r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$"
    );
    if !known.is_match(&digits) {
        return false;
    }
    // Luhn's check digit.
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, byte)| {
            let digit = u32::from(byte - b'0') * if at % 2 == 1 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

fn rgb(text: &str) -> bool {
    let inside = text.strip_prefix("rgb(").and_then(|text| text.strip_suffix(')'));
    inside.is_some_and(|inside| {
        let parts: Vec<&str> = inside.split(',').collect();
        parts.len() == 3 && parts.iter().all(|part| part.trim().parse::<u8>().is_ok())
    })
}

/// Go's durations, and Scala's (`3 days`).
fn duration(text: &str) -> bool {
    time::duration::parse(text).is_ok()
        || pattern!(
            r"^[0-9]+\s*(ns|nanos?|nanoseconds?|us|µs|μs|micros?|microseconds?|ms|millis?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?)$"
        )
        .is_match(text)
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn formats_tell_good_from_bad() {
        for (format, good, bad) in [
            ("bsonobjectid", "507f1f77bcf86cd799439011", "x"),
            ("uri", "https://a.b/c?d", "a b"),
            ("email", "a@b.c", "a.b"),
            ("hostname", "a-b.example", "-a"),
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("ipv6", "fe80::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "00:11:22:aa:bb:cc", "00:11"),
            ("uuid", "5F8A2F0E-2D6C-4D3B-9B5A-0A1B2C3D4E5F", "5f8a"),
            ("uuid3", "5f8a2f0e-2d6c-3d3b-9b5a-0a1b2c3d4e5f", "5f8a2f0e-2d6c-4d3b-9b5a-0a1b2c3d4e5f"),
            ("uuid4", "5f8a2f0e-2d6c-4d3b-9b5a-0a1b2c3d4e5f", "5f8a2f0e-2d6c-3d3b-9b5a-0a1b2c3d4e5f"),
            ("uuid5", "5f8a2f0e-2d6c-5d3b-9b5a-0a1b2c3d4e5f", "x"),
            ("isbn", "978-0321751041", "978-0321751042"),
            ("isbn10", "0321751043", "0321751044"),
            ("isbn13", "978-0321751041", "0321751043"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("ssn", "123-45-6789", "12-3"),
            ("hexcolor", "#FFFFFF", "#GG"),
            ("rgbcolor", "rgb(1,2,255)", "rgb(1,2,256)"),
            ("byte", "aGk=", "!"),
            ("date", "2024-02-29", "2023-02-29"),
            ("duration", "3 days", "x"),
            ("date-time", "2014-12-15T19:30:20.000Z", "2014"),
            ("k8s-short-name", "a-b", "A"),
        ] {
            assert!(is_valid(format, good), "{format} {good}");
            assert!(!is_valid(format, bad), "{format} {bad}");
        }
        assert!(is_valid("no-such-format", "anything"));
    }
}
