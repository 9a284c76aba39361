//! The four forms of texts, with their escapes.

use super::super::cursor::{END, Read, is_line};
use super::{Reader, Token};
use crate::go::quote;

impl Reader<'_> {
    pub(super) fn token(&self) -> Token {
        Token { text: self.cursor.current(), line: self.cursor.line }
    }

    pub(super) fn basic(&mut self) -> Read<Token> {
        self.cursor.start = self.cursor.pos;
        loop {
            match self.cursor.next()? {
                END => return self.cursor.fault("unexpected EOF; expected '\"'"),
                char if is_line(char) => return self.cursor.fault_before("strings cannot contain newlines"),
                '\\' => self.escape()?,
                '"' => break,
                _ => {}
            }
        }
        self.cursor.backup();
        let token = self.token();
        self.cursor.next()?;
        Ok(token)
    }

    pub(super) fn literal(&mut self) -> Read<Token> {
        self.cursor.start = self.cursor.pos;
        loop {
            match self.cursor.next()? {
                END => return self.cursor.fault("unexpected EOF; expected \"'\""),
                char if is_line(char) => return self.cursor.fault_before("strings cannot contain newlines"),
                '\'' => break,
                _ => {}
            }
        }
        self.cursor.backup();
        let token = self.token();
        self.cursor.next()?;
        Ok(token)
    }

    pub(super) fn long_basic(&mut self) -> Read<Token> {
        self.cursor.start = self.cursor.pos;
        loop {
            match self.cursor.next()? {
                END => return self.cursor.fault("unexpected EOF; expected '\"\"\"'"),
                '\\' if is_line(self.cursor.next()?) => {}
                '\\' => {
                    self.cursor.backup();
                    self.escape()?;
                }
                '"' => {
                    if let Some(token) = self.close('"')? {
                        return Ok(token);
                    }
                }
                _ => {}
            }
        }
    }

    pub(super) fn long_literal(&mut self) -> Read<Token> {
        self.cursor.start = self.cursor.pos;
        loop {
            match self.cursor.next()? {
                END => return self.cursor.fault("unexpected EOF; expected \"'''\""),
                '\'' => {
                    if let Some(token) = self.close('\'')? {
                        return Ok(token);
                    }
                }
                _ => {}
            }
        }
    }

    /// Behind one quote of a long text: the text, if two more follow and end it. Up to two quotes may stand before the end.
    pub(super) fn close(&mut self, quote: char) -> Read<Option<Token>> {
        if !self.doubled(quote)? {
            return Ok(None);
        }
        if self.cursor.peek()? == quote {
            let current = self.cursor.current();
            let five = quote.to_string().repeat(5);
            if current.ends_with(&five) && !(quote == '"' && current.ends_with(&format!("\\{five}"))) {
                let shown = match quote {
                    '"' => "unexpected '\"\"\"\"\"\"'",
                    _ => "unexpected \"''''''\"",
                };
                return self.cursor.fault(shown);
            }
            self.cursor.backup();
            self.cursor.backup();
            return Ok(None);
        }
        for _ in 0..3 {
            self.cursor.backup();
        }
        let token = self.token();
        for _ in 0..3 {
            self.cursor.next()?;
        }
        Ok(Some(token))
    }

    pub(super) fn escape(&mut self) -> Read<()> {
        let (count, said) = match self.cursor.next()? {
            'e' | 'b' | 't' | 'n' | 'f' | 'r' | '"' | ' ' | '\t' | '\\' => return Ok(()),
            'x' => (2, "two hexadecimal digits after '\\x'"),
            'u' => (4, "four hexadecimal digits after '\\u'"),
            'U' => (8, "eight hexadecimal digits after '\\U'"),
            other => return self.cursor.fault_of_escape(format!("invalid escape in string '\\{other}'")),
        };
        for _ in 0..count {
            if !self.cursor.next()?.is_ascii_hexdigit() {
                let current = quote::quote(self.cursor.current().as_bytes());
                return self.cursor.fault(format!("expected {said}, but got {current} instead"));
            }
        }
        Ok(())
    }

    /// What a text with escapes says.
    pub(super) fn escapes(&self, token: &Token) -> Read<String> {
        let mut out = String::new();
        let mut rest = token.text.as_str();
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            let kind = rest[at + 1..].chars().next().unwrap_or('\\');
            rest = &rest[(at + 1 + kind.len_utf8()).min(rest.len())..];
            let count = match kind {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => {
                    out.push(match kind {
                        'b' => '\u{8}',
                        't' => '\t',
                        'n' => '\n',
                        'f' => '\u{c}',
                        'r' => '\r',
                        'e' => '\u{1b}',
                        '"' | '\\' => kind,
                        other => return Err((token.line, format!("invalid escape: '\\{other}'"))),
                    });
                    continue;
                }
            };
            let hex = &rest[..count.min(rest.len())];
            match u32::from_str_radix(hex, 16).ok().and_then(char::from_u32) {
                Some(char) => out.push(char),
                None => {
                    return Err((token.line, format!("Escaped character '\\u{hex}' is not valid UTF-8.")));
                }
            }
            rest = &rest[hex.len()..];
        }
        out.push_str(rest);
        Ok(out)
    }

    // Numbers and dates.
}

pub(super) fn without_first_line(text: &str) -> &str {
    text.strip_prefix('\n').or_else(|| text.strip_prefix("\r\n")).unwrap_or(text)
}

/// Takes away line ends that are escaped, with the blanks around them.
pub(super) fn without_line_ends(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = behind.strip_prefix("\\\\") {
            out.push_str("\\\\");
            rest = after;
            continue;
        }
        let next = behind[1..].trim_start_matches([' ', '\t', '\r', '\n']);
        if !behind[..behind.len() - next.len()].contains('\n') {
            out.push('\\');
            rest = &behind[1..];
            continue;
        }
        rest = next;
    }
    out.push_str(rest);
    out
}
