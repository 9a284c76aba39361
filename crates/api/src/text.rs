//! Go's way to quote a text in a message (`strconv.Quote`, `%q`).

use std::fmt::Write as _;

use crate::Value;

/// `strconv.Quote`.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            low if (low as u32) < 0x20 || low == '\x7f' => {
                let _ = write!(out, "\\x{:02x}", low as u32);
            }
            odd if !is_printable(odd) => {
                let _ = write!(out, "\\u{:04x}", odd as u32);
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

/// Printable for Go: no control, no odd space, no byte order mark, not of private use.
pub fn is_printable(letter: char) -> bool {
    let odd = matches!(letter as u32, 0..0x20 | 0x7f..=0xa0 | 0xad | 0x2000..=0x200f | 0x2028..=0x202f | 0xfeff | 0xe000..=0xf8ff);
    !odd
}

/// Go's `%v` of a decoded value: `map[a:1 b:[x y]]`, keys sorted.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut fields: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", show(value))).collect();
            fields.sort();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_as_go() {
        assert_eq!(super::quote("a\"b\n\u{1}é\u{feff}"), "\"a\\\"b\\n\\x01é\\ufeff\"");
    }
}
