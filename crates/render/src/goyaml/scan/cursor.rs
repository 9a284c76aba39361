//! Where the scanner stands in the text: what is there, and how it goes on.

use super::Scanner;

impl Scanner<'_> {
    pub(super) fn at(&self, ahead: usize) -> u8 {
        if self.is_end(ahead) { 0 } else { self.bytes[self.pos + ahead] }
    }

    pub(super) fn is_end(&self, ahead: usize) -> bool {
        let end = self.pos + ahead >= self.bytes.len();
        if end && self.cut {
            self.starved.set(true);
        }
        end
    }

    /// The bytes of a line break that is here.
    pub(super) fn line_break(&self, ahead: usize) -> usize {
        if self.is_end(ahead) {
            return 0;
        }
        match self.bytes[self.pos + ahead..] {
            [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
            _ => 0,
        }
    }

    pub(super) fn is_break(&self, ahead: usize) -> bool {
        self.line_break(ahead) > 0
    }

    pub(super) fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.at(ahead), b' ' | b'\t')
    }

    pub(super) fn is_break_or_end(&self, ahead: usize) -> bool {
        self.is_end(ahead) || self.is_break(ahead)
    }

    pub(super) fn is_blank_or_end(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_break_or_end(ahead)
    }

    pub(super) fn is_word(&self) -> bool {
        self.at(0).is_ascii_alphanumeric() || matches!(self.at(0), b'_' | b'-')
    }

    pub(super) fn width(&self) -> usize {
        match self.at(0) {
            0..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        }
    }

    pub(super) fn advance(&mut self) {
        self.pos += self.width();
        self.mark.index += 1;
        self.mark.column += 1;
    }

    pub(super) fn read(&mut self, out: &mut Vec<u8>) {
        let end = (self.pos + self.width()).min(self.bytes.len());
        out.extend_from_slice(&self.bytes[self.pos..end]);
        self.advance();
    }

    pub(super) fn skip_line(&mut self) {
        let length = self.line_break(0);
        self.pos += length;
        self.mark.index += if length == 2 && self.bytes[self.pos - 2] == b'\r' { 2 } else { 1 };
        self.mark.column = 0;
        self.mark.line += 1;
    }

    pub(super) fn read_line(&mut self, out: &mut Vec<u8>) {
        match self.line_break(0) {
            0 => return,
            3 => out.extend_from_slice(&self.bytes[self.pos..self.pos + 3]),
            _ => out.push(b'\n'),
        }
        self.skip_line();
    }

    pub(super) fn at_document_mark(&self) -> bool {
        self.mark.column == 0
            && (self.bytes[self.pos..].starts_with(b"---") || self.bytes[self.pos..].starts_with(b"..."))
            && self.is_blank_or_end(3)
    }

    pub(super) fn skip_comment(&mut self) {
        if self.at(0) == b'#' {
            while !self.is_break_or_end(0) {
                self.advance();
            }
        }
    }

    pub(super) fn skip_to_token(&mut self) {
        loop {
            // Upstream looks for a mark of the byte order at the start of what it has read, and passes over what is here.
            if self.mark.column == 0 && self.bytes.starts_with(b"\xef\xbb\xbf") && !self.is_end(0) {
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

    pub(super) fn blanks(&mut self) {
        while self.is_blank(0) {
            self.advance();
        }
    }

    pub(super) fn word(&mut self) -> String {
        let mut out = Vec::new();
        while self.is_word() {
            self.read(&mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}
