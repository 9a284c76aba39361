//! The text of label selectors: `x in (a,b), !y, z!=w`, with upstream's errors.

use smol_str::SmolStr;

use super::{Error, Operator, Requirement};
use crate::field::{self, Path};
use crate::validation::names;

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

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    pub(super) fn new(text: &str) -> Parser {
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

    pub(super) fn parse(&mut self) -> Result<Vec<Requirement>, Error> {
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
