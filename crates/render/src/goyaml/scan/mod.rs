//! Text to tokens, as libyaml cuts it: indentation becomes tokens, and a key is known for one only when its `:` comes.
//!
//! One state machine: its parts share the simple keys, the indents and the flow level.

mod cursor;
mod scalar;
mod tag;

use std::cell::Cell;
use std::collections::VecDeque;

use smol_str::SmolStr;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Mark {
    pub line: usize,
    pub column: usize,
    /// Characters from the start.
    pub index: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    StreamEnd,
    Version(u8, u8),
    /// Handle and prefix.
    TagDirective(Box<(String, String)>),
    DocumentStart,
    DocumentEnd,
    SequenceStart,
    MappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(String),
    Anchor(String),
    /// Handle and suffix.
    Tag(Box<(String, String)>),
    Scalar(SmolStr, Style),
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Quoted,
    Literal,
    Folded,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: Mark,
}

#[derive(Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token: usize,
    mark: Mark,
}

/// Where the piece of a text begins that cannot be read, if there is one. Upstream reads 512 bytes at a time, and faults lie in what
/// comes before as if nothing followed.
fn readable(text: &str) -> Option<usize> {
    const PIECE: usize = 512;
    let allowed = |char: char| matches!(char, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if text.bytes().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')) {
        return None;
    }
    let (wrong, _) = text.char_indices().find(|(_, char)| !allowed(*char))?;
    let mut piece = 0;
    loop {
        let mut next = (piece + PIECE).min(text.len());
        while !text.is_char_boundary(next) {
            next -= 1;
        }
        if wrong < next {
            return Some(piece);
        }
        piece = next;
    }
}

pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    pos: usize,
    mark: Mark,
    tokens: VecDeque<Token>,
    /// Tokens that were taken.
    taken: usize,
    ended: bool,
    flow: usize,
    indent: i64,
    indents: Vec<i64>,
    keys: Vec<SimpleKey>,
    /// Numbers of tokens that may be keys, with their places in `keys`. Upstream does not take out all that it takes out of those.
    by_token: Vec<(usize, usize)>,
    key_allowed: bool,
    /// How many tokens behind the first are fetched: faults in them are told early.
    ahead: usize,
    /// Behind `bytes` lies what cannot be read, and whether it was looked for.
    cut: bool,
    starved: Cell<bool>,
    /// What a scalar is put together in, kept for the next.
    scratch: Vec<u8>,
    gap: scalar::Gap,
}

const CONTROL: &str = "yaml: control characters are not allowed";

type Done<T> = Result<T, String>;

/// The text of a fault: go-yaml tells no line for the first.
pub(super) fn fault<T>(line: usize, problem: &str) -> Done<T> {
    Err(if line == 0 { format!("yaml: {problem}") } else { format!("yaml: line {line}: {problem}") })
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str, ahead: usize) -> Done<Scanner<'a>> {
        let end = readable(text);
        if end == Some(0) {
            return Err(CONTROL.into());
        }
        let read = &text[..end.unwrap_or(text.len())];
        Ok(Scanner {
            bytes: read.strip_prefix('\u{feff}').unwrap_or(read).as_bytes(),
            cut: end.is_some(),
            starved: Cell::new(false),
            scratch: Vec::new(),
            gap: scalar::Gap::default(),
            pos: 0,
            mark: Mark::default(),
            tokens: VecDeque::new(),
            taken: 0,
            ended: false,
            flow: 0,
            indent: -1,
            indents: Vec::new(),
            keys: vec![SimpleKey::default()],
            by_token: Vec::new(),
            key_allowed: true,
            ahead,
        })
    }

    pub fn peek(&mut self) -> Done<&Token> {
        self.fill()?;
        Ok(self.tokens.front().expect("because the end of the stream stays"))
    }

    pub fn skip(&mut self) {
        if self.tokens.front().is_some_and(|token| token.kind != Kind::StreamEnd) {
            self.tokens.pop_front();
            self.taken += 1;
        }
    }

    /// Fetches until the next token can be no simple key's any more.
    fn fill(&mut self) -> Done<()> {
        loop {
            if self.tokens.len() > self.ahead {
                match self.by_token.iter().find(|(token, _)| *token == self.taken) {
                    None => return Ok(()),
                    Some((_, at)) => {
                        if !self.key_is_valid(*at)? {
                            return Ok(());
                        }
                    }
                }
            }
            if self.ended {
                return Ok(());
            }
            let done = self.fetch();
            if self.starved.get() {
                return Err(CONTROL.into());
            }
            done?;
        }
    }

    fn error<T>(&self, problem: &str) -> Done<T> {
        let line = self.mark.line;
        fault(if line == 0 { 0 } else { line + 1 }, problem)
    }

    fn push(&mut self, kind: Kind, start: Mark) {
        self.tokens.push_back(Token { kind, start });
    }

    /// One character that is a token.
    fn single(&mut self, kind: Kind) {
        let start = self.mark;
        self.advance();
        self.push(kind, start);
    }

    fn fetch(&mut self) -> Done<()> {
        self.skip_to_token();
        self.unroll(self.mark.column as i64);
        if self.cut && self.bytes[self.pos..].iter().filter(|byte| (**byte as i8) >= -0x40).count() < 4 {
            // Upstream looks four characters ahead here.
            self.starved.set(true);
        }
        if self.is_end(0) {
            if self.mark.column != 0 {
                self.mark.column = 0;
                self.mark.line += 1;
            }
            self.unroll(-1);
            self.remove_key()?;
            self.key_allowed = false;
            self.ended = true;
            self.push(Kind::StreamEnd, self.mark);
            return Ok(());
        }
        let here = self.at(0);
        if self.mark.column == 0 && here == b'%' {
            self.unroll(-1);
            self.remove_key()?;
            self.key_allowed = false;
            return self.directive();
        }
        if self.at_document_mark() {
            self.unroll(-1);
            self.remove_key()?;
            self.key_allowed = false;
            let start = self.mark;
            (0..3).for_each(|_| self.advance());
            self.push(if here == b'-' { Kind::DocumentStart } else { Kind::DocumentEnd }, start);
            return Ok(());
        }
        match here {
            b'[' | b'{' => {
                self.save_key()?;
                // It has the number of the bracket itself, which can so no longer be a key if nothing in it could.
                let token = self.taken + self.tokens.len();
                self.keys.push(SimpleKey { token, ..SimpleKey::default() });
                self.flow += 1;
                if self.flow > super::DEPTH {
                    return self.error("exceeded max depth of 10000");
                }
                self.key_allowed = true;
                self.single(if here == b'[' { Kind::FlowSequenceStart } else { Kind::FlowMappingStart });
            }
            b']' | b'}' => {
                self.remove_key()?;
                if self.flow > 0 {
                    self.flow -= 1;
                    if let Some(key) = self.keys.pop() {
                        self.forget(key.token);
                    }
                }
                self.key_allowed = false;
                self.single(if here == b']' { Kind::FlowSequenceEnd } else { Kind::FlowMappingEnd });
            }
            b',' => {
                self.remove_key()?;
                self.key_allowed = true;
                self.single(Kind::FlowEntry);
            }
            b'-' if self.is_blank_or_end(1) => {
                if self.flow == 0 {
                    if !self.key_allowed {
                        return self.error("block sequence entries are not allowed in this context");
                    }
                    self.roll(self.mark, None, Kind::SequenceStart)?;
                }
                self.remove_key()?;
                self.key_allowed = true;
                self.single(Kind::BlockEntry);
            }
            b'?' if self.flow > 0 || self.is_blank_or_end(1) => {
                if self.flow == 0 {
                    if !self.key_allowed {
                        return self.error("mapping keys are not allowed in this context");
                    }
                    self.roll(self.mark, None, Kind::MappingStart)?;
                }
                self.remove_key()?;
                self.key_allowed = self.flow == 0;
                self.single(Kind::Key);
            }
            b':' if self.flow > 0 || self.is_blank_or_end(1) => self.value()?,
            b'*' | b'&' => {
                self.save_key()?;
                self.key_allowed = false;
                self.anchor(here == b'*')?;
            }
            b'!' => {
                self.save_key()?;
                self.key_allowed = false;
                self.tag()?;
            }
            b'|' | b'>' if self.flow == 0 => {
                self.remove_key()?;
                self.key_allowed = true;
                self.block_scalar(here == b'|')?;
            }
            b'\'' | b'"' => {
                self.save_key()?;
                self.key_allowed = false;
                self.quoted(here == b'\'')?;
            }
            _ => {
                let starts = !(self.is_blank_or_end(0) || b"-?:,[]{}#&*!|>'\"%@`".contains(&here))
                    || here == b'-' && !self.is_blank(1)
                    || self.flow == 0 && matches!(here, b'?' | b':') && !self.is_blank_or_end(1);
                if !starts {
                    return self.error("found character that cannot start any token");
                }
                self.save_key()?;
                self.key_allowed = false;
                self.plain()?;
            }
        }
        Ok(())
    }

    fn key_is_valid(&mut self, at: usize) -> Done<bool> {
        let key = self.keys[at];
        if !key.possible {
            return Ok(false);
        }
        if key.mark.line < self.mark.line || key.mark.index + 1024 < self.mark.index {
            if key.required {
                return self.error("could not find expected ':'");
            }
            self.keys[at].possible = false;
            return Ok(false);
        }
        Ok(true)
    }

    fn save_key(&mut self) -> Done<()> {
        if self.key_allowed {
            let required = self.flow == 0 && self.indent == self.mark.column as i64;
            let token = self.taken + self.tokens.len();
            self.remove_key()?;
            *self.last_key() = SimpleKey { possible: true, required, token, mark: self.mark };
            self.forget(token);
            self.by_token.push((token, self.keys.len() - 1));
        }
        Ok(())
    }

    fn last_key(&mut self) -> &mut SimpleKey {
        self.keys.last_mut().expect("because the first is never taken away")
    }

    fn remove_key(&mut self) -> Done<()> {
        let key = *self.last_key();
        if key.possible && key.required {
            return self.error("could not find expected ':'");
        }
        if key.possible {
            self.last_key().possible = false;
            self.forget(key.token);
        }
        Ok(())
    }

    fn forget(&mut self, token: usize) {
        self.by_token.retain(|(own, _)| *own != token);
    }

    /// Puts a token before that of a number; if that was taken it comes last, as upstream.
    fn put_before(&mut self, number: usize, token: Token) {
        match number.checked_sub(self.taken) {
            Some(at) => self.tokens.insert(at, token),
            None => self.tokens.push_back(token),
        }
    }

    fn roll(&mut self, mark: Mark, before: Option<usize>, kind: Kind) -> Done<()> {
        if self.flow > 0 || self.indent >= mark.column as i64 {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = mark.column as i64;
        if self.indents.len() > super::DEPTH {
            return self.error("exceeded max depth of 10000");
        }
        let token = Token { kind, start: mark };
        match before {
            Some(number) => self.put_before(number, token),
            None => self.tokens.push_back(token),
        }
        Ok(())
    }

    fn unroll(&mut self, column: i64) {
        while self.flow == 0 && self.indent > column {
            self.push(Kind::BlockEnd, self.mark);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn value(&mut self) -> Done<()> {
        let last = self.keys.len() - 1;
        let key = self.keys[last];
        if self.key_is_valid(last)? {
            let token = Token { kind: Kind::Key, start: key.mark };
            self.put_before(key.token, token);
            self.roll(key.mark, Some(key.token), Kind::MappingStart)?;
            self.keys[last].possible = false;
            self.forget(key.token);
            self.key_allowed = false;
        } else {
            if self.flow == 0 {
                if !self.key_allowed {
                    return self.error("mapping values are not allowed in this context");
                }
                self.roll(self.mark, None, Kind::MappingStart)?;
            }
            self.key_allowed = self.flow == 0;
        }
        self.single(Kind::Value);
        Ok(())
    }
}
