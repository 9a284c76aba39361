//! Numbers and dates, which begin alike.

use super::super::cursor::Read;
use super::{LOCAL, Reader, TIMES, Token, shown_char};
use crate::go::time::{self, Time, Zone};
use crate::go::{Value, float, quote};

impl Reader<'_> {
    pub(super) fn signed(&mut self) -> Read<Value> {
        match self.cursor.next()? {
            first @ ('i' | 'n') => {
                let rest = if first == 'i' { ['n', 'f'] } else { ['a', 'n'] };
                if !self.cursor.accept(rest[0])? || !self.cursor.accept(rest[1])? {
                    return self.cursor.fault(format!("invalid float: '{}'", self.cursor.current()));
                }
                self.float()
            }
            '0' if matches!(self.cursor.peek()?, 'b' | 'o' | 'x') => {
                let kind = self.cursor.peek()?;
                let current = self.cursor.current();
                self.cursor.fault(format!("cannot use sign with non-decimal numbers: '{current}{kind}'"))
            }
            '0'..='9' => self.decimal(),
            '.' => self.cursor.fault("floats must start with a digit, not '.'"),
            other => self.cursor.fault(format!("expected a digit but got {}", shown_char(other))),
        }
    }

    pub(super) fn decimal(&mut self) -> Read<Value> {
        self.cursor.take(|char| char.is_ascii_digit() || char == '_')?;
        match self.cursor.peek()? {
            '.' | 'e' | 'E' => self.long_float(),
            _ => self.integer(),
        }
    }

    pub(super) fn long_float(&mut self) -> Read<Value> {
        self.cursor
            .take(|char| char.is_ascii_digit() || matches!(char, '_' | '.' | '-' | '+' | 'e' | 'E'))?;
        self.float()
    }

    pub(super) fn number_or_date(&mut self, first: char) -> Read<Value> {
        if first == '0' {
            let of: (&str, fn(char) -> bool) = match self.cursor.peek()? {
                '0'..='9' => ("", |_| false),
                'b' => ("a binary", |char| matches!(char, '0' | '1')),
                'o' => ("an octal", |char| matches!(char, '0'..='7')),
                'x' => ("a hexadecimal", |char| char.is_ascii_hexdigit()),
                _ => return self.decimal(),
            };
            if !of.0.is_empty() {
                self.cursor.next()?;
                let next = self.cursor.peek()?;
                if !of.1(next) {
                    let current = self.cursor.current();
                    return self.cursor.fault(format!("not {} number: '{current}{next}'", of.0));
                }
                self.cursor.take(|char| of.1(char) || char == '_')?;
                return self.integer();
            }
        }
        self.cursor.take(|char| char.is_ascii_digit())?;
        match self.cursor.peek()? {
            '-' | ':' => self.date(),
            '_' => self.decimal(),
            '.' | 'e' | 'E' => self.long_float(),
            _ => self.integer(),
        }
    }

    pub(super) fn integer(&mut self) -> Read<Value> {
        let Token { text, line } = self.token();
        let fault = |reason: &str| {
            Err((line, format!("Invalid integer {}: {reason}", quote::quote(text.as_bytes()))))
        };
        if !underscores_stand_between(&text) {
            return fault("underscores must be surrounded by digits");
        }
        if leads_with_zero(&text) {
            return fault("cannot have leading zeroes");
        }
        match float::parse_int(&text, 0) {
            Some(number) => Ok(Value::Int64(number)),
            None => Err((line, format!("{text} is out of range for int64"))),
        }
    }

    pub(super) fn float(&mut self) -> Read<Value> {
        let Token { text, line } = self.token();
        let quoted = quote::quote(text.as_bytes());
        let fault = |reason: &str| Err((line, format!("Invalid float {quoted}: {reason}")));
        let mut parts = text.split(['.', 'e', 'E']).filter(|part| !part.is_empty()).peekable();
        let first = parts.peek().copied().unwrap_or_default();
        if !parts.all(underscores_stand_between) {
            return fault("underscores must be surrounded by digits");
        }
        if leads_with_zero(first) {
            return fault("cannot have leading zeroes");
        }
        if text.split('.').skip(1).any(|part| !part.starts_with(|char: char| char.is_ascii_digit())) {
            return fault("'.' must be followed by one or more digits");
        }
        let plain = text.replace('_', "");
        match plain.as_str() {
            "nan" | "+nan" => return Ok(Value::Float(f64::NAN)),
            "-nan" => return Ok(Value::Float(-f64::NAN)),
            _ => {}
        }
        match float::parse(&plain) {
            Some(number) => Ok(Value::Float(number)),
            None if plain.parse::<f64>().is_ok() => {
                Err((line, format!("{text} is out of range for float64")))
            }
            None => Err((line, format!("Invalid float value: {quoted}"))),
        }
    }

    pub(super) fn date(&mut self) -> Read<Value> {
        self.cursor.take(|char| {
            char.is_ascii_digit() || matches!(char, '-' | ':' | 'T' | 't' | ' ' | '.' | 'Z' | 'z' | '+')
        })?;
        let Token { text, line } = self.token();
        let text = text.trim().replace('z', "Z").replace(['t', ' '], "T");
        let fault = || Err((line, format!("invalid datetime: {}", quote::quote(text.as_bytes()))));
        for (layout, local) in TIMES {
            let zone = local.map_or(Zone::Utc, |at| Zone::Fixed(LOCAL[at].0.into(), 0));
            let Ok(read) = time::parse(layout, &text, &zone) else { continue };
            return if lacks_zero(&text, layout) { fault() } else { Ok(time_value(read)) };
        }
        fault()
    }
}

pub(super) fn time_value(time: Time) -> Value {
    Value::Time(std::rc::Rc::new(time))
}

/// Go reads numbers of a layout without their leading zeros, which TOML does not allow: then a separator is not in its place.
fn lacks_zero(text: &str, layout: &str) -> bool {
    let layout = layout.bytes().take_while(|byte| !matches!(byte, b'.' | b'Z'));
    layout.zip(text.bytes()).any(|(wanted, found)| !wanted.is_ascii_digit() && wanted != found)
}

fn leads_with_zero(text: &str) -> bool {
    match text.as_bytes() {
        [b'0', next, ..] => !matches!(next, b'b' | b'o' | b'x'),
        [b'-' | b'+', b'0', _, ..] => true,
        _ => false,
    }
}

fn underscores_stand_between(text: &str) -> bool {
    if matches!(text.trim_start_matches(['+', '-']), "nan" | "inf") {
        return true;
    }
    let mut fits = false;
    for char in text.chars() {
        if char == '_' && !fits {
            return false;
        }
        fits = char.is_ascii_hexdigit();
    }
    fits
}
