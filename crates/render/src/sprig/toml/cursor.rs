//! The characters of a TOML text, and where they are: lines are counted as the library counts them, so that errors name the same.

/// What stands for the end of the text; the character itself may stand nowhere in one.
pub(super) const END: char = '\0';

/// A fault before it is told which key it belongs to: the line and what is wrong.
pub(super) type Read<T> = Result<T, (i64, String)>;

pub(super) struct Cursor<'t> {
    input: &'t [u8],
    /// Where the token that is being read starts.
    pub start: usize,
    pub pos: usize,
    pub line: i64,
    /// Of the characters that were read last, the newest first.
    widths: [usize; 4],
    ended: bool,
}

pub(super) fn is_blank(char: char) -> bool {
    matches!(char, '\t' | ' ')
}

pub(super) fn is_line(char: char) -> bool {
    matches!(char, '\n' | '\r')
}

pub(super) fn is_bare(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '-')
}

impl<'t> Cursor<'t> {
    pub fn new(input: &'t [u8]) -> Cursor<'t> {
        Cursor { input, start: 0, pos: 0, line: 1, widths: [0; 4], ended: false }
    }

    /// The next character, or [`END`].
    pub fn next(&mut self) -> Read<char> {
        let rest = &self.input[self.pos..];
        let Some(first) = rest.first() else {
            self.ended = true;
            return Ok(END);
        };
        if *first == b'\n' {
            self.line += 1;
        }
        let width = match *first {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        let char = rest.get(..width).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let Some(char) = char.and_then(|text| text.chars().next()) else {
            return Err((self.line, format!("invalid UTF-8 byte: 0x{first:02x}")));
        };
        let control = (char as u32) < 0x20 && !matches!(char, '\t' | '\r' | '\n') || char == '\u{7f}';
        if control || char == '\r' && rest.get(1) != Some(&b'\n') {
            let number = char as u32;
            return Err((
                self.line,
                format!("TOML files cannot contain control characters: '0x{number:02x}'"),
            ));
        }
        self.widths = [width, self.widths[0], self.widths[1], self.widths[2]];
        self.pos += width;
        Ok(char)
    }

    /// One character back; four times at most.
    pub fn backup(&mut self) {
        if std::mem::take(&mut self.ended) {
            return;
        }
        self.pos -= self.widths[0];
        self.widths = [self.widths[1], self.widths[2], self.widths[3], 0];
        if self.input.get(self.pos) == Some(&b'\n') {
            self.line -= 1;
        }
    }

    pub fn peek(&mut self) -> Read<char> {
        let char = self.next()?;
        self.backup();
        Ok(char)
    }

    pub fn accept(&mut self, wanted: char) -> Read<bool> {
        let found = self.next()? == wanted;
        if !found {
            self.backup();
        }
        Ok(found)
    }

    pub fn skip_blanks(&mut self) -> Read<()> {
        while is_blank(self.next()?) {}
        self.backup();
        self.start = self.pos;
        Ok(())
    }

    /// Goes on while characters are of a kind.
    pub fn take(&mut self, of: impl Fn(char) -> bool) -> Read<()> {
        while of(self.next()?) {}
        self.backup();
        Ok(())
    }

    /// The token so far.
    pub fn current(&self) -> String {
        String::from_utf8_lossy(&self.input[self.start.min(self.pos)..self.pos]).into_owned()
    }

    /// A fault here, or, at the end of the text, on its last line that has something.
    pub fn fault<T>(&self, text: impl Into<String>) -> Read<T> {
        let blank = self.ended && self.pos >= 1 && self.input[self.pos - 1] == b'\n';
        Err((self.line - i64::from(blank), text.into()))
    }

    /// A fault of the line before, which is the one that a line break ended.
    pub fn fault_before<T>(&self, text: impl Into<String>) -> Read<T> {
        Err((self.line - 1, text.into()))
    }

    /// A fault of an escape.
    pub fn fault_of_escape<T>(&self, text: impl Into<String>) -> Read<T> {
        if self.ended { self.fault_before(text) } else { Err((self.line, text.into())) }
    }
}
