//! Helm's TOML functions, as BurntSushi/toml prints and reads: keys sorted, tables indented by two blanks a level.
//!
//! Reading knows what charts use: tables, arrays of tables, dotted keys, all strings, numbers and booleans. A date stays a text.

use super::{Entries, made, str};
use crate::go::{List, ListType, Map, MapType, Str, Value, float};
use crate::template::function;

pub fn all() -> Entries {
    vec![
        (
            "toToml",
            function("a", |frame, a| match encode(&a[0]) {
                _ if matches!(a[0], Value::Nil) => {
                    Err("reflect: call of reflect.Value.Type on zero Value".into())
                }
                Ok(text) => made(frame, text),
                Err(error) => Ok(error.into()),
            }),
        ),
        (
            "fromToml",
            function("s", |_, a| {
                let out = Map::new(MapType::Any);
                let text = str(a, 0);
                if let Err(error) = Reader::new(&text.text()).read(&out) {
                    let fault = Map::new(MapType::Any);
                    fault.put("Error", error.into());
                    return Ok(Value::Map(fault));
                }
                Ok(Value::Map(out))
            }),
        ),
    ]
}

fn encode(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    let Value::Map(map) = value else {
        inline(value, &mut out)?;
        return Ok(out);
    };
    table(map, &mut Vec::new(), &mut out)?;
    Ok(out)
}

/// Whether a value is written as a table of its own, or several.
fn is_table(value: &Value) -> bool {
    matches!(value, Value::Map(_)) || is_tables(value)
}

fn is_tables(value: &Value) -> bool {
    match value {
        Value::List(list) => !list.is_empty() && list.iter().all(|item| matches!(item, Value::Map(_))),
        _ => false,
    }
}

fn table(map: &Map, path: &mut Vec<String>, out: &mut String) -> Result<(), String> {
    let indent = "  ".repeat(path.len());
    let entries = map.entries();
    for (key, value) in entries.iter().filter(|(_, value)| !is_table(value) && !value.is_nil()) {
        out.push_str(&format!("{indent}{} = ", name(key)));
        inline(value, out)?;
        out.push('\n');
    }
    for (key, value) in entries.iter().filter(|(_, value)| is_table(value)) {
        path.push(name(key));
        let head = "  ".repeat(path.len() - 1);
        let before = |out: &mut String, top: bool| {
            if top && !out.is_empty() {
                out.push('\n');
            }
        };
        let top = path.len() == 1;
        match value {
            Value::Map(inner) => {
                before(out, top);
                out.push_str(&format!("{head}[{}]\n", path.join(".")));
                table(inner, path, out)?;
            }
            Value::List(list) => {
                for item in list.iter() {
                    before(out, !out.is_empty());
                    out.push_str(&format!("{head}[[{}]]\n", path.join(".")));
                    if let Value::Map(inner) = item {
                        table(inner, path, out)?;
                    }
                }
            }
            _ => {}
        }
        path.pop();
    }
    Ok(())
}

fn name(key: &Str) -> String {
    let bare = !key.is_empty()
        && key.bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { key.text().into_owned() } else { quoted(&key.text()) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            char if (char as u32) < 0x20 || char == '\u{7f}' => {
                out.push_str(&format!("\\u{:04x}", char as u32))
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

fn inline(value: &Value, out: &mut String) -> Result<(), String> {
    match value {
        Value::Bool(flag) => out.push_str(&flag.to_string()),
        Value::Int(number) | Value::Int64(number) | Value::Sized(_, number) => {
            out.push_str(&number.to_string())
        }
        Value::Float(number) => {
            let text = float::format(*number, b'g', -1);
            let whole = number.is_finite() && !text.contains(['.', 'e']);
            out.push_str(&text.to_lowercase().replace("+inf", "inf"));
            if whole {
                out.push_str(".0");
            }
        }
        Value::Str(text) => out.push_str(&quoted(&text.text())),
        Value::List(_) | Value::Bytes(_) => {
            out.push('[');
            for (at, item) in value.elements().unwrap_or_default().iter().enumerate() {
                if item.is_nil() {
                    return Err("toml: cannot encode array with nil element".into());
                }
                if at > 0 {
                    out.push_str(", ");
                }
                inline(item, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (at, (key, item)) in map.entries().iter().filter(|(_, item)| !item.is_nil()).enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                out.push_str(&format!("{} = ", name(key)));
                inline(item, out)?;
            }
            out.push('}');
        }
        Value::Time(time) => out.push_str(&time.rfc3339()),
        other => return Err(format!("toml: unsupported type: {}", other.type_name())),
    }
    Ok(())
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

type Read<T> = Result<T, String>;

impl Reader {
    fn new(text: &str) -> Reader {
        Reader { chars: text.replace("\r\n", "\n").chars().collect(), at: 0 }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek();
        self.at += usize::from(char.is_some());
        char
    }

    fn fault<T>(&self, text: &str) -> Read<T> {
        let line =
            1 + self.chars[..self.at.min(self.chars.len())].iter().filter(|char| **char == '\n').count();
        Err(format!("toml: line {line}: {text}"))
    }

    /// Blanks; with `lines`, comments and line ends too.
    fn space(&mut self, lines: bool) {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\n') if lines => self.at += 1,
                Some('#') if lines => {
                    while self.peek().is_some_and(|char| char != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn line_end(&mut self) -> Read<()> {
        self.space(false);
        if self.peek() == Some('#') {
            while self.peek().is_some_and(|char| char != '\n') {
                self.at += 1;
            }
        }
        match self.next() {
            None | Some('\n') => Ok(()),
            Some(other) => self.fault(&format!(
                "expected a top-level item to end with a newline, comment, or EOF, but got '{other}' instead"
            )),
        }
    }

    fn read(&mut self, root: &Map) -> Read<()> {
        let mut here = root.clone();
        loop {
            self.space(true);
            match self.peek() {
                None => return Ok(()),
                Some('[') => {
                    self.at += 1;
                    let several = self.peek() == Some('[');
                    self.at += usize::from(several);
                    let path = self.key()?;
                    for _ in 0..=usize::from(several) {
                        self.space(false);
                        if self.next() != Some(']') {
                            return self.fault("expected a ']' to end a table name");
                        }
                    }
                    self.line_end()?;
                    here = self.enter(root, &path, several)?;
                }
                Some(_) => {
                    self.pair(&here)?;
                    self.line_end()?;
                }
            }
        }
    }

    fn enter(&self, root: &Map, path: &[String], several: bool) -> Read<Map> {
        let mut here = root.clone();
        for (at, name) in path.iter().enumerate() {
            let last = at + 1 == path.len();
            let found = here.get(name.as_bytes());
            here = match found {
                Some(Value::List(list)) if last && several => {
                    let made = Map::new(MapType::Any);
                    let mut items = list.as_slice().to_vec();
                    items.push(Value::Map(made.clone()));
                    here.put(name.as_str(), Value::List(List::new(ListType::Any, items)));
                    made
                }
                None if last && several => {
                    let made = Map::new(MapType::Any);
                    here.put(name.as_str(), Value::list(vec![Value::Map(made.clone())]));
                    made
                }
                Some(Value::Map(map)) => map,
                Some(Value::List(list)) => match list.as_slice().last() {
                    Some(Value::Map(map)) => map.clone(),
                    _ => return self.fault(&format!("Key '{}' has already been defined.", path.join("."))),
                },
                None => {
                    let made = Map::new(MapType::Any);
                    here.put(name.as_str(), Value::Map(made.clone()));
                    made
                }
                Some(_) => return self.fault(&format!("Key '{}' has already been defined.", path.join("."))),
            };
        }
        Ok(here)
    }

    fn pair(&mut self, map: &Map) -> Read<()> {
        let path = self.key()?;
        self.space(false);
        match self.next() {
            Some('=') => {}
            Some(other) => return self.fault(&format!("expected '.' or '=', but got '{other}' instead")),
            None => return self.fault("unexpected EOF; expected key separator '='"),
        }
        self.space(false);
        let value = self.value(0)?;
        let (last, before) = path.split_last().expect("because a key has a part");
        let inner = self.enter(map, before, false)?;
        if inner.get(last.as_bytes()).is_some() {
            return self.fault(&format!("Key '{}' has already been defined.", path.join(".")));
        }
        inner.put(last.as_str(), value);
        Ok(())
    }

    fn key(&mut self) -> Read<Vec<String>> {
        let mut parts = Vec::new();
        loop {
            self.space(false);
            parts.push(match self.peek() {
                Some('"') => self.basic()?,
                Some('\'') => self.literal()?,
                _ => {
                    let start = self.at;
                    while self
                        .peek()
                        .is_some_and(|char| char.is_ascii_alphanumeric() || char == '_' || char == '-')
                    {
                        self.at += 1;
                    }
                    self.chars[start..self.at].iter().collect()
                }
            });
            self.space(false);
            if self.peek() != Some('.') {
                return Ok(parts);
            }
            self.at += 1;
        }
    }

    fn starts(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(at, char)| self.chars.get(self.at + at) == Some(&char))
    }

    fn basic(&mut self) -> Read<String> {
        let long = self.starts("\"\"\"");
        self.at += if long { 3 } else { 1 };
        if long && self.peek() == Some('\n') {
            self.at += 1;
        }
        let mut out = String::new();
        loop {
            if long && self.starts("\"\"\"") {
                self.at += 3;
                return Ok(out);
            }
            match self.next() {
                None => return self.fault("unexpected EOF; expected '\"'"),
                Some('"') if !long => return Ok(out),
                Some('\n') if !long => return self.fault("strings cannot contain newlines"),
                Some('\\') => match self.next() {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('r') => out.push('\r'),
                    Some('b') => out.push('\u{8}'),
                    Some('f') => out.push('\u{c}'),
                    Some('e') => out.push('\u{1b}'),
                    Some(char @ ('"' | '\\')) => out.push(char),
                    Some(kind @ ('u' | 'U')) => {
                        let length = if kind == 'u' { 4 } else { 8 };
                        let hex: String = (0..length).filter_map(|_| self.next()).collect();
                        match u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32) {
                            Some(char) => out.push(char),
                            None => return self.fault("invalid escape of a character"),
                        }
                    }
                    Some('\n' | ' ' | '\t') if long => {
                        while self.peek().is_some_and(char::is_whitespace) {
                            self.at += 1;
                        }
                    }
                    _ => return self.fault("invalid escape character"),
                },
                Some(char) => out.push(char),
            }
        }
    }

    fn literal(&mut self) -> Read<String> {
        let long = self.starts("'''");
        self.at += if long { 3 } else { 1 };
        if long && self.peek() == Some('\n') {
            self.at += 1;
        }
        let start = self.at;
        loop {
            if if long { self.starts("'''") } else { self.peek() == Some('\'') } {
                let text = self.chars[start..self.at].iter().collect();
                self.at += if long { 3 } else { 1 };
                return Ok(text);
            }
            match self.next() {
                None => return self.fault("unexpected EOF; expected \"'\""),
                Some('\n') if !long => return self.fault("strings cannot contain newlines"),
                Some(_) => {}
            }
        }
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        if depth > 200 {
            return self.fault("values lie too deep in one another");
        }
        match self.peek() {
            Some('"') => self.basic().map(Value::from),
            Some('\'') => self.literal().map(Value::from),
            Some('[') => {
                self.at += 1;
                let mut items = Vec::new();
                loop {
                    self.space(true);
                    if self.peek() == Some(']') {
                        self.at += 1;
                        return Ok(Value::list(items));
                    }
                    items.push(self.value(depth + 1)?);
                    self.space(true);
                    match self.next() {
                        Some(',') => {}
                        Some(']') => return Ok(Value::list(items)),
                        _ => return self.fault("expected a comma (',') or array terminator (']')"),
                    }
                }
            }
            Some('{') => {
                self.at += 1;
                let map = Map::new(MapType::Any);
                loop {
                    self.space(true);
                    if self.peek() == Some('}') {
                        self.at += 1;
                        return Ok(Value::Map(map));
                    }
                    self.pair(&map)?;
                    self.space(true);
                    match self.next() {
                        Some(',') => {}
                        Some('}') => return Ok(Value::Map(map)),
                        _ => return self.fault("expected a comma or an inline table terminator '}'"),
                    }
                }
            }
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|char| !char.is_whitespace() && !",]}#".contains(char)) {
                    self.at += 1;
                }
                let text: String = self.chars[start..self.at].iter().collect();
                self.scalar(&text)
            }
        }
    }

    fn scalar(&self, text: &str) -> Read<Value> {
        match text {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "inf" | "+inf" => return Ok(Value::Float(f64::INFINITY)),
            "-inf" => return Ok(Value::Float(f64::NEG_INFINITY)),
            "nan" | "+nan" | "-nan" => return Ok(Value::Float(f64::NAN)),
            _ => {}
        }
        if let Some(number) = float::parse_int(text, 0)
            .filter(|_| !text.starts_with('0') || text.len() == 1 || text.contains(['x', 'o', 'b']))
        {
            return Ok(Value::Int64(number));
        }
        if let Some(number) = float::parse(&text.replace('_', "")).filter(|_| text.contains(['.', 'e', 'E']))
        {
            return Ok(Value::Float(number));
        }
        if text.len() >= 10 && text.as_bytes()[4] == b'-' {
            return Ok(text.into());
        }
        self.fault(&format!("expected value but found {} instead", crate::go::quote::quote(text.as_bytes())))
    }
}
