//! Template text to items: text, and what stands between `{{` and `}}`.
//!
//! The whole text is cut at once; the first fault is the last item.

use std::borrow::Cow;

use crate::go::quote;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Nil,
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A piece of the text, or the text of a fault.
#[derive(Clone, Debug)]
pub struct Item<'a> {
    pub kind: Kind,
    pub pos: usize,
    pub text: Cow<'a, str>,
    pub line: usize,
}

impl std::fmt::Display for Item<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Eof => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.text),
            Kind::Block
            | Kind::Break
            | Kind::Continue
            | Kind::Dot
            | Kind::Define
            | Kind::Else
            | Kind::End
            | Kind::If
            | Kind::Nil
            | Kind::Range
            | Kind::Template
            | Kind::With => write!(f, "<{}>", self.text),
            _ if self.text.len() > 10 => {
                let end = self.text.char_indices().nth(10).map_or(self.text.len(), |(at, _)| at);
                write!(f, "{}...", quote::quote(&self.text.as_bytes()[..end]))
            }
            _ => f.write_str(&quote::quote(self.text.as_bytes())),
        }
    }
}

fn keyword(word: &str) -> Option<Kind> {
    Some(match word {
        "." => Kind::Dot,
        "block" => Kind::Block,
        "break" => Kind::Break,
        "continue" => Kind::Continue,
        "define" => Kind::Define,
        "else" => Kind::Else,
        "end" => Kind::End,
        "if" => Kind::If,
        "range" => Kind::Range,
        "nil" => Kind::Nil,
        "template" => Kind::Template,
        "with" => Kind::With,
        _ => return None,
    })
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric()
        || char == '_'
        || char.is_alphabetic()
        || char.is_numeric() && crate::go::text::is_print(char)
}

fn trims_before(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2 && bytes[0] == b'-' && is_space(bytes[1] as char)
}

fn trims_after(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2 && is_space(bytes[0] as char) && bytes[1] == b'-'
}

struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    line: usize,
    items: Vec<Item<'a>>,
}

/// The items of a text, an `Eof` or an `Error` last.
pub fn lex(input: &str) -> Vec<Item<'_>> {
    // Templates have an item in ten bytes or so.
    let items = Vec::with_capacity(input.len() / 8);
    let mut lexer = Lexer { input, pos: 0, start: 0, line: 1, items };
    if let Err(text) = lexer.run() {
        let (pos, line) = (lexer.start, lexer.line);
        lexer.items.push(Item { kind: Kind::Error, pos, text: text.into(), line });
    }
    lexer.items
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.pos..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.pos += char.len_utf8();
        Some(char)
    }

    /// Ends the item that began at `start`; `line` moves behind it.
    fn emit(&mut self, kind: Kind) {
        let text = &self.input[self.start..self.pos];
        self.items.push(Item { kind, pos: self.start, text: text.into(), line: self.line });
        self.ignore();
    }

    fn ignore(&mut self) {
        self.line +=
            self.input.as_bytes()[self.start..self.pos].iter().filter(|byte| **byte == b'\n').count();
        self.start = self.pos;
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let Some(found) = self.rest().find("{{") else {
                self.pos = self.input.len();
                if self.pos > self.start {
                    self.emit(Kind::Text);
                }
                self.items.push(Item { kind: Kind::Eof, pos: self.pos, text: "EOF".into(), line: self.line });
                return Ok(());
            };
            let delim = self.pos + found;
            let text = &self.input[self.pos..delim];
            let kept =
                if trims_before(&self.input[delim + 2..]) { text.trim_end_matches(SPACES) } else { text };
            self.pos += kept.len();
            if !kept.is_empty() {
                self.emit(Kind::Text);
            }
            self.pos = delim;
            self.ignore();
            self.action()?;
        }
    }

    fn action(&mut self) -> Result<(), String> {
        self.pos += 2;
        let marker = if trims_before(self.rest()) { 2 } else { 0 };
        if self.input[self.pos + marker..].starts_with("/*") {
            self.pos += marker;
            self.ignore();
            return self.comment();
        }
        self.emit(Kind::LeftDelim);
        self.pos += marker;
        self.ignore();
        let mut parens = 0i64;
        loop {
            if self.at_right_delim().is_some() {
                if parens != 0 {
                    return Err("unclosed left paren".into());
                }
                self.right_delim();
                return Ok(());
            }
            let Some(char) = self.next() else { return Err("unclosed action".into()) };
            match char {
                char if is_space(char) => {
                    self.pos -= 1;
                    if self.space() {
                        return Ok(());
                    }
                }
                '=' => self.emit(Kind::Assign),
                ':' => {
                    if self.next() != Some('=') {
                        return Err("expected :=".into());
                    }
                    self.emit(Kind::Declare);
                }
                '|' => self.emit(Kind::Pipe),
                '"' => {
                    self.quoted('"', "unterminated quoted string")?;
                    self.emit(Kind::String);
                }
                '\'' => {
                    self.quoted('\'', "unterminated character constant")?;
                    self.emit(Kind::CharConstant);
                }
                '`' => {
                    match self.rest().find('`') {
                        Some(end) => self.pos += end + 1,
                        None => return Err("unterminated raw quoted string".into()),
                    }
                    self.emit(Kind::RawString);
                }
                '$' => self.named(Kind::Variable)?,
                '.' if !self.rest().starts_with(|char: char| char.is_ascii_digit())
                    && !self.rest().is_empty() =>
                {
                    self.named(Kind::Field)?;
                }
                '.' | '+' | '-' | '0'..='9' => {
                    self.pos -= 1;
                    self.number()?;
                }
                char if is_word(char) => self.identifier()?,
                '(' => {
                    self.emit(Kind::LeftParen);
                    parens += 1;
                }
                ')' => {
                    parens -= 1;
                    if parens < 0 {
                        return Err("unexpected right paren".into());
                    }
                    self.emit(Kind::RightParen);
                }
                ' '..='~' => self.emit(Kind::Char),
                other => return Err(format!("unrecognized character in action: {}", unicode(Some(other)))),
            }
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let Some(end) = self.rest()[2..].find("*/") else { return Err("unclosed comment".into()) };
        self.pos += 2 + end + 2;
        let Some(trim) = self.at_right_delim() else {
            return Err("comment ends before closing delimiter".into());
        };
        self.pos += if trim { 4 } else { 2 };
        if trim {
            let rest = self.rest();
            self.pos += rest.len() - rest.trim_start_matches(SPACES).len();
        }
        self.ignore();
        Ok(())
    }

    /// Whether `}}` is here, and whether ` -` is before it.
    fn at_right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if trims_after(rest) && rest[2..].starts_with("}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn right_delim(&mut self) {
        let trim = self.at_right_delim() == Some(true);
        if trim {
            self.pos += 2;
            self.ignore();
        }
        self.pos += 2;
        self.emit(Kind::RightDelim);
        if trim {
            let rest = self.rest();
            self.pos += rest.len() - rest.trim_start_matches(SPACES).len();
            self.ignore();
        }
    }

    /// A run of spaces; the last one may belong to ` -}}`, and if it is the only one, the action ends here.
    fn space(&mut self) -> bool {
        let rest = self.rest();
        let count = rest.len() - rest.trim_start_matches(SPACES).len();
        self.pos += count;
        let last = &self.input[self.pos - 1..];
        if trims_after(last) && last[2..].starts_with("}}") {
            self.pos -= 1;
            if count == 1 {
                self.right_delim();
                return true;
            }
        }
        self.emit(Kind::Space);
        false
    }

    fn quoted(&mut self, quote: char, fault: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return Err(fault.into());
                    }
                }
                None | Some('\n') => return Err(fault.into()),
                Some(char) if char == quote => return Ok(()),
                Some(_) => {}
            }
        }
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None => true,
            Some(char) if is_space(char) || matches!(char, '.' | ',' | '|' | ':' | ')' | '(') => true,
            _ => self.rest().starts_with("}}"),
        }
    }

    fn named(&mut self, kind: Kind) -> Result<(), String> {
        if self.at_terminator() {
            self.emit(if kind == Kind::Variable { kind } else { Kind::Dot });
            return Ok(());
        }
        self.word();
        if !self.at_terminator() {
            return Err(format!("bad character {}", unicode(self.peek())));
        }
        self.emit(kind);
        Ok(())
    }

    fn word(&mut self) {
        let plain = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        self.pos += self.rest().bytes().take_while(|byte| plain(&byte)).count();
        while self.peek().is_some_and(is_word) {
            self.next();
        }
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.word();
        if !self.at_terminator() {
            return Err(format!("bad character {}", unicode(self.peek())));
        }
        let kind = match &self.input[self.start..self.pos] {
            "true" | "false" => Kind::Bool,
            word => keyword(word).unwrap_or(Kind::Identifier),
        };
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let bad = |lexer: &Lexer<'_>| {
            format!("bad number syntax: {}", quote::quote(&lexer.input.as_bytes()[lexer.start..lexer.pos]))
        };
        if !self.scan_number() {
            return Err(bad(self));
        }
        if matches!(self.peek(), Some('+' | '-')) {
            if !self.scan_number() || !self.input[..self.pos].ends_with('i') {
                return Err(bad(self));
            }
            self.emit(Kind::Complex);
            return Ok(());
        }
        self.emit(Kind::Number);
        Ok(())
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|char| valid.contains(char));
        if found {
            self.next();
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        if digits.len() == 11 && self.accept("eE") || digits.len() == 23 && self.accept("pP") {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.next();
            return false;
        }
        true
    }
}

/// `%#U`; the end of the text is -1 there.
fn unicode(char: Option<char>) -> String {
    match char {
        None => "U+FFFFFFFFFFFFFFFF".into(),
        Some(char) if crate::go::text::is_print(char) => format!("U+{:04X} '{char}'", char as u32),
        Some(char) => format!("U+{:04X}", char as u32),
    }
}
