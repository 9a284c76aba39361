//! From text to values: one a document, aliases expanded, merge keys merged.
//!
//! Invariant: at most [`NODES`] nodes come out of one text, so an alias bomb ends in an error and not in memory.

use crate::{Map, Value};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::{Dialect, scalar};

/// Nodes of one text, aliases expanded.
const NODES: usize = 2_000_000;
/// Levels of nesting.
const DEPTH: usize = 200;

/// What is wrong with a text, and where (line and column count from 1).
#[derive(Debug, thiserror::Error)]
#[error("line {line}, column {column}: {text}")]
pub struct Error {
    pub line: usize,
    pub column: usize,
    pub text: String,
}

/// The documents of a text. An empty document is a `Null`. The same key twice in a map is an error.
pub fn parse(text: &str, dialect: Dialect) -> Result<Vec<Value>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // JSON may hold tabs as white space, which YAML forbids as indentation.
    if text.trim_start().starts_with(['{', '['])
        && let Ok(parsed) = crate::json::parse_all(text.as_bytes())
        && !parsed.doubled
    {
        return Ok(vec![parsed.value]);
    }
    let mut reader = Reader::of(text, dialect);
    let mut documents = Vec::new();
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            event => {
                let value = reader.node(event, span, 0)?;
                reader.anchors.clear();
                documents.push(value);
            }
        }
    }
    Ok(documents)
}

/// The keys that stand twice in a map of the first document, with the line of each that is not the first. What cannot be read
/// ends the search.
pub fn duplicates(text: &str) -> Vec<(usize, String)> {
    let mut reader = Reader { doubled: Some(Vec::new()), ..Reader::of(text, Dialect::V2) };
    while let Ok(Some((event, span))) = reader.next() {
        match event {
            Event::StreamStart | Event::DocumentStart(..) => {}
            Event::StreamEnd | Event::DocumentEnd => break,
            event => {
                let _whole = reader.node(event, span, 0);
                break;
            }
        }
    }
    reader.doubled.unwrap_or_default()
}

struct Reader<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: Vec<(usize, Value)>,
    nodes: usize,
    dialect: Dialect,
    /// Where keys that are there twice are noted; `None`: they are an error.
    doubled: Option<Vec<(usize, String)>>,
}

fn at(span: Span, text: impl Into<String>) -> Error {
    Error { line: span.start.line(), column: span.start.col() + 1, text: text.into() }
}

fn scan(error: ScanError) -> Error {
    Error { line: error.marker().line(), column: error.marker().col() + 1, text: error.info() }
}

impl<'a> Reader<'a> {
    fn of(text: &'a str, dialect: Dialect) -> Reader<'a> {
        Reader { parser: Parser::new_from_str(text), anchors: Vec::new(), nodes: 0, dialect, doubled: None }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Error> {
        loop {
            match self.parser.next_event().transpose().map_err(scan)? {
                None => return Ok(None),
                Some((event, span)) if is_data(&event) => return Ok(Some((event, span))),
                // Comments and other presentation.
                Some(_) => {}
            }
        }
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Error> {
        self.nodes += more;
        if self.nodes > NODES {
            return Err(at(span, format!("more than {NODES} values after aliases are expanded")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH {
            return Err(at(span, format!("nested more than {DEPTH} levels deep")));
        }
        self.count(1, span)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_ref().map(|tag| tag.to_string());
                (scalar_value(&text, style, tag.as_deref(), self.dialect, span)?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.sequence(span, depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.mapping(span, depth)?, anchor),
            Event::Alias(id) => {
                let found = self.anchors.iter().rev().find(|(anchor, _)| *anchor == id);
                let value =
                    found.ok_or_else(|| at(span, "an alias to a node that is not complete"))?.1.clone();
                self.count(size(&value), span)?;
                (value, 0)
            }
            other => return Err(at(span, format!("did not expect {other:?} here"))),
        };
        if anchor != 0 {
            self.anchors.push((anchor, value.clone()));
        }
        Ok(value)
    }

    fn sequence(&mut self, start: Span, depth: usize) -> Result<Value, Error> {
        let mut items = Vec::new();
        loop {
            match self.next()?.ok_or_else(|| at(start, "the list does not end"))? {
                (Event::SequenceEnd, _) => return Ok(Value::Array(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, start: Span, depth: usize) -> Result<Value, Error> {
        let mut map = Map::new();
        let mut merged: Vec<Map> = Vec::new();
        loop {
            let (event, span) = self.next()?.ok_or_else(|| at(start, "the map does not end"))?;
            if event == Event::MappingEnd {
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = match event {
                // kyaml's decoder takes a null as the empty key.
                Event::Scalar(text, ScalarStyle::Plain, ..)
                    if self.dialect == Dialect::V3 && matches!(&*text, "~" | "null" | "Null" | "NULL") =>
                {
                    String::new()
                }
                Event::Scalar(text, ..) => text.to_string(),
                event => match self.node(event, span, depth + 1)? {
                    Value::String(text) => text.to_string(),
                    _ => return Err(at(span, "a key must be a text")),
                },
            };
            let (event, below) = self.next()?.ok_or_else(|| at(start, "the map does not end"))?;
            let value = self.node(event, below, depth + 1)?;
            if merge {
                match value {
                    Value::Object(other) => merged.push(other),
                    Value::Array(items) => {
                        merged.extend(items.into_iter().filter_map(|item| item.as_map().cloned()));
                    }
                    _ => return Err(at(span, "a merge key (<<) needs a map or a list of maps")),
                }
            } else if map.insert(key.as_str(), value).is_some() {
                match &mut self.doubled {
                    Some(doubled) => doubled.push((span.start.line(), key)),
                    None => return Err(at(span, format!("the key {key:?} is there twice"))),
                }
            }
        }
        for (key, value) in merged.into_iter().flatten() {
            if !map.contains_key(&key) {
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }
}

fn is_data(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd
    )
}

fn scalar_value(
    text: &str,
    style: ScalarStyle,
    tag: Option<&str>,
    dialect: Dialect,
    span: Span,
) -> Result<Value, Error> {
    let kind = tag.map(|tag| tag.rsplit([':', '!']).next().unwrap_or_default());
    Ok(match kind {
        Some("str") | Some("binary") => Value::String(text.into()),
        Some("int") | Some("float") | Some("bool") | Some("null") => {
            let value = scalar::resolve(text, dialect);
            match (kind, &value) {
                (Some("float"), Value::Int(int)) => Value::Float(*int as f64),
                (_, Value::String(_)) => {
                    return Err(at(
                        span,
                        format!("{text:?} is not what its tag {} says", tag.unwrap_or_default()),
                    ));
                }
                _ => value,
            }
        }
        _ if style == ScalarStyle::Plain && tag.is_none() => {
            if scalar::is_endless(text) {
                return Err(at(
                    span,
                    format!("{text} is a number that JSON cannot hold; quote it if it is a text"),
                ));
            }
            scalar::resolve(text, dialect)
        }
        _ => Value::String(text.into()),
    })
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.iter().map(|(_, value)| size(value)).sum::<usize>(),
        _ => 1,
    }
}
