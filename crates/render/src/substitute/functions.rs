//! The functions of a substitution, by their operator. Texts are counted and cut in bytes, as upstream.

use super::Fault;
use crate::go::text::{chars, first as first_of};

/// Bytes of a text that a substitution may make: replacements in one another could double it without end.
pub(super) const LONGEST: usize = 16 << 20;

/// Whether an operator supplies a value itself, so that an unset variable is no error in strict mode.
pub(super) fn is_default(operator: &str) -> bool {
    matches!(operator, "=" | ":=" | ":-" | ":+" | ":?")
}

/// The value of `${name<operator><arguments>}` where `name` has the value `text`.
pub(super) fn call(operator: &str, text: &str, arguments: &[String]) -> Result<String, Fault> {
    let first = arguments.first().map(String::as_str);
    Ok(match (operator, first) {
        (",", _) => first_char(text, lower),
        (",,", _) => text.chars().map(lower).collect(),
        ("^", _) => first_char(text, upper),
        ("^^", _) => text.chars().map(upper).collect(),
        ("#", None) => text.len().to_string(),
        ("#", Some(pattern)) => trim(text, pattern, Reach::Shortest),
        ("##", Some(pattern)) => trim(text, pattern, Reach::Longest),
        ("%", Some(pattern)) => reverse(&trim(&reverse(text), &reverse(pattern), Reach::Shortest)),
        ("%%", Some(pattern)) => reverse(&trim(&reverse(text), &reverse(pattern), Reach::Longest)),
        (":", Some(_)) => part(text, arguments),
        ("/#", Some(old)) if arguments.len() == 2 => match text.strip_prefix(old) {
            Some(rest) => format!("{}{rest}", arguments[1]),
            None => text.into(),
        },
        ("/%", Some(old)) if arguments.len() == 2 => match text.strip_suffix(old) {
            Some(rest) => format!("{rest}{}", arguments[1]),
            None => text.into(),
        },
        ("//", Some(old))
            if text.matches(old).count().saturating_mul(arguments.get(1).map_or(0, String::len))
                > LONGEST =>
        {
            return Err(Fault::Long);
        }
        ("/", Some(old)) => text.replacen(old, arguments.get(1).map_or("", String::as_str), 1),
        ("//", Some(old)) => text.replace(old, arguments.get(1).map_or("", String::as_str)),
        ("##" | "%" | "%%" | "/" | "//" | "/#" | "/%", _) => text.into(),
        _ if text.is_empty() => arguments.concat(),
        _ => text.into(),
    })
}

/// One character for one, as Go maps case; characters that would grow stay as they are.
fn upper(char: char) -> char {
    let mut all = char.to_uppercase();
    all.next().filter(|_| all.next().is_none()).unwrap_or(char)
}

fn lower(char: char) -> char {
    let mut all = char.to_lowercase();
    all.next().filter(|_| all.next().is_none()).unwrap_or(char)
}

fn first_char(text: &str, change: fn(char) -> char) -> String {
    let mut chars = text.chars();
    chars.next().map(change).into_iter().chain(chars).collect()
}

/// What was cut of characters is lost in turning a text around, as upstream.
fn reverse(text: &str) -> String {
    text.chars()
        .rev()
        .map(|char| if loose(char).is_some() { char::REPLACEMENT_CHARACTER } else { char })
        .collect()
}

/// `${var:position}` and `${var:position:length}`; what is no number changes nothing.
fn part(text: &str, arguments: &[String]) -> String {
    let number = |text: &str| text.parse::<i64>().ok();
    let Some(position) = number(&arguments[0]) else { return text.into() };
    let length = text.len() as i64;
    let position = if position < 0 { (length + position).max(0) } else { position };
    let end = match arguments.get(1) {
        None => length,
        Some(count) => match number(count) {
            None => return text.into(),
            // Below zero it counts from the end; one before the position leaves nothing.
            Some(count) if count < 0 => (length + count).max(position),
            Some(count) => position.saturating_add(count).min(length),
        },
    };
    if position >= length {
        return String::new();
    }
    part_of(&text.as_bytes()[position as usize..end as usize])
}

/// Characters for private use that stand for the bytes of one that was cut, until all is written: the other half may follow.
const LOOSE: u32 = 0x10_fe00;

/// A part of a text, with what was cut of characters at its ends.
fn part_of(bytes: &[u8]) -> String {
    let loose =
        |at: usize| char::from_u32(LOOSE + u32::from(bytes[at])).unwrap_or(char::REPLACEMENT_CHARACTER);
    chars(bytes)
        .map(
            |(at, char, length)| {
                if char == char::REPLACEMENT_CHARACTER && length == 1 { loose(at) } else { char }
            },
        )
        .collect()
}

/// The byte that a character stands for, if it does.
fn loose(char: char) -> Option<u8> {
    u8::try_from((char as u32).wrapping_sub(LOOSE)).ok().filter(|byte| *byte >= 0x80)
}

/// A text whose cut characters are put together again.
pub(super) fn whole(text: String) -> Result<String, Fault> {
    if !text.chars().any(|char| loose(char).is_some()) {
        return Ok(text);
    }
    let mut out = Vec::with_capacity(text.len());
    for char in text.chars() {
        match loose(char) {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    String::from_utf8(out).map_err(|_| Fault::Cut)
}

#[derive(PartialEq, Eq)]
enum Reach {
    Shortest,
    Longest,
}

/// Takes off the part at the start that the pattern matches; an empty part is no match.
fn trim(text: &str, pattern: &str, reach: Reach) -> String {
    let bytes = text.as_bytes();
    let mut lengths = (1..=bytes.len()).filter(|length| matches(pattern.as_bytes(), &bytes[..*length]));
    let found = if reach == Reach::Shortest { lengths.next() } else { lengths.next_back() };
    part_of(&bytes[found.unwrap_or(0)..])
}

/// `*` (slashes too), `?`, `[a-z]`, `[^a]`, `\x`. A pattern that is none matches nothing.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on after a mismatch: the pattern behind the last star, and one byte more of the name in it.
    let (mut pattern_at, mut name_at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern_at < pattern.len() && pattern[pattern_at] == b'*' {
            star = Some((pattern_at + 1, name_at));
            pattern_at += 1;
            continue;
        }
        if pattern_at == pattern.len() && name_at == name.len() {
            return true;
        }
        if let Some((taken, used)) = single(&pattern[pattern_at..], &name[name_at..]) {
            pattern_at += taken;
            name_at += used;
            continue;
        }
        match star {
            Some((behind, from)) if from < name.len() => {
                star = Some((behind, from + 1));
                (pattern_at, name_at) = (behind, from + 1);
            }
            _ => return false,
        }
    }
}

/// Lengths of the element at the start of the pattern and of what it matches.
fn single(pattern: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let (first, byte) = (*pattern.first()?, *name.first()?);
    match first {
        b'?' => Some((1, first_of(name)?.1)),
        b'[' => {
            let (wanted, used) = first_of(name)?;
            let mut at = 1;
            let negated = pattern.get(at) == Some(&b'^');
            at += usize::from(negated);
            let element = |at: &mut usize| -> Option<char> {
                if matches!(pattern.get(*at)?, b'-' | b']') {
                    return None;
                }
                *at += usize::from(pattern[*at] == b'\\');
                let (found, length) = first_of(pattern.get(*at..)?)?;
                *at += length;
                Some(found)
            };
            let (mut hit, mut count) = (false, 0);
            while count == 0 || pattern.get(at)? != &b']' {
                let low = element(&mut at)?;
                let mut high = low;
                if pattern.get(at)? == &b'-' {
                    at += 1;
                    high = element(&mut at)?;
                }
                hit |= (low..=high).contains(&wanted);
                count += 1;
            }
            (hit != negated).then_some((at + 1, used))
        }
        b'\\' => (pattern.get(1)? == &byte).then_some((2, 1)),
        _ => (first == byte).then_some((1, 1)),
    }
}
