//! Scalars: blocks, texts in quotes, plain texts; and how their lines are joined.

use smol_str::SmolStr;

use super::{Done, Kind, Scanner, Style, Token};

impl Scanner<'_> {
    pub(super) fn block_scalar(&mut self, literal: bool) -> Done<()> {
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
                self.run(&mut out, |byte| matches!(byte, b' '..=b'~'));
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
        let text = text_of(&out);
        self.tokens.push_back(Token {
            kind: Kind::Scalar(text, if literal { Style::Literal } else { Style::Folded }),
            start,
        });
        Ok(())
    }

    pub(super) fn block_breaks(&mut self, indent: &mut i64, breaks: &mut Vec<u8>) -> Done<()> {
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

    pub(super) fn escape(&mut self, out: &mut Vec<u8>) -> Done<()> {
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

    /// Room to put a scalar together in, empty.
    fn scratch(&mut self) -> (Vec<u8>, Gap) {
        let (mut out, mut gap) = (std::mem::take(&mut self.scratch), std::mem::take(&mut self.gap));
        out.clear();
        gap.clear();
        (out, gap)
    }

    pub(super) fn quoted(&mut self, single: bool) -> Done<()> {
        let start = self.mark;
        let quote = self.at(0);
        self.advance();
        let (mut out, mut gap) = self.scratch();
        loop {
            if self.at_document_mark() {
                return self.error("found unexpected document indicator");
            }
            if self.is_end(0) {
                return self.error("found unexpected end of stream");
            }
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
                    gap.broken = true;
                    break;
                } else if !single && self.at(0) == b'\\' {
                    self.escape(&mut out)?;
                } else {
                    self.read(&mut out);
                    self.run(&mut out, |byte| {
                        matches!(byte, b'!'..=b'~') && !matches!(byte, b'\'' | b'"' | b'\\')
                    });
                }
            }
            if self.at(0) == quote && !self.is_end(0) {
                break;
            }
            self.gap(&mut gap, 0)?;
            gap.close(&mut out);
        }
        self.advance();
        self.push(Kind::Scalar(text_of(&out), Style::Quoted), start);
        (self.scratch, self.gap) = (out, gap);
        Ok(())
    }

    pub(super) fn plain(&mut self) -> Done<()> {
        let start = self.mark;
        let indent = self.indent + 1;
        let (mut out, mut gap) = self.scratch();
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
                gap.close(&mut out);
                self.read(&mut out);
                self.run(&mut out, |byte| {
                    byte.is_ascii_alphanumeric()
                        || matches!(byte, b'-' | b'_' | b'.' | b'/' | b'=' | b'@' | b'+' | b'"')
                });
            }
            if !(self.is_blank(0) || self.is_break(0)) {
                break;
            }
            self.gap(&mut gap, indent)?;
            if self.flow == 0 && (self.mark.column as i64) < indent {
                break;
            }
        }
        let text = text_of(&out);
        self.tokens.push_back(Token { kind: Kind::Scalar(text, Style::Plain), start });
        if gap.broken {
            self.key_allowed = true;
        }
        (self.scratch, self.gap) = (out, gap);
        Ok(())
    }

    /// Reads the bytes of ASCII that are part of a text wherever they stand in it, all at once.
    fn run(&mut self, out: &mut Vec<u8>, part: impl Fn(u8) -> bool) {
        let rest = &self.bytes[self.pos..];
        let length = rest.iter().take_while(|byte| part(**byte)).count();
        out.extend_from_slice(&rest[..length]);
        self.pos += length;
        self.mark.index += length;
        self.mark.column += length;
    }

    /// Reads blanks and breaks. Behind a break no tab may stand before the column `indent`.
    fn gap(&mut self, gap: &mut Gap, indent: i64) -> Done<()> {
        while self.is_blank(0) || self.is_break(0) {
            if self.is_blank(0) {
                if gap.broken && (self.mark.column as i64) < indent && self.at(0) == b'\t' {
                    return self.error("found a tab character that violates indentation");
                }
                if gap.broken { self.advance() } else { self.read(&mut gap.spaces) }
            } else if gap.broken {
                self.read_line(&mut gap.trailing);
            } else {
                gap.spaces.clear();
                self.read_line(&mut gap.leading);
                gap.broken = true;
            }
        }
        Ok(())
    }
}

/// What stands between two words of a scalar: blanks, or breaks, the first of which is kept by itself.
#[derive(Default)]
pub(super) struct Gap {
    spaces: Vec<u8>,
    leading: Vec<u8>,
    trailing: Vec<u8>,
    broken: bool,
}

impl Gap {
    fn clear(&mut self) {
        self.spaces.clear();
        self.leading.clear();
        self.trailing.clear();
        self.broken = false;
    }

    /// Writes it as it is read, and begins anew.
    fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.broken) {
            fold(out, &mut self.leading, &mut self.trailing);
        } else {
            out.append(&mut self.spaces);
        }
    }
}

/// Bytes as a text, of which nearly all are one.
fn text_of(bytes: &[u8]) -> SmolStr {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into(),
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
