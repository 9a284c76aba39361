//! Strings as bytes: decoding as Go does it, one U+FFFD for each byte that is not UTF-8, and unicode's classes.

use std::borrow::Cow;

/// The text of bytes; each byte that is part of no character becomes U+FFFD.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(chars(bytes).map(|(_, char, _)| char).collect()),
    }
}

/// Where a character starts, the character, and its length in bytes (1 for a byte that is part of none).
pub fn chars(bytes: &[u8]) -> impl Iterator<Item = (usize, char, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let (char, length) = first(rest)?;
        at += length;
        Some((at - length, char, length))
    })
}

/// The first character and its length in bytes.
pub fn first(bytes: &[u8]) -> Option<(char, usize)> {
    let lead = *bytes.first()?;
    let length = match lead {
        0..=0x7f => return Some((lead as char, 1)),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Some(('\u{fffd}', 1)),
    };
    let char = bytes
        .get(..length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| text.chars().next());
    Some(char.map_or(('\u{fffd}', 1), |char| (char, length)))
}

/// `unicode.IsSpace`.
pub fn is_space(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
        || (char as u32 > 0xff && char.is_whitespace())
}

/// `strings.TrimSpace`.
pub fn trim_space(bytes: &[u8]) -> &[u8] {
    trim_end_by(trim_start_by(bytes, is_space), is_space)
}

pub fn trim_start_by(bytes: &[u8], drop: impl Fn(char) -> bool) -> &[u8] {
    let start = chars(bytes).find(|(_, char, _)| !drop(*char)).map_or(bytes.len(), |(at, ..)| at);
    &bytes[start..]
}

pub fn trim_end_by(bytes: &[u8], drop: impl Fn(char) -> bool) -> &[u8] {
    // Back from the end as far as there is ASCII: where a character of more bytes begins is only known from the front.
    let mut bytes = bytes;
    while let [before @ .., last] = bytes {
        if !last.is_ascii() {
            let kept = chars(bytes).filter(|(_, char, _)| !drop(*char)).last();
            return &bytes[..kept.map_or(0, |(at, _, length)| at + length)];
        }
        if !drop(*last as char) {
            return bytes;
        }
        bytes = before;
    }
    bytes
}

/// Where `needle` first is.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (Some(first), Some(last)) = (needle.first(), bytes.len().checked_sub(needle.len())) else {
        return needle.is_empty().then_some(0);
    };
    let mut at = 0;
    loop {
        at += bytes[at..=last].iter().position(|byte| byte == first)?;
        if bytes[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
        if at > last {
            return None;
        }
    }
}

/// `strings.SplitN`; an empty separator splits between characters.
pub fn split(bytes: &[u8], separator: &[u8], most: i64) -> Option<Vec<Vec<u8>>> {
    if most == 0 {
        return None;
    }
    let limit = if most < 0 { usize::MAX } else { most as usize };
    let mut parts = Vec::new();
    let mut rest = bytes;
    if separator.is_empty() {
        while !rest.is_empty() {
            let length = if parts.len() + 1 == limit {
                rest.len()
            } else {
                first(rest).map_or(1, |(_, length)| length)
            };
            parts.push(rest[..length].to_vec());
            rest = &rest[length..];
        }
        return Some(parts);
    }
    while parts.len() + 1 < limit {
        let Some(at) = find(rest, separator) else { break };
        parts.push(rest[..at].to_vec());
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest.to_vec());
    Some(parts)
}

/// `strings.ReplaceAll`.
pub fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    if old.is_empty() {
        out.extend_from_slice(new);
        for (at, _, length) in chars(bytes) {
            out.extend_from_slice(&bytes[at..at + length]);
            out.extend_from_slice(new);
        }
        return out;
    }
    let mut rest = bytes;
    while let Some(at) = find(rest, old) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// `unicode.ToTitle`, by the upper case where it is one character.
pub fn to_title(char: char) -> char {
    match char {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        other => to_upper(other),
    }
}

/// `unicode.ToUpper`: one character to one.
pub fn to_upper(char: char) -> char {
    one(char, char.to_uppercase())
}

/// `unicode.ToLower`: one character to one.
pub fn to_lower(char: char) -> char {
    match char {
        'İ' => 'i',
        other => one(other, other.to_lowercase()),
    }
}

fn one(char: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => char,
    }
}

/// `unicode.IsPrint`, by what Rust's debug form leaves as it is.
pub fn is_print(char: char) -> bool {
    if char.is_ascii() {
        return (' '..='~').contains(&char);
    }
    if char.is_whitespace() || char.is_control() {
        return false;
    }
    let mut escaped = char.escape_debug();
    escaped.len() == 1 || {
        // Marks that extend a character are escaped there, but printed by Go.
        let first = escaped.next();
        first == Some('\\') && is_mark(char)
    }
}

fn is_mark(char: char) -> bool {
    use std::sync::LazyLock;
    static MARK: LazyLock<regex::Regex> =
        LazyLock::new(|| regex::Regex::new(r"^\p{M}$").expect("because the pattern is constant"));
    let mut buffer = [0; 4];
    MARK.is_match(char.encode_utf8(&mut buffer))
}
