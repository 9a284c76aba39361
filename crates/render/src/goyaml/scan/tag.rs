//! Directives, anchors and tags.

use super::{Done, Kind, Scanner};

impl Scanner<'_> {
    pub(super) fn directive(&mut self) -> Done<()> {
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
                Kind::TagDirective(Box::new((handle, prefix)))
            }
            _ => return self.error("found unknown directive name"),
        };
        self.push(kind, start);
        self.rest_of_line()
    }

    /// Passes over blanks and a comment; anything else is an error.
    pub(super) fn rest_of_line(&mut self) -> Done<()> {
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

    pub(super) fn version_number(&mut self) -> Done<u8> {
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

    pub(super) fn anchor(&mut self, alias: bool) -> Done<()> {
        let start = self.mark;
        self.advance();
        let name = self.word();
        if name.is_empty() || !(self.is_blank_or_end(0) || b"?:,]}%@`".contains(&self.at(0))) {
            return self.error("did not find expected alphabetic or numeric character");
        }
        self.push(if alias { Kind::Alias(name) } else { Kind::Anchor(name) }, start);
        Ok(())
    }

    pub(super) fn tag(&mut self) -> Done<()> {
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
        self.push(Kind::Tag(Box::new((handle, suffix))), start);
        Ok(())
    }

    pub(super) fn tag_handle(&mut self, directive: bool) -> Done<String> {
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

    pub(super) fn tag_uri(&mut self, head: &str) -> Done<String> {
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
}
