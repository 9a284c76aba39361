//! `strconv.Quote` and `strconv.Unquote`.

use super::text::{first, is_print};

/// A string in double quotes, as `%q` prints it.
pub fn quote(bytes: &[u8]) -> String {
    quote_with(bytes, false)
}

pub fn quote_with(bytes: &[u8], ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    let mut rest = bytes;
    while let Some((char, length)) = first(rest) {
        if char == '\u{fffd}' && length == 1 {
            out.push_str(&format!("\\x{:02x}", rest[0]));
        } else {
            escape(char, '"', ascii, &mut out);
        }
        rest = &rest[length..];
    }
    out.push('"');
    out
}

/// A character in single quotes.
pub fn quote_char(char: char) -> String {
    let mut out = String::from("'");
    escape(char, '\'', false, &mut out);
    out.push('\'');
    out
}

fn escape(char: char, quote: char, ascii: bool, out: &mut String) {
    match char {
        char if char == quote || char == '\\' => {
            out.push('\\');
            out.push(char);
        }
        char if is_print(char) && (!ascii || char.is_ascii()) => out.push(char),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        char if (char as u32) < 0x20 || char == '\u{7f}' => out.push_str(&format!("\\x{:02x}", char as u32)),
        char if (char as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", char as u32)),
        char => out.push_str(&format!("\\U{:08x}", char as u32)),
    }
}

/// What a quoted Go string stands for; `None` is `invalid syntax`.
pub fn unquote(text: &str) -> Option<Vec<u8>> {
    let mut chars = text.chars();
    let quote = chars.next()?;
    let inner = text.get(1..)?.strip_suffix(quote)?;
    if quote == '`' {
        return (!inner.contains('`')).then(|| inner.replace('\r', "").into_bytes());
    }
    if quote != '"' && quote != '\'' || inner.contains('\n') {
        return None;
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    let mut count = 0;
    while let Some(char) = rest.chars().next() {
        count += 1;
        if char == quote {
            return None;
        }
        if char != '\\' {
            out.extend_from_slice(char.to_string().as_bytes());
            rest = &rest[char.len_utf8()..];
            continue;
        }
        let kind = rest[1..].chars().next()?;
        rest = &rest[1 + kind.len_utf8()..];
        let mut digits = |length: usize, base: u32| -> Option<u32> {
            let text = rest.get(..length)?;
            if !text.chars().all(|char| char.is_digit(base)) {
                return None;
            }
            rest = &rest[length..];
            u32::from_str_radix(text, base).ok()
        };
        match kind {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            'x' => out.push(digits(2, 16)? as u8),
            'u' | 'U' => {
                let char = char::from_u32(digits(if kind == 'u' { 4 } else { 8 }, 16)?)?;
                out.extend_from_slice(char.to_string().as_bytes());
            }
            '0'..='7' => {
                let value = kind.to_digit(8)? * 64 + digits(2, 8)?;
                out.push(u8::try_from(value).ok()?);
            }
            kind if kind == quote => out.push(quote as u8),
            _ => return None,
        }
    }
    (quote == '"' || count == 1).then_some(out)
}
