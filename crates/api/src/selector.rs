//! Label and field selectors: the text of `?labelSelector=` and `?fieldSelector=`, `LabelSelector` objects, and matching.
//!
//! Grammar, errors and the text form are upstream's (k8s.io/apimachinery/pkg/labels, pkg/fields).

use std::fmt;

use smol_str::SmolStr;

use crate::field::{self, Path};
use crate::validation::names;
use crate::{Kind, Value};

/// A selector that cannot be understood; the server answers 400 with this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// All of its requirements hold; none: everything matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    requirements: Vec<Requirement>,
    /// A nil LabelSelector selects nothing.
    nothing: bool,
}

/// `key operator values`. Values are sorted and not doubled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: SmolStr,
    pub operator: Operator,
    pub values: Vec<SmolStr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl Requirement {
    /// Checks as upstream's NewRequirement.
    pub fn new(
        key: impl Into<SmolStr>,
        operator: Operator,
        mut values: Vec<SmolStr>,
    ) -> Result<Requirement, Error> {
        use Operator::*;
        let key = key.into();
        let mut errors = Vec::new();
        let wrong = names::qualified_name(&key);
        if !wrong.is_empty() {
            errors.push(field::Error::invalid(Path::new("key"), key.clone(), wrong.join("; ")));
        }
        let path = Path::new("values");
        let shown = || Value::Array(values.iter().cloned().map(Value::from).collect());
        let text = match operator {
            In | NotIn if values.is_empty() => "for 'in', 'notin' operators, values set can't be empty",
            Equals | DoubleEquals | NotEquals if values.len() != 1 => {
                "exact-match compatibility requires one single value"
            }
            Exists | DoesNotExist if !values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            GreaterThan | LessThan if values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !text.is_empty() {
            errors.push(field::Error::invalid(path.clone(), shown(), text));
        }
        for (at, value) in values.iter().enumerate() {
            if matches!(operator, GreaterThan | LessThan) && value.parse::<i64>().is_err() {
                let text = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(field::Error::invalid(path.index(at), value.clone(), text));
            }
        }
        for (at, value) in values.iter().enumerate() {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                errors.push(field::Error::invalid(path.index(at).key(&key), value.clone(), wrong.join("; ")));
            }
        }
        if !errors.is_empty() {
            return Err(Error(aggregate(&errors)));
        }
        values.sort();
        values.dedup();
        Ok(Requirement { key, operator, values })
    }

    pub fn matches(&self, labels: &[(SmolStr, SmolStr)]) -> bool {
        use Operator::*;
        let found = labels.iter().find(|(key, _)| *key == self.key).map(|(_, value)| value);
        match (self.operator, found) {
            (In | Equals | DoubleEquals, Some(value)) => self.values.contains(value),
            (NotIn | NotEquals, Some(value)) => !self.values.contains(value),
            (Exists, found) => found.is_some(),
            (DoesNotExist | NotIn | NotEquals, None) => true,
            (DoesNotExist, Some(_)) | (In | Equals | DoubleEquals | GreaterThan | LessThan, None) => false,
            (GreaterThan | LessThan, Some(value)) => {
                let (Ok(have), Some(Ok(want))) =
                    (value.parse::<i64>(), self.values.first().map(|value| value.parse::<i64>()))
                else {
                    return false;
                };
                if self.operator == GreaterThan { have > want } else { have < want }
            }
        }
    }
}

fn aggregate(errors: &[field::Error]) -> String {
    let texts: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
    if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Operator::*;
        let values = self.values.join(",");
        match self.operator {
            Exists => write!(out, "{}", self.key),
            DoesNotExist => write!(out, "!{}", self.key),
            Equals => write!(out, "{}={values}", self.key),
            DoubleEquals => write!(out, "{}=={values}", self.key),
            NotEquals => write!(out, "{}!={values}", self.key),
            GreaterThan => write!(out, "{}>{values}", self.key),
            LessThan => write!(out, "{}<{values}", self.key),
            In => write!(out, "{} in ({values})", self.key),
            NotIn => write!(out, "{} notin ({values})", self.key),
        }
    }
}

impl Labels {
    /// Selects everything.
    pub const fn everything() -> Labels {
        Labels { requirements: Vec::new(), nothing: false }
    }
    pub const fn nothing() -> Labels {
        Labels { requirements: Vec::new(), nothing: true }
    }
    pub fn new(mut requirements: Vec<Requirement>) -> Labels {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Labels { requirements, nothing: false }
    }
    /// The text of a query parameter.
    pub fn parse(text: &str) -> Result<Labels, Error> {
        Ok(Labels::new(Parser::new(text).parse()?))
    }
    /// A `map[string]string` selector: a Service's, a ReplicationController's. An empty one selects everything.
    pub fn from_map(map: &Value) -> Result<Labels, Error> {
        let mut requirements = Vec::new();
        for (key, value) in map.as_map().into_iter().flat_map(|map| map.iter()) {
            let value = SmolStr::from(value.as_str().unwrap_or_default());
            requirements.push(Requirement::new(key.clone(), Operator::Equals, vec![value])?);
        }
        Ok(Labels::new(requirements))
    }
    /// A `meta/v1 LabelSelector`. `null` selects nothing, `{}` everything.
    pub fn from_object(selector: &Value) -> Result<Labels, Error> {
        if selector.is_null() {
            return Ok(Labels::nothing());
        }
        let mut labels = Labels::from_map(selector.get("matchLabels").unwrap_or(&Value::Null))?;
        for expression in selector.get("matchExpressions").and_then(Value::as_array).unwrap_or_default() {
            let operator = match expression.str_at(&["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(Error(format!("{other:?} is not a valid label selector operator"))),
            };
            let values = expression.get("values").and_then(Value::as_array).unwrap_or_default();
            let values = values.iter().filter_map(Value::as_str).map(SmolStr::from).collect();
            labels.requirements.push(Requirement::new(expression.str_at(&["key"]), operator, values)?);
        }
        Ok(Labels::new(labels.requirements))
    }
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
    /// Restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }
    pub fn matches(&self, labels: &[(SmolStr, SmolStr)]) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
    /// [`Labels::matches`] on `metadata.labels`.
    pub fn matches_value(&self, labels: Option<&Value>) -> bool {
        let map = labels.and_then(Value::as_map).into_iter().flat_map(|map| map.iter());
        let pairs: Vec<(SmolStr, SmolStr)> =
            map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().into())).collect();
        self.matches(&pairs)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            if at > 0 {
                out.write_str(",")?;
            }
            requirement.fmt(out)?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    End,
    /// `)`, `,`, `!`, `==`, `=`, `>`, `<`, `!=`, `(`, `in`, `notin`.
    Symbol(&'static str),
    Word(SmolStr),
    Bad(String),
}

impl Token {
    fn literal(&self) -> String {
        match self {
            Token::End => String::new(),
            Token::Symbol(text) => (*text).into(),
            Token::Word(text) => text.to_string(),
            Token::Bad(text) => text.clone(),
        }
    }
    /// In a place for keys and values `in` and `notin` are words.
    fn as_value(&self) -> Token {
        match self {
            Token::Symbol(text @ ("in" | "notin")) => Token::Word((*text).into()),
            other => other.clone(),
        }
    }
    fn is(&self, symbol: &str) -> bool {
        matches!(self, Token::Symbol(text) if *text == symbol)
    }
}

const SYMBOLS: [&str; 9] = [")", ",", "!", "==", "=", ">", "<", "!=", "("];

fn tokens(text: &str) -> Vec<Token> {
    let special = |letter: char| matches!(letter, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let blank = |letter: char| matches!(letter, ' ' | '\t' | '\r' | '\n');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(blank);
    while let Some(first) = rest.chars().next() {
        if special(first) {
            // The longest run of special letters that is a symbol, as upstream's lexer takes it.
            let run = rest.find(|letter| !special(letter)).unwrap_or(rest.len());
            let mut best: Option<&'static str> = None;
            for end in 1..=run {
                match SYMBOLS.iter().find(|symbol| **symbol == &rest[..end]) {
                    Some(symbol) => best = Some(symbol),
                    None if best.is_some() => break,
                    None => {}
                }
            }
            match best {
                Some(symbol) => {
                    tokens.push(Token::Symbol(symbol));
                    rest = &rest[symbol.len()..];
                }
                None => {
                    tokens.push(Token::Bad(format!("error expected: keyword found '{}'", &rest[..run])));
                    rest = &rest[run..];
                }
            }
        } else {
            let end = rest.find(|letter| special(letter) || blank(letter)).unwrap_or(rest.len());
            tokens.push(match &rest[..end] {
                "in" => Token::Symbol("in"),
                "notin" => Token::Symbol("notin"),
                word => Token::Word(word.into()),
            });
            rest = &rest[end..];
        }
        rest = rest.trim_start_matches(blank);
    }
    tokens.push(Token::End);
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn new(text: &str) -> Parser {
        Parser { tokens: tokens(text), at: 0 }
    }
    fn look(&self) -> Token {
        self.tokens.get(self.at).map_or(Token::End, Token::as_value)
    }
    fn next(&mut self) -> Token {
        let token = self.look();
        self.at += 1;
        token
    }

    fn parse(&mut self) -> Result<Vec<Requirement>, Error> {
        let starts = |token: &Token| matches!(token, Token::Word(_)) || token.is("!");
        let mut requirements = Vec::new();
        loop {
            let token = self.look();
            if token == Token::End {
                return Ok(requirements);
            }
            if !starts(&token) {
                let literal = token.literal();
                return Err(Error(format!("found '{literal}', expected: !, identifier, or 'end of string'")));
            }
            let requirement =
                self.requirement().map_err(|error| Error(format!("unable to parse requirement: {error}")))?;
            requirements.push(requirement);
            match self.next() {
                Token::End => return Ok(requirements),
                token if token.is(",") => {
                    let token = self.look();
                    if !starts(&token) {
                        return Err(Error(format!(
                            "found '{}', expected: identifier after ','",
                            token.literal()
                        )));
                    }
                }
                token => {
                    return Err(Error(format!(
                        "found '{}', expected: ',' or 'end of string'",
                        token.literal()
                    )));
                }
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        let mut token = self.next();
        let negated = token.is("!");
        if negated {
            token = self.next();
        }
        let Token::Word(key) = token else {
            return Err(Error(format!("found '{}', expected: identifier", token.literal())));
        };
        let wrong = names::qualified_name(&key);
        if !wrong.is_empty() {
            return Err(Error(field::Error::invalid(Path::default(), key, wrong.join("; ")).to_string()));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, Vec::new());
        }
        let ahead = self.look();
        if ahead == Token::End || ahead.is(",") {
            return Requirement::new(key, Operator::Exists, Vec::new());
        }
        let token = self.tokens[self.at].clone();
        self.at += 1;
        let operator = match &token {
            Token::Symbol("in") => Operator::In,
            Token::Symbol("=") => Operator::Equals,
            Token::Symbol("==") => Operator::DoubleEquals,
            Token::Symbol(">") => Operator::GreaterThan,
            Token::Symbol("<") => Operator::LessThan,
            Token::Symbol("notin") => Operator::NotIn,
            Token::Symbol("!=") => Operator::NotEquals,
            other => {
                let literal = other.literal();
                return Err(Error(format!("found '{literal}', expected: in, notin, =, ==, !=, gt, lt")));
            }
        };
        let values =
            if matches!(operator, Operator::In | Operator::NotIn) { self.values()? } else { self.value()? };
        Requirement::new(key, operator, values)
    }

    fn value(&mut self) -> Result<Vec<SmolStr>, Error> {
        let ahead = self.look();
        if ahead == Token::End || ahead.is(",") {
            return Ok(vec![SmolStr::default()]);
        }
        match self.next() {
            Token::Word(word) => Ok(vec![word]),
            other => Err(Error(format!("found '{}', expected: identifier", other.literal()))),
        }
    }

    fn values(&mut self) -> Result<Vec<SmolStr>, Error> {
        let token = self.next();
        if !token.is("(") {
            return Err(Error(format!("found '{}' expected: '('", token.literal())));
        }
        let ahead = self.look();
        if ahead.is(")") {
            self.next();
            return Ok(vec![SmolStr::default()]);
        }
        if !matches!(ahead, Token::Word(_)) && !ahead.is(",") {
            return Err(Error(format!("found '{}', expected: ',', ')' or identifier", ahead.literal())));
        }
        let mut values: Vec<SmolStr> = Vec::new();
        loop {
            match self.next() {
                Token::Word(word) => {
                    values.push(word);
                    let ahead = self.look();
                    if ahead.is(")") {
                        break;
                    }
                    if !ahead.is(",") {
                        return Err(Error(format!("found '{}', expected: ',' or ')'", ahead.literal())));
                    }
                }
                token if token.is(",") => {
                    if values.is_empty() {
                        values.push(SmolStr::default()); // (,
                    }
                    let ahead = self.look();
                    if ahead.is(")") {
                        values.push(SmolStr::default()); // ,)
                        break;
                    }
                    if ahead.is(",") {
                        values.push(SmolStr::default()); // ,,
                    }
                }
                token => {
                    return Err(Error(format!("found '{}', expected: ',', or identifier", token.literal())));
                }
            }
        }
        self.next();
        values.sort();
        values.dedup();
        Ok(values)
    }
}

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
    pub fn resolve(&self, kind: &Kind) -> Result<Resolved, Error> {
        let mut terms = Vec::new();
        for term in self.terms.iter().filter(|term| !(term.label.is_empty() && term.value.is_empty())) {
            let place = match term.label.as_str() {
                "metadata.name" => Place::Name,
                "metadata.namespace" => Place::Namespace,
                label => match kind.fields.iter().position(|field| field.label == label) {
                    Some(at) => Place::Field(at),
                    None => return Err(unsupported(kind, label)),
                },
            };
            terms.push((place, term.value.clone(), term.negated));
        }
        Ok(Resolved(terms))
    }
}

/// Upstream's converters for built-in kinds each have a text of their own.
fn unsupported(kind: &Kind, label: &str) -> Error {
    let text = match (kind.resource.group.as_str(), kind.resource.plural.as_str()) {
        _ if kind.custom => format!("field label not supported: {label}"),
        (
            "",
            "pods" | "nodes" | "replicationcontrollers" | "events" | "namespaces" | "secrets" | "services",
        )
        | ("batch", "jobs")
        | ("events.k8s.io", _)
        | ("certificates.k8s.io", _)
        | ("resource.k8s.io", "resourceslices") => format!("field label not supported: {label}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<(SmolStr, SmolStr)> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.into(), value.into())).collect()
    }

    #[test]
    fn label_selectors_match_as_upstream() {
        let cases = [
            ("", "x=y", true),
            ("x=y", "x=y", true),
            ("x==y,z=w", "x=y,z=w", true),
            ("x!=y", "z=a", true),
            ("x!=y", "x=y", false),
            ("x in (a,b)", "x=b", true),
            ("x notin (a,b)", "x=b", false),
            ("x notin (a,b)", "y=b", true),
            ("x", "x=", true),
            ("!x", "x=1", false),
            ("x>1", "x=2", true),
            ("x<1", "x=2", false),
            ("x=", "x=", true),
            ("x in ()", "x=", true),
            ("in in (in)", "in=in", true),
        ];
        for (selector, set, expected) in cases {
            let parsed = Labels::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
            assert_eq!(parsed.matches(&labels(set)), expected, "{selector} on {set}");
        }
    }

    #[test]
    fn label_selectors_print_as_upstream() {
        let cases = [
            ("x=a,y=b", "x=a,y=b"),
            ("y==b, x in (c, a,b)", "x in (a,b,c),y==b"),
            ("!z , a", "a,!z"),
            ("x notin ()", "x notin ()"),
            ("x in (,a)", "x in (,a)"),
            ("x>1", "x>1"),
        ];
        for (text, expected) in cases {
            assert_eq!(Labels::parse(text).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn bad_label_selectors_say_why() {
        let cases = [
            ("x in", "unable to parse requirement: found '' expected: '('"),
            ("a=b,", "found '', expected: identifier after ','"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(Labels::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn label_selector_objects() {
        let object: Value = serde_json::from_str(
            r#"{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"tier","operator":"NotIn","values":["b","a"]}]}"#,
        )
        .unwrap();
        let selector = Labels::from_object(&object).unwrap();
        assert_eq!(selector.to_string(), "app=web,tier notin (a,b)");
        assert!(selector.matches(&labels("app=web")));
        assert!(!Labels::from_object(&Value::Null).unwrap().matches(&[]));
        assert!(Labels::from_object(&Value::object()).unwrap().matches(&[]));
    }

    #[test]
    fn field_selectors() {
        let kinds = crate::kinds::builtin();
        let pods = kinds.resource("", "pods").unwrap();
        let pod: Value =
            serde_json::from_str(r#"{"spec":{"nodeName":"n1"},"status":{"phase":"Running"}}"#).unwrap();
        let fields = pods.field_values(&pod);
        let cases = [
            ("spec.nodeName=n1,status.phase!=Failed", true),
            ("spec.host=n1", true),
            ("metadata.name==web", true),
            ("metadata.namespace!=default", false),
            ("spec.hostNetwork=false", true),
            ("status.podIP=", true),
            ("", true),
        ];
        for (text, expected) in cases {
            let selector = Fields::parse(text).unwrap().resolve(pods).unwrap();
            assert_eq!(selector.matches("default", "web", &fields), expected, "{text}");
        }
        assert_eq!(
            Fields::parse("spec.x=1").unwrap().resolve(pods).unwrap_err().to_string(),
            "field label not supported: spec.x"
        );
        assert_eq!(
            Fields::parse("nonsense").unwrap_err().to_string(),
            "invalid selector: 'nonsense'; can't understand 'nonsense'"
        );
        assert_eq!(Fields::parse(r"a=b\,c\=d\\").unwrap().terms[0].value, r"b,c=d\");
        assert_eq!(Fields::parse(r"a=b\,c").unwrap().to_string(), r"a=b\,c");
    }
}
