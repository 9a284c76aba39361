//! Go's `fmt`: `Sprint`, `Sprintf`, `Sprintln` over [`Value`]s.
//!
//! Pointers inside other values, which Go prints as addresses, are printed as `0xc000000000`: nobody can depend on them.

use super::value::{Sized, Struct};
use super::{Value, float, quote, text};

/// `fmt.Sprint`: a space between two operands of which neither is a string.
pub fn sprint(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before_is_string = true;
    for (at, value) in values.iter().enumerate() {
        let is_string = matches!(value, Value::Str(_));
        if at > 0 && !is_string && !before_is_string {
            out.push(b' ');
        }
        print(value, &mut out);
        before_is_string = is_string;
    }
    out
}

/// `fmt.Sprintln`.
pub fn sprintln(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        print(value, &mut out);
    }
    out.push(b'\n');
    out
}

/// A value as `%v`.
pub fn print(value: &Value, out: &mut Vec<u8>) {
    Verb::plain('v').value(value, 0, out);
}

/// A value as `%v`, as text.
pub fn display(value: &Value) -> String {
    let mut out = Vec::new();
    print(value, &mut out);
    text::decode(&out).into_owned()
}

#[derive(Clone, Copy, Default)]
struct Verb {
    char: char,
    width: Option<usize>,
    precision: Option<usize>,
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    plus_v: bool,
    sharp_v: bool,
}

/// `fmt.Sprintf`.
pub fn sprintf(format: &[u8], values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut next = 0;
    let mut reordered = false;
    while at < format.len() {
        let start = at;
        while at < format.len() && format[at] != b'%' {
            at += 1;
        }
        out.extend_from_slice(&format[start..at]);
        if at >= format.len() {
            break;
        }
        at += 1;
        let mut verb = Verb::default();
        while at < format.len() {
            match format[at] {
                b'#' => verb.sharp = true,
                b'0' => verb.zero = true,
                b'+' => verb.plus = true,
                b'-' => verb.minus = true,
                b' ' => verb.space = true,
                _ => break,
            }
            at += 1;
        }
        let mut good = true;
        let mut index = false;
        argument_number(format, &mut at, &mut next, values.len(), &mut good, &mut reordered, &mut index);
        if format.get(at) == Some(&b'*') {
            at += 1;
            match values.get(next).and_then(Value::as_int).filter(|width| width.abs() <= 1_000_000) {
                Some(width) => {
                    verb.minus |= width < 0;
                    verb.zero &= width >= 0;
                    verb.width = Some(width.unsigned_abs() as usize);
                }
                None => out.extend_from_slice(b"%!(BADWIDTH)"),
            }
            next += usize::from(next < values.len());
            index = false;
        } else if let Some(width) = number(format, &mut at) {
            verb.width = Some(width);
            good &= !index;
        }
        if format.get(at) == Some(&b'.') {
            at += 1;
            good &= !index;
            argument_number(format, &mut at, &mut next, values.len(), &mut good, &mut reordered, &mut index);
            if format.get(at) == Some(&b'*') {
                at += 1;
                match values.get(next).and_then(Value::as_int).filter(|width| (0..=1_000_000).contains(width))
                {
                    Some(width) => verb.precision = Some(width as usize),
                    None if values.get(next).and_then(Value::as_int).is_some_and(|width| width < 0) => {
                        verb.precision = None;
                        out.extend_from_slice(b"%!(BADPREC)");
                    }
                    None => out.extend_from_slice(b"%!(BADPREC)"),
                }
                next += usize::from(next < values.len());
                index = false;
            } else {
                verb.precision = Some(number(format, &mut at).unwrap_or(0));
            }
        }
        if !index {
            argument_number(format, &mut at, &mut next, values.len(), &mut good, &mut reordered, &mut index);
        }
        let Some((char, length)) = text::first(&format[at..]) else {
            out.extend_from_slice(b"%!(NOVERB)");
            break;
        };
        at += length;
        let _ = index;
        verb.char = char;
        if char == '%' {
            out.push(b'%');
        } else if !good {
            out.extend_from_slice(format!("%!{char}(BADINDEX)").as_bytes());
        } else if let Some(value) = values.get(next) {
            next += 1;
            if char == 'v' {
                verb.plus_v = std::mem::take(&mut verb.plus);
                verb.sharp_v = std::mem::take(&mut verb.sharp);
            }
            verb.argument(value, &mut out);
        } else {
            out.extend_from_slice(format!("%!{char}(MISSING)").as_bytes());
        }
    }
    if !reordered && next < values.len() {
        out.extend_from_slice(b"%!(EXTRA ");
        for (at, value) in values[next..].iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            if matches!(value, Value::Nil) {
                out.extend_from_slice(b"<nil>");
            } else {
                out.extend_from_slice(value.type_name().as_bytes());
                out.push(b'=');
                print(value, &mut out);
            }
        }
        out.push(b')');
    }
    out
}

fn number(format: &[u8], at: &mut usize) -> Option<usize> {
    let start = *at;
    while format.get(*at).is_some_and(u8::is_ascii_digit) {
        *at += 1;
    }
    let text = std::str::from_utf8(&format[start..*at]).ok()?;
    text.parse().ok().filter(|number| *number <= 1_000_000)
}

/// `[3]` before a verb, a width or a precision.
fn argument_number(
    format: &[u8],
    at: &mut usize,
    next: &mut usize,
    count: usize,
    good: &mut bool,
    reordered: &mut bool,
    found: &mut bool,
) {
    if format.get(*at) != Some(&b'[') {
        return;
    }
    *reordered = true;
    let Some(end) = format[*at..].iter().position(|byte| *byte == b']') else {
        *good = false;
        *at += 1;
        return;
    };
    let inside =
        std::str::from_utf8(&format[*at + 1..*at + end]).ok().and_then(|text| text.parse::<usize>().ok());
    *at += end + 1;
    match inside {
        Some(number) if (1..=count).contains(&number) => {
            *next = number - 1;
            *found = true;
        }
        _ => *good = false,
    }
}

impl Verb {
    fn plain(char: char) -> Verb {
        Verb { char, ..Verb::default() }
    }

    fn argument(self, value: &Value, out: &mut Vec<u8>) {
        match self.char {
            'T' => self.text(value.type_name().as_bytes(), out),
            'p' => self.bad(value, out),
            _ => self.value(value, 0, out),
        }
    }

    fn bad(self, value: &Value, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("%!{}(", self.char).as_bytes());
        if matches!(value, Value::Nil) {
            out.extend_from_slice(b"<nil>");
        } else {
            out.extend_from_slice(value.type_name().as_bytes());
            out.push(b'=');
            Verb::plain('v').value(value, 0, out);
        }
        out.push(b')');
    }

    fn value(self, value: &Value, depth: usize, out: &mut Vec<u8>) {
        // What has a String method prints itself for the verbs of strings.
        if matches!(self.char, 'v' | 's' | 'q' | 'x' | 'X') && !self.sharp_v {
            let own = match value {
                Value::Time(time) => Some(time.to_string()),
                Value::Version(version) => Some(version.to_string()),
                Value::Sized(Sized::Duration, nanoseconds) => Some(api::time::duration::format(*nanoseconds)),
                Value::Sized(Sized::Month, month) => Some(super::time::month_name(*month)),
                Value::Sized(Sized::Weekday, day) => Some(super::time::weekday_name(*day)),
                _ => None,
            };
            if let Some(own) = own {
                return self.string(own.as_bytes(), out);
            }
        }
        match value {
            Value::Nil if self.char == 'v' => {
                let text: &[u8] = if self.sharp_v && depth > 0 { b"interface {}(nil)" } else { b"<nil>" };
                self.text(text, out);
            }
            Value::Nil if depth > 0 => out.extend_from_slice(b"<nil>"),
            Value::Nil => self.bad(value, out),
            Value::Bool(flag) => match self.char {
                't' | 'v' => self.text(if *flag { b"true" } else { b"false" }, out),
                _ => self.bad(value, out),
            },
            Value::Int(number) | Value::Int64(number) => self.integer(value, *number, false, out),
            Value::Sized(Sized::Uint8 | Sized::Uint32 | Sized::Uint64, number) => {
                self.integer(value, *number, true, out);
            }
            Value::Sized(_, number) => self.integer(value, *number, false, out),
            Value::Float(number) => self.float(value, *number, out),
            Value::Str(text) => match self.char {
                'v' if self.sharp_v => self.text(quote::quote(text.bytes()).as_bytes(), out),
                'v' | 's' | 'q' | 'x' | 'X' => self.string(text.bytes(), out),
                _ => self.bad(value, out),
            },
            Value::Bytes(bytes) => match self.char {
                's' | 'q' | 'x' | 'X' => self.string(bytes.bytes(), out),
                _ => self.list(value, depth, out),
            },
            Value::List(_) => self.list(value, depth, out),
            Value::Map(_) => self.map(value, depth, out),
            Value::Struct(object) => self.structure(object, depth, out),
            Value::Time(time) => self.text(time.to_string().as_bytes(), out),
            Value::Version(version) => self.text(version.to_string().as_bytes(), out),
        }
    }

    fn list(self, value: &Value, depth: usize, out: &mut Vec<u8>) {
        let Some(_inside) = value.enter() else { return };
        let Some(items) = value.elements() else { return };
        if self.sharp_v {
            out.extend_from_slice(value.type_name().replace("uint8", "byte").as_bytes());
            if value.is_nil() {
                out.extend_from_slice(b"(nil)");
                return;
            }
            out.push(b'{');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                match (value, item) {
                    (Value::Bytes(_), Value::Sized(_, byte)) => {
                        out.extend_from_slice(format!("0x{byte:x}").as_bytes());
                    }
                    _ => self.value(item, depth + 1, out),
                }
            }
            out.push(b'}');
            return;
        }
        out.push(b'[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            self.value(item, depth + 1, out);
        }
        out.push(b']');
    }

    fn map(self, value: &Value, depth: usize, out: &mut Vec<u8>) {
        let Value::Map(map) = value else { return };
        let Some(_inside) = value.enter() else { return };
        if self.sharp_v {
            out.extend_from_slice(value.type_name().as_bytes());
            if map.is_nil() {
                out.extend_from_slice(b"(nil)");
                return;
            }
            out.push(b'{');
        } else {
            out.extend_from_slice(b"map[");
        }
        for (at, (key, item)) in map.entries().iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(if self.sharp_v { b", " } else { b" " });
            }
            self.value(&Value::Str(key.clone()), depth + 1, out);
            out.push(b':');
            self.value(item, depth + 1, out);
        }
        out.push(if self.sharp_v { b'}' } else { b']' });
    }

    fn structure(self, object: &Struct, depth: usize, out: &mut Vec<u8>) {
        if object.pointer && depth > 0 {
            out.extend_from_slice(b"0xc000000000");
            return;
        }
        if object.pointer {
            out.push(b'&');
        }
        if self.sharp_v {
            out.extend_from_slice(object.ty.name.as_bytes());
        }
        out.push(b'{');
        for (at, (field, value)) in object.ty.fields.iter().zip(&object.fields).enumerate() {
            if at > 0 {
                out.extend_from_slice(if self.sharp_v { b", " } else { b" " });
            }
            if self.plus_v || self.sharp_v {
                out.extend_from_slice(field.go.as_bytes());
                out.push(b':');
            }
            self.value(value, depth + 1, out);
        }
        out.push(b'}');
    }

    fn string(self, bytes: &[u8], out: &mut Vec<u8>) {
        if !super::walk::bytes(bytes.len()) {
            return;
        }
        let cut = match self.precision {
            Some(most) => {
                let end = text::chars(bytes).nth(most).map_or(bytes.len(), |(at, ..)| at);
                &bytes[..if matches!(self.char, 'x' | 'X') { most.min(bytes.len()) } else { end }]
            }
            None => bytes,
        };
        match self.char {
            'q' => {
                let text = if self.sharp && !cut.contains(&b'`') && std::str::from_utf8(cut).is_ok() {
                    format!("`{}`", text::decode(cut))
                } else {
                    quote::quote_with(cut, self.plus)
                };
                self.text(text.as_bytes(), out);
            }
            'x' | 'X' => {
                let mut hex = String::new();
                for (at, byte) in cut.iter().enumerate() {
                    if self.space && at > 0 {
                        hex.push(' ');
                    }
                    if self.sharp && (at == 0 || self.space) {
                        hex.push_str(if self.char == 'X' { "0X" } else { "0x" });
                    }
                    hex.push_str(&if self.char == 'X' {
                        format!("{byte:02X}")
                    } else {
                        format!("{byte:02x}")
                    });
                }
                self.text(hex.as_bytes(), out);
            }
            _ => self.text(cut, out),
        }
    }

    fn integer(self, value: &Value, number: i64, unsigned: bool, out: &mut Vec<u8>) {
        let magnitude = if unsigned { number as u64 } else { number.unsigned_abs() };
        let negative = !unsigned && number < 0;
        let digits = match self.char {
            'v' if self.sharp_v && unsigned => return self.text(format!("0x{magnitude:x}").as_bytes(), out),
            'v' | 'd' => format!("{magnitude}"),
            'b' => format!("{magnitude:b}"),
            'o' | 'O' => format!("{magnitude:o}"),
            'x' => format!("{magnitude:x}"),
            'X' => format!("{magnitude:X}"),
            'c' => return self.text(rune(magnitude, negative).to_string().as_bytes(), out),
            'q' => return self.text(quote::quote_char(rune(magnitude, negative)).as_bytes(), out),
            'U' => {
                let mut text = format!("U+{magnitude:04X}");
                if self.sharp {
                    text.push_str(&format!(" '{}'", rune(magnitude, negative)));
                }
                return self.text(text.as_bytes(), out);
            }
            _ => return self.bad(value, out),
        };
        let mut digits = digits;
        match self.precision {
            Some(0) if number == 0 => return self.pad(b"", b"", false, out),
            Some(least) if digits.len() < least => digits = format!("{digits:0>least$}"),
            _ => {}
        }
        let mut prefix = String::new();
        if negative {
            prefix.push('-');
        } else if self.plus {
            prefix.push('+');
        } else if self.space {
            prefix.push(' ');
        }
        match self.char {
            'x' if self.sharp => prefix.push_str("0x"),
            'X' if self.sharp => prefix.push_str("0X"),
            'b' if self.sharp => prefix.push_str("0b"),
            'o' if self.sharp && !digits.starts_with('0') => prefix.push('0'),
            'O' => prefix.push_str("0o"),
            _ => {}
        }
        // Zeros for a width count as digits, so they come after the sign; a prefix of a base is not counted.
        if let (true, Some(width), None, false) = (self.zero, self.width, self.precision, self.minus) {
            let sign = usize::from(prefix.starts_with(['-', '+', ' ']));
            let least = width.saturating_sub(sign);
            if digits.len() < least {
                digits = format!("{digits:0>least$}");
            }
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(digits.as_bytes());
            return;
        }
        self.pad(prefix.as_bytes(), digits.as_bytes(), false, out);
    }

    fn float(self, value: &Value, number: f64, out: &mut Vec<u8>) {
        let (verb, precision) = match self.char {
            'v' => (b'g', -1),
            'e' | 'E' => (self.char as u8, 6),
            'f' | 'F' => (b'f', 6),
            'g' | 'G' => (self.char as u8, -1),
            'b' | 'x' | 'X' => (b'g', -1),
            _ => return self.bad(value, out),
        };
        let precision = self.precision.map_or(precision, |precision| precision as i32);
        let mut digits = float::format(number, verb, precision);
        let mut sign = String::new();
        if let Some(rest) = digits.strip_prefix(['-', '+']) {
            // Infinity alone keeps a sign that nobody asked for.
            if digits.starts_with('-') || self.plus || rest == "Inf" && !self.space {
                sign.push_str(&digits[..1]);
            }
            digits = rest.to_string();
        } else if self.plus {
            sign.push('+');
        }
        if sign.is_empty() && self.space {
            sign.push(' ');
        }
        let finite = number.is_finite();
        self.pad(sign.as_bytes(), digits.as_bytes(), finite, out);
    }

    /// `zeros`: a width may be filled with zeros between prefix and digits.
    fn pad(self, prefix: &[u8], digits: &[u8], zeros: bool, out: &mut Vec<u8>) {
        let length = prefix.len() + digits.len();
        let fill = self.width.unwrap_or(0).saturating_sub(length);
        if self.zero && !self.minus && zeros {
            out.extend_from_slice(prefix);
            out.extend(std::iter::repeat_n(b'0', fill));
            out.extend_from_slice(digits);
            return;
        }
        if !self.minus {
            out.extend(std::iter::repeat_n(b' ', fill));
        }
        out.extend_from_slice(prefix);
        out.extend_from_slice(digits);
        if self.minus {
            out.extend(std::iter::repeat_n(b' ', fill));
        }
    }

    fn text(self, bytes: &[u8], out: &mut Vec<u8>) {
        let fill = self.width.map_or(0, |width| width.saturating_sub(text::chars(bytes).count()));
        if !self.minus {
            out.extend(std::iter::repeat_n(if self.zero { b'0' } else { b' ' }, fill));
        }
        out.extend_from_slice(bytes);
        if self.minus {
            out.extend(std::iter::repeat_n(b' ', fill));
        }
    }
}

fn rune(magnitude: u64, negative: bool) -> char {
    u32::try_from(magnitude).ok().filter(|_| !negative).and_then(char::from_u32).unwrap_or('\u{fffd}')
}
