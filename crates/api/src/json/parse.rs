//! The parser: one pass over the text, no token stream.

use std::borrow::Cow;
use std::collections::HashMap;

use smol_str::SmolStr;

use super::{Error, MAX_DEPTH};
use crate::{Map, Value};

/// What [`parse_all`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    pub value: Value,
    /// Some object held a key twice (the last one won); [`duplicates`] names them.
    pub doubled: bool,
}

/// The value in `bytes`; of doubled keys the last wins.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    parse_all(bytes).map(|parsed| parsed.value)
}

/// The value in `bytes`, and whether a key was doubled somewhere.
pub fn parse_all(bytes: &[u8]) -> Result<Parsed, Error> {
    let text = utf8(bytes);
    let mut parser = Parser { text: &text, bytes: text.as_bytes(), at: 0, doubled: false, paths: None };
    let value = parser.document()?;
    Ok(Parsed { value, doubled: parser.doubled })
}

/// The paths of doubled keys, each once, as strict decoding names them: `spec.ports[0].name`. Slower than [`parse`];
/// for texts of which `parse_all` said that there are some.
pub fn duplicates(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let text = utf8(bytes);
    let paths = Some(Paths::default());
    let mut parser = Parser { text: &text, bytes: text.as_bytes(), at: 0, doubled: false, paths };
    parser.document()?;
    Ok(parser.paths.map(|paths| paths.found).unwrap_or_default())
}

fn utf8(bytes: &[u8]) -> Cow<'_, str> {
    // The check of the whole is several times faster than the search for what is wrong.
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Where the parser is, kept only when doubled keys are to be named.
#[derive(Default)]
struct Paths {
    here: String,
    found: Vec<String>,
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    doubled: bool,
    paths: Option<Paths>,
}

/// Above this many keys, doubled ones are looked for by hash.
const MANY: usize = 24;

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, Error> {
        let value = self.value(0)?;
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.unexpected("after top-level value")),
        }
    }

    /// The next byte that is no space, not consumed.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    #[cold]
    fn unexpected(&self, what: impl Into<String>) -> Error {
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => Error::Character { found, what: what.into(), offset: self.at },
            None => Error::End,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(Value::String(self.string()?))
            }
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn literal(&mut self, text: &str, value: Value) -> Result<Value, Error> {
        for expected in text.chars() {
            if self.bytes.get(self.at) != Some(&(expected as u8)) {
                return Err(self.unexpected(format!("in literal {text} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at > start
    }

    fn number(&mut self) -> Result<Value, Error> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else if !self.digits() {
            return Err(self.unexpected("in numeric literal"));
        }
        let mut whole = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            whole = false;
            if !self.digits() {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            whole = false;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            if !self.digits() {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
        }
        let text = &self.text[start..self.at];
        if whole && let Ok(number) = text.parse() {
            return Ok(Value::Int(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(Error::Number(text.into())),
        }
    }

    /// A string whose opening quote is consumed.
    fn string(&mut self) -> Result<SmolStr, Error> {
        let start = self.at;
        let stop = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
        let rest = &self.bytes[start..];
        self.at += rest.iter().position(|&byte| stop(byte)).unwrap_or(rest.len());
        if self.bytes.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(SmolStr::new(&self.text[start..self.at - 1]));
        }
        let mut out = String::from(&self.text[start..self.at]);
        loop {
            let plain = self.at;
            let rest = &self.bytes[plain..];
            self.at += rest.iter().position(|&byte| stop(byte)).unwrap_or(rest.len());
            out.push_str(&self.text[plain..self.at]);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(SmolStr::from(out));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let escape = self.escape()?;
                    out.push(escape);
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    /// The character of an escape whose backslash is consumed. Half a surrogate pair becomes U+FFFD, as in Go.
    fn escape(&mut self) -> Result<char, Error> {
        let plain = match self.bytes.get(self.at) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let first = self.hex()?;
                if (0xd800..0xdc00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
                    let back = self.at;
                    self.at += 2;
                    let second = self.hex()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Ok(char::from_u32(joined).unwrap_or('\u{fffd}'));
                    }
                    self.at = back;
                }
                return Ok(char::from_u32(first).unwrap_or('\u{fffd}'));
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.bytes.get(self.at).and_then(|&byte| char::from(byte).to_digit(16));
            let digit = digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn array(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::Depth);
        }
        self.at += 1;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            let back = self.enter(|here| here.push_str(&format!("[{}]", items.len())));
            items.push(self.value(depth)?);
            self.leave(back);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.unexpected("after array element")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::Depth);
        }
        self.at += 1;
        let mut fields: Vec<(SmolStr, Value)> = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::object());
        }
        // Clients mostly send sorted keys: then a key above the last one is new, and no search is needed.
        let mut sorted = true;
        let mut known: HashMap<SmolStr, usize> = HashMap::new();
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            self.at += 1;
            let key = self.string()?;
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            let back = self.enter(|here| {
                if !here.is_empty() {
                    here.push('.');
                }
                here.push_str(&key);
            });
            let above = fields.last().is_none_or(|(last, _)| *last < key);
            let place = if sorted && above {
                None
            } else {
                sorted = false;
                if fields.len() < MANY {
                    fields.iter().position(|(name, _)| *name == key)
                } else {
                    for (at, (name, _)) in fields.iter().enumerate().skip(known.len()) {
                        known.insert(name.clone(), at);
                    }
                    known.get(&key).copied()
                }
            };
            if place.is_some() {
                self.doubled = true;
                if let Some(paths) = &mut self.paths
                    && !paths.found.contains(&paths.here)
                    && paths.found.len() < 100
                {
                    paths.found.push(paths.here.clone());
                }
            }
            let value = self.value(depth)?;
            self.leave(back);
            match place {
                Some(at) => fields[at].1 = value,
                None => fields.push((key, value)),
            }
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(Map::from_distinct(fields)));
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    fn enter(&mut self, add: impl FnOnce(&mut String)) -> usize {
        match &mut self.paths {
            Some(paths) => {
                let back = paths.here.len();
                add(&mut paths.here);
                back
            }
            None => 0,
        }
    }
    fn leave(&mut self, back: usize) {
        if let Some(paths) = &mut self.paths {
            paths.here.truncate(back);
        }
    }
}
