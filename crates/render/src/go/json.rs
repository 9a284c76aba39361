//! `encoding/json`: values to text as Go writes it (sorted keys, HTML escaped) and back (every number a `float64`).

use std::collections::BTreeMap;
use std::fmt::Write;

use super::value::{Struct, Value};
use super::{Map, MapType, Str, float, text, walk};

/// What `json.Marshal` refuses: NaN and infinities.
pub type Unsupported = String;

/// `json.Marshal`; `html` escapes `<`, `>` and `&`.
pub fn encode(value: &Value, html: bool) -> Result<String, Unsupported> {
    let mut out = String::new();
    write(value, html, &mut out)?;
    Ok(out)
}

/// `json.MarshalIndent` with two spaces.
pub fn encode_pretty(value: &Value) -> Result<String, Unsupported> {
    Ok(indent(&encode(value, true)?))
}

fn write(value: &Value, html: bool, out: &mut String) -> Result<(), Unsupported> {
    if !walk::fits() {
        return Err(format!("json: unsupported value: encountered a cycle via {}", value.type_name()));
    }
    let Some(_inside) = value.enter() else { return Ok(()) };
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number) | Value::Int64(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Sized(super::value::Sized::Uint64, number) => {
            let _ = write!(out, "{}", *number as u64);
        }
        Value::Sized(_, number) => {
            let _ = write!(out, "{number}");
        }
        Value::Float(number) => {
            if !number.is_finite() {
                return Err(format!("json: unsupported value: {}", float::format(*number, b'g', -1)));
            }
            out.push_str(&number_text(*number));
        }
        Value::Str(text) if !walk::bytes(text.len()) => {}
        Value::Str(text) => string(text.bytes(), html, out),
        Value::Bytes(bytes) => {
            use base64::Engine;
            out.push('"');
            out.push_str(&base64::engine::general_purpose::STANDARD.encode(bytes.bytes()));
            out.push('"');
        }
        Value::List(list) => {
            if list.items.is_none() {
                out.push_str("null");
                return Ok(());
            }
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, html, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            if map.is_nil() {
                out.push_str("null");
                return Ok(());
            }
            out.push('{');
            for (at, (key, item)) in map.entries().iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                string(key.bytes(), html, out);
                out.push(':');
                write(item, html, out)?;
            }
            out.push('}');
        }
        Value::Struct(object) => {
            out.push('{');
            let mut first = true;
            fields(object, html, &mut first, out)?;
            out.push('}');
        }
        Value::Time(time) => string(time.rfc3339().as_bytes(), html, out),
        Value::Version(version) => string(version.to_string().as_bytes(), html, out),
    }
    Ok(())
}

fn fields(object: &Struct, html: bool, first: &mut bool, out: &mut String) -> Result<(), Unsupported> {
    for (at, (field, value)) in object.ty.fields.iter().zip(&object.fields).enumerate() {
        if let (0, true, Value::Struct(inner)) = (at, object.ty.embeds, value) {
            fields(inner, html, first, out)?;
            continue;
        }
        let empty = match value {
            Value::Struct(_) | Value::Time(_) | Value::Version(_) => false,
            other => !other.truth(),
        };
        if field.omit && empty {
            continue;
        }
        if !std::mem::take(first) {
            out.push(',');
        }
        string(field.json.as_bytes(), html, out);
        out.push(':');
        write(value, html, out)?;
    }
    Ok(())
}

/// A float as JSON holds it: an exponent below 1e-6 and from 1e21 on.
pub fn number_text(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // `e-09` is written `e-9`.
        return float::format(number, b'e', -1).replace("e-0", "e-");
    }
    float::format(number, b'f', -1)
}

fn string(bytes: &[u8], html: bool, out: &mut String) {
    out.push('"');
    for (_, char, length) in text::chars(bytes) {
        match char {
            '\u{fffd}' if length == 1 => out.push_str("\\ufffd"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' if html => {
                let _ = write!(out, "\\u{:04x}", char as u32);
            }
            '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", char as u32);
            }
            char if (char as u32) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", char as u32);
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

/// `json.Indent` of compact text.
fn indent(compact: &str) -> String {
    let mut out = String::with_capacity(compact.len() * 2);
    let mut depth = 0usize;
    let mut inside = false;
    let mut escaped = false;
    let mut chars = compact.chars().peekable();
    let line = |depth: usize, out: &mut String| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(char) = chars.next() {
        if inside {
            out.push(char);
            (inside, escaped) = (escaped || char != '"', !escaped && char == '\\');
            continue;
        }
        match char {
            '"' => {
                inside = true;
                out.push(char);
            }
            '{' | '[' => {
                out.push(char);
                let close = if char == '{' { '}' } else { ']' };
                if let Some(close) = chars.next_if_eq(&close) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(depth, &mut out);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(depth, &mut out);
                out.push(char);
            }
            ',' => {
                out.push(char);
                line(depth, &mut out);
            }
            ':' => out.push_str(": "),
            char => out.push(char),
        }
    }
    out
}

/// `json.Unmarshal` into an `interface {}`: one value and nothing after it. Errors have Go's texts.
pub fn decode(bytes: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    let value = reader.value()?;
    reader.space();
    match reader.bytes.get(reader.at) {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("after top-level value")),
    }
}

/// Decodes one value at the start and tells where it ends.
pub fn decode_prefix(bytes: &[u8]) -> Result<(Value, usize), String> {
    let mut reader = Reader { bytes, at: 0, depth: 0 };
    reader.space();
    if reader.at == bytes.len() {
        return Err("EOF".into());
    }
    let value = reader.value()?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, context: &str) -> String {
        match self.bytes.get(self.at) {
            None => "unexpected end of JSON input".into(),
            Some(b'\'') => format!("invalid character '\\'' {context}"),
            Some(b'"') => format!("invalid character '\"' {context}"),
            Some(byte) => {
                let quoted = super::quote::quote_char(*byte as char);
                format!("invalid character {quoted} {context}")
            }
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        self.space();
        self.depth += 1;
        if self.depth > 10_000 {
            return Err("exceeded max depth".into());
        }
        let value = match self.bytes.get(self.at) {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => Ok(Value::Str(self.string()?)),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Nil),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        };
        self.depth -= 1;
        value
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, String> {
        for (at, expected) in word.bytes().enumerate() {
            if self.bytes.get(self.at) != Some(&expected) {
                return Err(self.unexpected(&format!(
                    "in literal {word} (expecting {})",
                    super::quote::quote_char(expected as char)
                )));
            }
            let _ = at;
            self.at += 1;
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if !self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
            self.digits();
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
            self.digits();
        }
        let literal = String::from_utf8_lossy(&self.bytes[start..self.at]);
        match literal.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(format!("json: cannot unmarshal number {literal} into Go value of type float64")),
        }
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }

    fn array(&mut self) -> Result<Value, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value()?);
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::list(items));
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        self.at += 1;
        let mut fields: BTreeMap<Str, Value> = BTreeMap::new();
        self.space();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Value::Map(Map::new(MapType::Any)));
        }
        loop {
            self.space();
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.space();
            if self.bytes.get(self.at) != Some(&b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            fields.insert(key, self.value()?);
            self.space();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Map(Map::of(MapType::Any, fields)));
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    fn string(&mut self) -> Result<Str, String> {
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text::decode(&out).into());
                }
                Some(b'\\') => {
                    self.at += 1;
                    let simple = match self.bytes.get(self.at) {
                        Some(b'n') => b'\n',
                        Some(b't') => b'\t',
                        Some(b'r') => b'\r',
                        Some(b'b') => 8,
                        Some(b'f') => 12,
                        Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
                        Some(b'u') => {
                            let char = self.unicode()?;
                            out.extend_from_slice(char.to_string().as_bytes());
                            continue;
                        }
                        _ => return Err(self.unexpected("in string escape code")),
                    };
                    out.push(simple);
                    self.at += 1;
                }
                Some(byte) if *byte >= 0x20 => {
                    out.push(*byte);
                    self.at += 1;
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn hex4(&mut self) -> Result<u32, String> {
        self.at += 1;
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.bytes.get(self.at).and_then(|byte| (*byte as char).to_digit(16)) else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex4()?;
        if (0xd800..0xdc00).contains(&high) && self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
            let back = self.at;
            self.at += 1;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at = back;
        }
        Ok(char::from_u32(high).unwrap_or('\u{fffd}'))
    }
}
