//! Text to tokens, as libyaml cuts it: indentation becomes tokens, and a key is known for one only when its `:` comes.
//!
//! Long because a scanner is one state machine: its parts share the simple keys, the indents and the flow level.

use std::collections::VecDeque;

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
    TagDirective(String, String),
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
    Tag(String, String),
    /// Text, and whether it is plain.
    Scalar(String, bool),
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
    key_allowed: bool,
}

type Done<T> = Result<T, String>;

/// The text of a fault: go-yaml tells no line for the first.
pub(super) fn fault<T>(line: usize, problem: &str) -> Done<T> {
    Err(if line == 0 { format!("yaml: {problem}") } else { format!("yaml: line {line}: {problem}") })
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Done<Scanner<'a>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let allowed = |char: char| matches!(char, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        if !text.chars().all(allowed) {
            return Err("yaml: control characters are not allowed".into());
        }
        Ok(Scanner {
            bytes: text.as_bytes(),
            pos: 0,
            mark: Mark::default(),
            tokens: VecDeque::new(),
            taken: 0,
            ended: false,
            flow: 0,
            indent: -1,
            indents: Vec::new(),
            keys: vec![SimpleKey::default()],
            key_allowed: true,
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
            if !self.tokens.is_empty() {
                let taken = self.taken;
                let pending = self.keys.iter().position(|key| key.possible && key.token == taken);
                match pending {
                    None => return Ok(()),
                    Some(at) => {
                        if !self.key_is_valid(at)? {
                            return Ok(());
                        }
                    }
                }
            }
            if self.ended {
                return Ok(());
            }
            self.fetch()?;
        }
    }

    fn error<T>(&self, problem: &str) -> Done<T> {
        let line = self.mark.line;
        fault(if line == 0 { 0 } else { line + 1 }, problem)
    }

    fn at(&self, ahead: usize) -> u8 {
        self.bytes.get(self.pos + ahead).copied().unwrap_or(0)
    }

    fn is_end(&self, ahead: usize) -> bool {
        self.pos + ahead >= self.bytes.len()
    }

    /// The bytes of a line break that is here.
    fn line_break(&self, ahead: usize) -> usize {
        match self.bytes.get(self.pos + ahead..).unwrap_or_default() {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            [0xc2, 0x85, ..] => 2,
            [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
            _ => 0,
        }
    }

    fn is_break(&self, ahead: usize) -> bool {
        self.line_break(ahead) > 0
    }

    fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.at(ahead), b' ' | b'\t')
    }

    fn is_break_or_end(&self, ahead: usize) -> bool {
        self.is_end(ahead) || self.is_break(ahead)
    }

    fn is_blank_or_end(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_break_or_end(ahead)
    }

    fn is_word(&self) -> bool {
        self.at(0).is_ascii_alphanumeric() || matches!(self.at(0), b'_' | b'-')
    }

    fn width(&self) -> usize {
        match self.at(0) {
            0..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        }
    }

    fn advance(&mut self) {
        self.pos += self.width();
        self.mark.index += 1;
        self.mark.column += 1;
    }

    fn read(&mut self, out: &mut Vec<u8>) {
        let end = (self.pos + self.width()).min(self.bytes.len());
        out.extend_from_slice(&self.bytes[self.pos..end]);
        self.advance();
    }

    fn skip_line(&mut self) {
        let length = self.line_break(0);
        self.pos += length;
        self.mark.index += if length == 2 && self.bytes[self.pos - 2] == b'\r' { 2 } else { 1 };
        self.mark.column = 0;
        self.mark.line += 1;
    }

    fn read_line(&mut self, out: &mut Vec<u8>) {
        match self.line_break(0) {
            0 => return,
            3 => out.extend_from_slice(&self.bytes[self.pos..self.pos + 3]),
            _ => out.push(b'\n'),
        }
        self.skip_line();
    }

    fn at_document_mark(&self) -> bool {
        self.mark.column == 0
            && (self.bytes[self.pos..].starts_with(b"---") || self.bytes[self.pos..].starts_with(b"..."))
            && self.is_blank_or_end(3)
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
                self.keys.push(SimpleKey::default());
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
                    self.keys.pop();
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
        self.last_key().possible = false;
        Ok(())
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
            Some(number) => self.tokens.insert(number - self.taken, token),
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
            self.tokens.insert(key.token - self.taken, token);
            self.roll(key.mark, Some(key.token), Kind::MappingStart)?;
            self.keys[last].possible = false;
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

    fn skip_comment(&mut self) {
        if self.at(0) == b'#' {
            while !self.is_break_or_end(0) {
                self.advance();
            }
        }
    }

    fn skip_to_token(&mut self) {
        loop {
            if self.mark.column == 0 && self.bytes[self.pos..].starts_with(b"\xef\xbb\xbf") {
                self.advance();
            }
            while self.at(0) == b' ' || self.at(0) == b'\t' && (self.flow > 0 || !self.key_allowed) {
                self.advance();
            }
            self.skip_comment();
            if !self.is_break(0) {
                return;
            }
            self.skip_line();
            if self.flow == 0 {
                self.key_allowed = true;
            }
        }
    }

    fn blanks(&mut self) {
        while self.is_blank(0) {
            self.advance();
        }
    }

    fn word(&mut self) -> String {
        let mut out = Vec::new();
        while self.is_word() {
            self.read(&mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn directive(&mut self) -> Done<()> {
        let start = self.mark;
        self.advance();
        let name = self.word();
        if name.is_empty() {
            return self.error("could not find expected directive name");
        }
        if !self.is_blank_or_end(0) {
            return self.error("found unexpected non-alphabetical character");
        }
        let kind = match name.as_str() {
            "YAML" => {
                self.blanks();
                let major = self.version_number()?;
                if self.at(0) != b'.' {
                    return self.error("did not find expected digit or '.' character");
                }
                self.advance();
                Kind::Version(major, self.version_number()?)
            }
            "TAG" => {
                self.blanks();
                let handle = self.tag_handle(true)?;
                if !self.is_blank(0) {
                    return self.error("did not find expected whitespace");
                }
                self.blanks();
                let prefix = self.tag_uri("")?;
                if !self.is_blank_or_end(0) {
                    return self.error("did not find expected whitespace or line break");
                }
                Kind::TagDirective(handle, prefix)
            }
            _ => return self.error("found unknown directive name"),
        };
        self.push(kind, start);
        self.rest_of_line()
    }

    /// Passes over blanks and a comment; anything else is an error.
    fn rest_of_line(&mut self) -> Done<()> {
        self.blanks();
        self.skip_comment();
        if !self.is_break_or_end(0) {
            return self.error("did not find expected comment or line break");
        }
        if self.is_break(0) {
            self.skip_line();
        }
        Ok(())
    }

    fn version_number(&mut self) -> Done<u8> {
        let (mut value, mut length) = (0u8, 0);
        while self.at(0).is_ascii_digit() {
            length += 1;
            if length > 2 {
                return self.error("found extremely long version number");
            }
            value = value * 10 + (self.at(0) - b'0');
            self.advance();
        }
        if length == 0 {
            return self.error("did not find expected version number");
        }
        Ok(value)
    }

    fn anchor(&mut self, alias: bool) -> Done<()> {
        let start = self.mark;
        self.advance();
        let name = self.word();
        if name.is_empty() || !(self.is_blank_or_end(0) || b"?:,]}%@`".contains(&self.at(0))) {
            return self.error("did not find expected alphabetic or numeric character");
        }
        self.push(if alias { Kind::Alias(name) } else { Kind::Anchor(name) }, start);
        Ok(())
    }

    fn tag(&mut self) -> Done<()> {
        let start = self.mark;
        let (handle, suffix);
        if self.at(1) == b'<' {
            self.advance();
            self.advance();
            handle = String::new();
            suffix = self.tag_uri("")?;
            if self.at(0) != b'>' {
                return self.error("did not find the expected '>'");
            }
            self.advance();
        } else {
            let found = self.tag_handle(false)?;
            if found.len() > 1 && found.ends_with('!') {
                suffix = self.tag_uri("")?;
                handle = found;
            } else {
                let uri = self.tag_uri(&found)?;
                (handle, suffix) =
                    if uri.is_empty() { (String::new(), "!".into()) } else { ("!".into(), uri) };
            }
        }
        if !self.is_blank_or_end(0) {
            return self.error("did not find expected whitespace or line break");
        }
        self.push(Kind::Tag(handle, suffix), start);
        Ok(())
    }

    fn tag_handle(&mut self, directive: bool) -> Done<String> {
        if self.at(0) != b'!' {
            return self.error("did not find expected '!'");
        }
        self.advance();
        let mut handle = format!("!{}", self.word());
        if self.at(0) == b'!' {
            self.advance();
            handle.push('!');
        } else if directive && handle != "!" {
            return self.error("did not find expected '!'");
        }
        Ok(handle)
    }

    fn tag_uri(&mut self, head: &str) -> Done<String> {
        let mut out = head.get(1..).unwrap_or_default().as_bytes().to_vec();
        let mut any = !head.is_empty();
        while self.is_word() || b";/?:@&=+$,.!~*'()[]%".contains(&self.at(0)) && !self.is_end(0) {
            if self.at(0) == b'%' {
                let hex = [self.at(1), self.at(2)];
                let value = std::str::from_utf8(&hex).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                let Some(value) = value else { return self.error("did not find URI escaped octet") };
                out.push(value);
                (0..3).for_each(|_| self.advance());
            } else {
                self.read(&mut out);
            }
            any = true;
        }
        if !any {
            return self.error("did not find expected tag URI");
        }
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn block_scalar(&mut self, literal: bool) -> Done<()> {
        let start = self.mark;
        self.advance();
        let (mut chomping, mut increment) = (0i8, 0i64);
        for _ in 0..2 {
            match self.at(0) {
                sign @ (b'+' | b'-') if chomping == 0 => {
                    chomping = if sign == b'+' { 1 } else { -1 };
                    self.advance();
                }
                digit @ b'0'..=b'9' if increment == 0 => {
                    if digit == b'0' {
                        return self.error("found an indentation indicator equal to 0");
                    }
                    increment = i64::from(digit - b'0');
                    self.advance();
                }
                _ => {}
            }
        }
        self.rest_of_line()?;
        let mut indent = if increment > 0 { self.indent.max(0) + increment } else { 0 };
        let (mut out, mut leading, mut trailing) = (Vec::new(), Vec::new(), Vec::new());
        self.block_breaks(&mut indent, &mut trailing)?;
        let mut leading_blank = false;
        while self.mark.column as i64 == indent && !self.is_end(0) {
            let blank = self.is_blank(0);
            if !literal && !leading_blank && !blank && leading.first() == Some(&b'\n') {
                if trailing.is_empty() {
                    out.push(b' ');
                }
            } else {
                out.extend_from_slice(&leading);
            }
            leading.clear();
            out.append(&mut trailing);
            leading_blank = blank;
            while !self.is_break_or_end(0) {
                self.read(&mut out);
            }
            self.read_line(&mut leading);
            self.block_breaks(&mut indent, &mut trailing)?;
        }
        if chomping != -1 {
            out.extend_from_slice(&leading);
        }
        if chomping == 1 {
            out.extend_from_slice(&trailing);
        }
        let text = String::from_utf8_lossy(&out).into_owned();
        self.tokens.push_back(Token { kind: Kind::Scalar(text, false), start });
        Ok(())
    }

    fn block_breaks(&mut self, indent: &mut i64, breaks: &mut Vec<u8>) -> Done<()> {
        let mut widest = 0;
        loop {
            while (*indent == 0 || (self.mark.column as i64) < *indent) && self.at(0) == b' ' {
                self.advance();
            }
            widest = widest.max(self.mark.column as i64);
            if (*indent == 0 || (self.mark.column as i64) < *indent) && self.at(0) == b'\t' {
                return self.error("found a tab character where an indentation space is expected");
            }
            if !self.is_break(0) {
                break;
            }
            self.read_line(breaks);
        }
        if *indent == 0 {
            *indent = widest.max(self.indent + 1).max(1);
        }
        Ok(())
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Done<()> {
        let text: &[u8] = match self.at(1) {
            b'0' => b"\0",
            b'a' => b"\x07",
            b'b' => b"\x08",
            b't' | b'\t' => b"\t",
            b'n' => b"\n",
            b'v' => b"\x0b",
            b'f' => b"\x0c",
            b'r' => b"\r",
            b'e' => b"\x1b",
            b' ' => b" ",
            b'"' => b"\"",
            b'\'' => b"'",
            b'\\' => b"\\",
            b'N' => "\u{85}".as_bytes(),
            b'_' => "\u{a0}".as_bytes(),
            b'L' => "\u{2028}".as_bytes(),
            b'P' => "\u{2029}".as_bytes(),
            code @ (b'x' | b'u' | b'U') => {
                let length = match code {
                    b'x' => 2,
                    b'u' => 4,
                    _ => 8,
                };
                self.advance();
                self.advance();
                let mut value = 0u32;
                for at in 0..length {
                    let Some(digit) = (self.at(at) as char).to_digit(16) else {
                        return self.error("did not find expected hexdecimal number");
                    };
                    value = value.wrapping_shl(4) | digit;
                }
                let Some(char) = char::from_u32(value) else {
                    return self.error("found invalid Unicode character escape code");
                };
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                (0..length).for_each(|_| self.advance());
                return Ok(());
            }
            _ => return self.error("found unknown escape character"),
        };
        out.extend_from_slice(text);
        self.advance();
        self.advance();
        Ok(())
    }

    fn quoted(&mut self, single: bool) -> Done<()> {
        let start = self.mark;
        let quote = self.at(0);
        self.advance();
        let mut out = Vec::new();
        let (mut leading, mut trailing, mut spaces) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            if self.at_document_mark() {
                return self.error("found unexpected document indicator");
            }
            if self.is_end(0) {
                return self.error("found unexpected end of stream");
            }
            let mut broken = false;
            while !self.is_blank_or_end(0) {
                if single && self.at(0) == b'\'' && self.at(1) == b'\'' {
                    out.push(b'\'');
                    self.advance();
                    self.advance();
                } else if self.at(0) == quote {
                    break;
                } else if !single && self.at(0) == b'\\' && self.is_break(1) {
                    self.advance();
                    self.skip_line();
                    broken = true;
                    break;
                } else if !single && self.at(0) == b'\\' {
                    self.escape(&mut out)?;
                } else {
                    self.read(&mut out);
                }
            }
            if self.at(0) == quote && !self.is_end(0) {
                break;
            }
            while self.is_blank(0) || self.is_break(0) {
                if self.is_blank(0) {
                    if broken { self.advance() } else { self.read(&mut spaces) }
                } else if broken {
                    self.read_line(&mut trailing);
                } else {
                    spaces.clear();
                    self.read_line(&mut leading);
                    broken = true;
                }
            }
            if broken {
                fold(&mut out, &mut leading, &mut trailing);
            } else {
                out.append(&mut spaces);
            }
        }
        self.advance();
        self.push(Kind::Scalar(String::from_utf8_lossy(&out).into_owned(), false), start);
        Ok(())
    }

    fn plain(&mut self) -> Done<()> {
        let start = self.mark;
        let indent = self.indent + 1;
        let mut out = Vec::new();
        let (mut leading, mut trailing, mut spaces) = (Vec::new(), Vec::new(), Vec::new());
        let mut broken = false;
        loop {
            if self.at_document_mark() || self.at(0) == b'#' {
                break;
            }
            while !self.is_blank_or_end(0) {
                let here = self.at(0);
                if here == b':' && self.is_blank_or_end(1)
                    || self.flow > 0 && matches!(here, b',' | b'?' | b'[' | b']' | b'{' | b'}')
                {
                    break;
                }
                if broken {
                    fold(&mut out, &mut leading, &mut trailing);
                    broken = false;
                } else {
                    out.append(&mut spaces);
                }
                self.read(&mut out);
            }
            if !(self.is_blank(0) || self.is_break(0)) {
                break;
            }
            while self.is_blank(0) || self.is_break(0) {
                if self.is_blank(0) {
                    if broken && (self.mark.column as i64) < indent && self.at(0) == b'\t' {
                        return self.error("found a tab character that violates indentation");
                    }
                    if broken { self.advance() } else { self.read(&mut spaces) }
                } else if broken {
                    self.read_line(&mut trailing);
                } else {
                    spaces.clear();
                    self.read_line(&mut leading);
                    broken = true;
                }
            }
            if self.flow == 0 && (self.mark.column as i64) < indent {
                break;
            }
        }
        let text = String::from_utf8_lossy(&out).into_owned();
        self.tokens.push_back(Token { kind: Kind::Scalar(text, true), start });
        if broken {
            self.key_allowed = true;
        }
        Ok(())
    }
}

/// Joins lines: one break is a space, more are themselves but the first.
fn fold(out: &mut Vec<u8>, leading: &mut Vec<u8>, trailing: &mut Vec<u8>) {
    if leading.first() == Some(&b'\n') {
        if trailing.is_empty() {
            out.push(b' ');
        }
        leading.clear();
    } else {
        out.append(leading);
    }
    out.append(trailing);
}
