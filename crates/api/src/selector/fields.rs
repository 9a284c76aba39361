//! Field selectors: their text, which labels a kind has, and matching.

use std::fmt;

use smol_str::SmolStr;

use super::Error;
use crate::Kind;

/// A field selector, resolved for one kind by [`Fields::resolve`] before it is matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub terms: Vec<Term>,
}

/// `label=value` or `label!=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    pub label: SmolStr,
    pub value: SmolStr,
    pub negated: bool,
}

impl Fields {
    /// The text of a query parameter.
    pub fn parse(text: &str) -> Result<Fields, Error> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some(at) = part.find(['=', '!']).and_then(|_| operator(part)) else {
                return Err(Error(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            let (start, end, negated) = at;
            let value = unescape(&part[end..])?;
            terms.push(Term { label: part[..start].into(), value: value.into(), negated });
        }
        Ok(Fields { terms })
    }

    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that `label` must have, if one term says so.
    pub fn exact(&self, label: &str) -> Option<&str> {
        let term = self.terms.iter().find(|term| term.label == label && !term.negated);
        term.map(|term| term.value.as_str())
    }

    /// Checks that the kind has every label, and finds where each is in an [`crate::Object`].
    /// `stored` is the kind that keeps the objects (events.k8s.io's are the core group's); `version` the one that was asked for.
    pub fn resolve(&self, kind: &Kind, stored: &Kind, version: &str) -> Result<Resolved, Error> {
        let mut terms = Vec::new();
        for term in self.terms.iter().filter(|term| !(term.label.is_empty() && term.value.is_empty())) {
            let place = match term.label.as_str() {
                "metadata.name" => Place::Name,
                "metadata.namespace" => Place::Namespace,
                label => match place(kind, stored, label) {
                    Some(at) => Place::Field(at),
                    None => return Err(unsupported(kind, version, label)),
                },
            };
            terms.push((place, term.value.clone(), term.negated));
        }
        Ok(Resolved(terms))
    }
}

/// Where an object of `stored` has the field that `kind` names so.
fn place(kind: &Kind, stored: &Kind, label: &str) -> Option<usize> {
    let named = kind.fields.iter().position(|field| field.label == label)?;
    match kind.stored_as {
        None => Some(named),
        Some(_) => stored.fields.iter().position(|field| field.path == kind.fields[named].path),
    }
}

/// Upstream's converters for built-in kinds each have a text of their own.
fn unsupported(kind: &Kind, version: &str, label: &str) -> Error {
    let text = match (kind.resource.group.as_str(), kind.resource.plural.as_str()) {
        _ if kind.custom => format!("field label not supported: {label}"),
        (
            "",
            "pods" | "nodes" | "replicationcontrollers" | "events" | "namespaces" | "secrets" | "services",
        )
        | ("events.k8s.io", _)
        | ("certificates.k8s.io", _) => format!("field label not supported: {label}"),
        ("batch", "jobs") => format!("field label {label:?} not supported for Job"),
        ("resource.k8s.io", "resourceslices") => {
            format!("field label not supported for resource.k8s.io/{version}, Kind=ResourceSlice: {label}")
        }
        _ => {
            format!("{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
    };
    Error(text)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Name,
    Namespace,
    Field(usize),
}

/// A field selector of one kind, ready to match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved(Vec<(Place, SmolStr, bool)>);

impl Resolved {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// `fields` are those of [`Kind::field_values`].
    pub fn matches(&self, namespace: &str, name: &str, fields: &[SmolStr]) -> bool {
        self.0.iter().all(|(place, value, negated)| {
            let have = match place {
                Place::Name => name,
                Place::Namespace => namespace,
                Place::Field(at) => fields.get(*at).map(SmolStr::as_str).unwrap_or_default(),
            };
            (have == value) != *negated
        })
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let operator = if term.negated { "!=" } else { "=" };
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(out, "{comma}{}{operator}{value}", term.label)?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut slash) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if slash => slash = false,
            '\\' => slash = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Where the first of `!=`, `==`, `=` begins and ends, and whether it negates.
fn operator(part: &str) -> Option<(usize, usize, bool)> {
    part.char_indices().find_map(|(at, _)| {
        let rest = &part[at..];
        let length = [("!=", true), ("==", false), ("=", false)];
        length.iter().find(|(text, _)| rest.starts_with(text)).map(|(text, not)| (at, at + text.len(), *not))
    })
}

fn unescape(text: &str) -> Result<String, Error> {
    let bad =
        |sequence: String| Error(format!("invalid field selector: invalid escape sequence: {sequence}"));
    let mut value = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => value.push(escaped),
                Some(other) => return Err(bad(format!("\\{other}"))),
                None => return Err(bad("\\".into())),
            },
            ',' | '=' => {
                let code = u32::from(letter);
                return Err(Error(format!("invalid field selector: unescaped character in value: {code}")));
            }
            other => value.push(other),
        }
    }
    Ok(value)
}
