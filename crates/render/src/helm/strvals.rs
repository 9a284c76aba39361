//! The language of `--set`: `a.b=1,c[0].d=x,e={1,2}`, and its kin that make strings, JSON or what a file holds of a value.

use crate::go::{Map, MapType, Str, Value, json, quote, text};

/// What the text behind `=` is.
pub enum Kind<'a> {
    /// `--set`
    Typed,
    /// `--set-string`
    Text,
    /// `--set-json`
    Json,
    /// `--set-literal`: everything behind `=`, and nothing is escaped.
    Literal,
    /// `--set-file`: a name, and how its file is read.
    File(&'a dyn Fn(&str) -> Result<Value, String>),
}

/// How a part ended: at the end of the line, or not.
enum Stop {
    End,
    Fault(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Fault(text)
    }
}

const NESTED: usize = 30;
const INDEX: i64 = 65536;

/// Reads a line into a map. The error is upstream's text.
pub fn parse(line: &str, into: &Map, kind: Kind<'_>) -> Result<(), String> {
    let mut parser = Parser { chars: line.chars().collect(), at: 0, kind };
    loop {
        match parser.key(into, 0) {
            Ok(()) => {}
            Err(Stop::End) => return Ok(()),
            Err(Stop::Fault(error)) => return Err(error),
        }
    }
}

struct Parser<'a> {
    chars: Vec<char>,
    at: usize,
    kind: Kind<'a>,
}

fn set(map: &Map, key: &str, value: Value) {
    if !key.is_empty() {
        map.put(key, value);
    }
}

fn set_index(mut list: Vec<Value>, index: i64, value: Value) -> Result<Vec<Value>, Stop> {
    if index < 0 {
        return Err(format!("negative {index} index not allowed").into());
    }
    if index > INDEX {
        return Err(format!("index of {index} is greater than maximum supported index of {INDEX}").into());
    }
    let at = index as usize;
    if list.len() <= at {
        list.resize(at + 1, Value::Nil);
    }
    list[at] = value;
    Ok(list)
}

fn items(value: Option<Value>) -> Result<Vec<Value>, Stop> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::List(list)) => Ok(list.as_slice().to_vec()),
        Some(other) => Err(conversion(&other, "[]interface {}")),
    }
}

/// The panic of a type assertion, which the parser turns into an error.
fn conversion(value: &Value, wanted: &str) -> Stop {
    let is = match value {
        Value::Nil => "nil".into(),
        other => other.type_name(),
    };
    Stop::Fault(format!("unable to parse key: interface conversion: interface {{}} is {is}, not {wanted}"))
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let char = self.chars.get(self.at).copied();
        self.at += usize::from(char.is_some());
        char
    }

    /// The text before one of `stops`, and which; `None` is the end of the line.
    fn until(&mut self, stops: &str) -> (String, Option<char>) {
        let mut out = String::new();
        loop {
            match self.next() {
                None => return (out, None),
                Some(char) if stops.contains(char) => return (out, Some(char)),
                Some('\\') if !matches!(self.kind, Kind::Literal) => match self.next() {
                    None => return (out, None),
                    Some(char) => out.push(char),
                },
                Some(char) => out.push(char),
            }
        }
    }

    fn key(&mut self, map: &Map, nested: usize) -> Result<(), Stop> {
        let (key, last) = self.until(if matches!(self.kind, Kind::Literal) { "=[." } else { "=[,." });
        let shown = || quote::quote(key.as_bytes());
        match last {
            None if key.is_empty() => Err(Stop::End),
            None => Err(format!("key {} has no value", shown()).into()),
            Some('[') => {
                let index = self.index().map_err(|error| match error {
                    Stop::End => Stop::Fault("error parsing index: EOF".into()),
                    Stop::Fault(error) => Stop::Fault(format!("error parsing index: {error}")),
                })?;
                let list = items(map.get(key.as_bytes()))?;
                let (list, done) = self.item(list, index, nested);
                if let Some(list) = list {
                    set(map, &key, Value::list(list));
                }
                done
            }
            Some('=') => {
                let (value, done) = self.value()?;
                set(map, &key, value);
                done
            }
            Some(',') => {
                set(map, &key, "".into());
                Err(format!("key {} has no value (cannot end with ,)", shown()).into())
            }
            Some(_) => {
                if nested + 1 > NESTED {
                    return Err(format!(
                        "value name nested level is greater than maximum supported nested level of {NESTED}"
                    )
                    .into());
                }
                let inner = match map.get(key.as_bytes()) {
                    None => Map::new(MapType::Any),
                    Some(Value::Map(inner)) => inner,
                    Some(other) => return Err(conversion(&other, "map[string]interface {}")),
                };
                let done = self.key(&inner, nested + 1);
                if done.is_ok() && inner.is_empty() {
                    return Err(format!("key map {} has no value", shown()).into());
                }
                if !inner.is_empty() {
                    set(map, &key, Value::Map(inner));
                }
                done
            }
        }
    }

    /// What stands behind `=`. The inner result is what the key gives after it was set.
    fn value(&mut self) -> Result<(Value, Result<(), Stop>), Stop> {
        if matches!(self.kind, Kind::Json) {
            return Ok((self.json()?, Ok(())));
        }
        if matches!(self.kind, Kind::Literal) {
            let rest: String = self.chars[self.at..].iter().collect();
            self.at = self.chars.len();
            return Ok((rest.into(), Ok(())));
        }
        match self.chars.get(self.at) {
            None => return Ok(("".into(), Err(Stop::End))),
            Some('{') => {
                self.at += 1;
                return Ok((self.list()?, Ok(())));
            }
            Some(_) => {}
        }
        let (text, _) = self.until(",");
        Ok((self.read(&text)?, Ok(())))
    }

    fn read(&self, text: &str) -> Result<Value, Stop> {
        Ok(match &self.kind {
            Kind::Typed => typed(text),
            Kind::Text | Kind::Json | Kind::Literal => text.into(),
            Kind::File(read) => read(text)?,
        })
    }

    fn list(&mut self) -> Result<Value, Stop> {
        let mut list = Vec::new();
        loop {
            let (text, last) = self.until(",}");
            match last {
                None => return Err(Stop::Fault("list must terminate with '}'".into())),
                Some('}') => {
                    if self.chars.get(self.at) == Some(&',') {
                        self.at += 1;
                    }
                    list.push(self.read(&text)?);
                    return Ok(Value::list(list));
                }
                Some(_) => list.push(self.read(&text)?),
            }
        }
    }

    /// Skips blanks and one comma; whether there was nothing before it.
    fn nothing(&mut self) -> bool {
        loop {
            match self.chars.get(self.at) {
                None => return true,
                Some(',') => {
                    self.at += 1;
                    return true;
                }
                Some(char) if text::is_space(*char) => self.at += 1,
                Some(_) => return false,
            }
        }
    }

    fn json(&mut self) -> Result<Value, Stop> {
        if self.nothing() {
            return Ok(Value::Nil);
        }
        let rest: String = self.chars[self.at..].iter().collect();
        let (value, length) = json::decode_prefix(rest.as_bytes())?;
        self.at += rest[..length].chars().count();
        self.nothing();
        Ok(value)
    }

    fn index(&mut self) -> Result<i64, Stop> {
        let (text, last) = self.until("]");
        if last.is_none() {
            return Err(Stop::End);
        }
        let shown = quote::quote(text.as_bytes());
        crate::go::float::parse_int(&text, 10)
            .ok_or_else(|| Stop::Fault(format!("strconv.Atoi: parsing {shown}: invalid syntax")))
    }

    /// The list after an element was set; none leaves the key as it is.
    fn item(
        &mut self,
        list: Vec<Value>,
        index: i64,
        nested: usize,
    ) -> (Option<Vec<Value>>, Result<(), Stop>) {
        let keep = list.clone();
        match self.set_item(list, index, nested) {
            Ok((list, done)) => (Some(list), done),
            Err(error) => (Some(keep), Err(error)),
        }
    }

    fn set_item(
        &mut self,
        mut list: Vec<Value>,
        index: i64,
        nested: usize,
    ) -> Result<(Vec<Value>, Result<(), Stop>), Stop> {
        if index < 0 {
            return Err(format!("negative {index} index not allowed").into());
        }
        let (before, last) = self.until("[.=");
        if !before.is_empty() {
            let shown: Vec<String> = before.chars().map(quote::quote_char).collect();
            return Err(format!("unexpected data at end of array index: [{}]", shown.join(" ")).into());
        }
        let at = index as usize;
        match last {
            None => Err(Stop::End),
            Some('=') => {
                let (value, _) = self.value()?;
                Ok((set_index(list, index, value)?, Ok(())))
            }
            Some('[') => {
                let inner = self.index().map_err(|error| match error {
                    Stop::End => Stop::Fault("error parsing index: EOF".into()),
                    Stop::Fault(error) => Stop::Fault(format!("error parsing index: {error}")),
                })?;
                let existing = list.get(at).cloned().filter(|value| !matches!(value, Value::Nil));
                let (made, done) = self.set_item(items(existing)?, inner, nested)?;
                done?;
                Ok((set_index(list, index, Value::list(made))?, Ok(())))
            }
            Some(_) => {
                let inner = match list.get(at) {
                    Some(Value::Map(map)) => map.clone(),
                    _ => Map::new(MapType::Any),
                };
                if at < list.len() {
                    list[at] = Value::Map(inner.clone());
                }
                self.key(&inner, nested)?;
                Ok((set_index(list, index, Value::Map(inner))?, Ok(())))
            }
        }
    }
}

fn typed(text: &str) -> Value {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") || is("false") {
        return Value::Bool(is("true"));
    }
    if is("null") {
        return Value::Nil;
    }
    if text == "0" {
        return Value::Int64(0);
    }
    if !text.is_empty()
        && !text.starts_with('0')
        && let Some(number) = crate::go::float::parse_int(text, 10)
    {
        return Value::Int64(number);
    }
    Value::Str(Str::from(text))
}
