//! The string functions that Sprig takes from goutils and xstrings: words, case, abbreviations, wrapping.

use crate::go::text::{self, is_space, to_lower, to_title, to_upper};
use crate::go::{Str, Value};

/// `AbbreviateFull`, counted in bytes; a width that upstream refuses gives the text as it is (`good` is false) or nothing.
pub(super) fn abbreviate(value: &Str, offset: i64, width: i64, good: bool) -> Value {
    if !good {
        return Value::Str(value.clone());
    }
    Value::Str(shorten(value.bytes(), offset, width).into())
}

fn shorten(bytes: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let length = bytes.len() as i64;
    if bytes.is_empty() || width < 4 {
        return Vec::new();
    }
    if length <= width {
        return bytes.to_vec();
    }
    let mut offset = offset.min(length);
    if length - offset < width - 3 {
        offset = length - (width - 3);
    }
    if offset <= 4 {
        return [&bytes[..(width - 3) as usize], b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + width - 3 < length {
        return [b"...".as_slice(), &shorten(&bytes[offset as usize..], 0, width - 3)].concat();
    }
    [b"...", &bytes[(length - (width - 3)) as usize..]].concat()
}

/// `strings.Title`: a letter after something that is no letter, digit, mark or underscore.
pub(super) fn title(text: &str) -> String {
    let mut before = ' ';
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        out.push(if separates(before) { to_title(char) } else { char });
        before = char;
    }
    out
}

fn separates(char: char) -> bool {
    if char.is_ascii() {
        return !(char.is_ascii_alphanumeric() || char == '_');
    }
    !char.is_alphabetic() && !char.is_numeric() && is_space(char)
}

pub(super) fn untitle(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|char| {
            let space = is_space(char);
            let out = if !space && start { to_lower(char) } else { char };
            start = space;
            out
        })
        .collect()
}

/// Each byte is taken for a character, as upstream does: what is not ASCII comes out as Latin-1.
pub(super) fn no_space(bytes: &[u8]) -> Vec<u8> {
    if !bytes.iter().any(|byte| is_space(*byte as char)) {
        return bytes.to_vec();
    }
    bytes.iter().map(|byte| *byte as char).filter(|char| !is_space(*char)).collect::<String>().into_bytes()
}

/// The first letter of each word, by bytes as above.
pub(super) fn initials(bytes: &[u8]) -> String {
    let mut gap = true;
    let mut out = String::new();
    for char in bytes.iter().map(|byte| *byte as char) {
        if is_space(char) {
            gap = true;
        } else if std::mem::take(&mut gap) {
            out.push(char);
        }
    }
    out
}

pub(super) fn swap_case(text: &str) -> String {
    let mut space = true;
    text.chars()
        .map(|char| {
            if char.is_uppercase() || to_title(char) == char && to_lower(char) != char {
                space = false;
                to_lower(char)
            } else if char.is_lowercase() {
                if std::mem::take(&mut space) { to_title(char) } else { to_upper(char) }
            } else {
                space = is_space(char);
                char
            }
        })
        .collect()
}

/// `WrapCustom`, counted in bytes.
pub(super) fn wrap(bytes: &[u8], width: i64, newline: &[u8], long_words: bool) -> Vec<u8> {
    let newline = if newline.is_empty() { b"\n".as_slice() } else { newline };
    let width = width.max(1) as usize;
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while bytes.len() - at > width {
        if bytes[at] == b' ' {
            at += 1;
            continue;
        }
        let space = bytes[at..at + width + 1].iter().rposition(|byte| *byte == b' ');
        let end = match space {
            Some(space) => at + space,
            None if long_words => {
                out.extend_from_slice(&bytes[at..at + width]);
                out.extend_from_slice(newline);
                at += width;
                continue;
            }
            None => match bytes[at + width..].iter().position(|byte| *byte == b' ') {
                Some(space) => at + width + space,
                None => {
                    out.extend_from_slice(&bytes[at..]);
                    return out;
                }
            },
        };
        out.extend_from_slice(&bytes[at..end]);
        out.extend_from_slice(newline);
        at = end + 1;
    }
    out.extend_from_slice(&bytes[at..]);
    out
}

fn connects(char: char) -> bool {
    char == '-' || char == '_' || is_space(char)
}

/// `ToPascalCase`.
pub(super) fn pascal_case(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    // Connectors at the start stay.
    while let Some(char) = chars.next_if(|char| connects(*char)) {
        if chars.peek().is_none() {
            out.push(char);
            out.push(char);
            out.pop();
            return out;
        }
        out.push(char);
    }
    let Some(first) = chars.next() else { return out };
    let mut upper_word = first.is_uppercase();
    let mut current = to_upper(first);
    for next in chars {
        let before = current;
        current = next;
        if connects(current) && connects(before) {
            out.push(before);
            continue;
        }
        if connects(before) {
            upper_word = current.is_uppercase();
            current = to_upper(current);
        } else {
            if upper_word {
                if current.is_uppercase() {
                    current = to_lower(current);
                } else {
                    upper_word = false;
                }
            }
            out.push(before);
        }
    }
    out.push(current);
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Number,
    Upper,
    Alphabet,
    Connector,
    Punct,
    Other,
}

fn is_punct(char: char) -> bool {
    use std::sync::LazyLock;
    static PUNCT: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r"^\p{P}$").expect("because the pattern is constant"));
    if char.is_ascii() {
        return char.is_ascii_punctuation() && !"$+<=>^`|~".contains(char);
    }
    PUNCT.is_match(char.encode_utf8(&mut [0; 4]))
}

/// Letters that have no case are no letters of a word.
fn is_alphabet(char: char) -> bool {
    char.is_uppercase() || char.is_lowercase() || char.is_alphabetic() && char < '\u{2e80}'
}

/// The next word of a text: its kind, and its length in bytes.
fn word(value: &str) -> (Word, usize) {
    let run = |keep: &dyn Fn(char) -> bool| {
        value.char_indices().find(|(_, char)| !keep(*char)).map_or(value.len(), |(at, _)| at)
    };
    let mut chars = value.chars();
    let Some(first) = chars.next() else { return (Word::None, 0) };
    if first == '\u{fffd}' {
        return (Word::None, first.len_utf8());
    }
    if connects(first) {
        return (Word::Connector, run(&connects));
    }
    if is_punct(first) {
        return (Word::Punct, run(&is_punct));
    }
    if first.is_uppercase() {
        let size = first.len_utf8();
        match chars.next() {
            Some(second) if second.is_uppercase() => {
                let end = run(&|char: char| char.is_uppercase());
                // The last capital begins the next word, if a small letter follows.
                let follows = value[end..].chars().next().is_some_and(is_alphabet);
                let last = value[..end].chars().next_back().map_or(0, char::len_utf8);
                (Word::Upper, if follows { end - last } else { end })
            }
            Some(second) if is_alphabet(second) => {
                let end = value[size..]
                    .char_indices()
                    .find(|(_, char)| !is_alphabet(*char) || char.is_uppercase())
                    .map_or(value.len(), |(at, _)| size + at);
                (Word::Upper, end)
            }
            _ => (Word::Upper, size),
        }
    } else if is_alphabet(first) {
        (Word::Alphabet, run(&|char: char| is_alphabet(char) && !char.is_uppercase()))
    } else if first.is_numeric() {
        (Word::Number, run(&char::is_numeric))
    } else {
        (
            Word::Other,
            run(&|char: char| !(connects(char) || is_alphabet(char) || char.is_numeric() || is_punct(char))),
        )
    }
}

/// `ToSnakeCase` and `ToKebabCase`: words in lower case with a connector between them; numbers stay with what is before them.
pub(super) fn lower_case_words(value: &str, connector: char) -> String {
    let mut out = String::with_capacity(value.len() + 4);
    let mut rest = value;
    let mut next = || {
        let (kind, length) = word(rest);
        let found = &rest[..length];
        rest = &rest[length..];
        (kind, found, !rest.is_empty())
    };
    let lower = |kind: Word, found: &str, out: &mut String| {
        if kind != Word::Upper && kind != Word::Connector {
            out.push_str(found);
            return;
        }
        out.extend(found.chars().map(|char| if connects(char) { connector } else { to_lower(char) }));
    };
    let joins = |kind: Word| kind == Word::Alphabet || kind == Word::Number;
    let apart = |kind: Word| kind != Word::Connector && kind != Word::Punct;
    let (mut kind, mut found, mut more) = next();
    while more {
        if kind != Word::Connector {
            lower(kind, found, &mut out);
        }
        let (before, last) = (kind, found);
        (kind, found, more) = next();
        match before {
            Word::Number => {
                while joins(kind) {
                    lower(kind, found, &mut out);
                    (kind, found, more) = next();
                }
                if kind != Word::None && apart(kind) {
                    out.push(connector);
                }
            }
            Word::Connector => lower(before, last, &mut out),
            Word::Punct => {}
            _ if kind != Word::Number => {
                if apart(kind) {
                    out.push(connector);
                }
            }
            _ if !more => {}
            _ => {
                let number = found;
                (kind, found, more) = next();
                if kind != Word::Alphabet {
                    lower(Word::Number, number, &mut out);
                    if apart(kind) {
                        out.push(connector);
                    }
                    continue;
                }
                out.push(connector);
                lower(Word::Number, number, &mut out);
                while joins(kind) {
                    lower(kind, found, &mut out);
                    (kind, found, more) = next();
                }
                if kind != Word::None && apart(kind) {
                    out.push(connector);
                }
            }
        }
    }
    lower(kind, found, &mut out);
    debug_assert!(text::first(b"a").is_some());
    out
}
