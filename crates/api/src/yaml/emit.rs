//! One value as sigs.k8s.io/yaml prints it: keys sorted naturally, lists not indented under their key, plain style
//! where Go would read the same text back, literal style for texts of several lines.

use std::cmp::Ordering;
use std::fmt::Write;

use crate::{Map, Value};

use super::scalar;

/// Appends the document, with a line end.
pub fn emit(value: &Value, out: &mut String) {
    document(value, Keys::Sorted, out);
}

/// As [`emit`], with the keys of maps as they lie.
pub fn emit_in_order(value: &Value, out: &mut String) {
    document(value, Keys::AsTheyLie, out);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Sorted,
    AsTheyLie,
}

fn document(value: &Value, keys: Keys, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => mapping(map, keys, 0, false, out),
        Value::Array(items) if !items.is_empty() => sequence(items, keys, 0, out),
        other => {
            leaf(other, 1, out);
            end_line(out);
        }
    }
}

/// Lines of a text may end with one of Unicode's line ends, which is one to libyaml.
fn end_line(out: &mut String) {
    if !out.ends_with(['\u{2028}', '\u{2029}']) {
        out.push('\n');
    }
}

fn indent(level: usize, out: &mut String) {
    for _ in 0..level {
        out.push_str("  ");
    }
}

/// `inline`: the first key stands on the line of a `- ` that is already written.
fn mapping(map: &Map, keys: Keys, level: usize, inline: bool, out: &mut String) {
    let mut fields: Vec<_> = map.iter().collect();
    if keys == Keys::Sorted {
        // So that one map has one text also where the order of its keys is none.
        fields.sort_unstable_by(|a, b| a.0.cmp(b.0));
        sort(&mut fields, |a, b| natural(a.0, b.0) == Ordering::Greater);
    }
    for (at, (key, value)) in fields.into_iter().enumerate() {
        if !(inline && at == 0) {
            indent(level, out);
        }
        // libyaml writes a key that is long or has line breaks as `? key`, and its value like an element.
        if key.len() > 128 || key.contains(is_break) {
            out.push_str("? ");
            text(key, level + 1, false, out);
            end_line(out);
            indent(level, out);
            nested(':', value, keys, level, out);
            continue;
        }
        text(key, level, true, out);
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                mapping(map, keys, level + 1, false, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(items, keys, level, out);
            }
            other => {
                out.push(' ');
                leaf(other, level + 1, out);
                end_line(out);
            }
        }
    }
}

fn sequence(items: &[Value], keys: Keys, level: usize, out: &mut String) {
    for item in items {
        indent(level, out);
        nested('-', item, keys, level, out);
    }
}

/// An element with its mark, after its indentation.
fn nested(mark: char, item: &Value, keys: Keys, level: usize, out: &mut String) {
    out.push(mark);
    out.push(' ');
    match item {
        Value::Object(map) if !map.is_empty() => mapping(map, keys, level + 1, true, out),
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    indent(level + 1, out);
                }
                nested('-', item, keys, level + 1, out);
            }
        }
        other => {
            leaf(other, level + 1, out);
            end_line(out);
        }
    }
}

/// Whole floats reach Go's emitter through JSON, which writes their shortest digits without a fraction; what no 64 bits hold is
/// read as a float again.
fn whole(number: f64) -> Option<String> {
    // The sign of zero is read away.
    if number == 0.0 {
        return Some("0".into());
    }
    if number.fract() != 0.0 || number.abs() >= 1e20 {
        return None;
    }
    let text = scalar::shortest(number);
    let (mantissa, exponent) = text.split_once('e')?;
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let width = exponent.parse::<usize>().ok()? + 1;
    let text = format!("{sign}{:0<width$}", mantissa.replace('.', ""));
    (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()).then_some(text)
}

fn leaf(value: &Value, level: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Float(number) => match whole(*number) {
            Some(digits) => out.push_str(&digits),
            None => out.push_str(&scalar::format_float(*number)),
        },
        Value::String(string) if string.contains(NEXT_LINE) => text(&through_json(string), level, false, out),
        Value::String(string) => text(string, level, false, out),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

const NEXT_LINE: char = '\u{85}';

/// A text with next-line characters, which reach Go's emitter through JSON: read as YAML there, where they break lines in quotes.
fn through_json(string: &str) -> String {
    let mut parts = string.split(NEXT_LINE);
    let mut out = parts.next().unwrap_or_default().to_string();
    let last = string.matches(NEXT_LINE).count();
    let mut breaks = 0;
    for (at, part) in (1..).zip(parts) {
        breaks += 1;
        let text = part.trim_start_matches(' ');
        if text.is_empty() && at < last {
            continue;
        }
        out.truncate(out.trim_end_matches(' ').len());
        // One break is a space, more are all but the first.
        out.push_str(&if breaks == 1 { " ".to_string() } else { "\n".repeat(breaks - 1) });
        out.push_str(text);
        breaks = 0;
    }
    out
}

/// What libyaml finds out about a text before it chooses a style.
#[derive(Default)]
struct Traits {
    plain: bool,
    single: bool,
    block: bool,
}

fn printable(char: char) -> bool {
    matches!(char, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && char != '\u{feff}'
        // libyaml's check looks at the first byte and knows no sequence of four.
        && (char as u32) < 0x10000
}

fn is_break(char: char) -> bool {
    matches!(char, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn traits(text: &str) -> Traits {
    let mut traits = Traits { plain: true, single: true, block: true };
    let indicator = text.starts_with("---") || text.starts_with("...");
    let (mut special, mut breaks, mut space_break, mut break_space) = (false, false, false, false);
    let mut blocked = indicator;
    let mut before = None::<char>;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let blank_follows = chars.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
        match before {
            None => match char {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`' => {
                    blocked = true;
                }
                '?' | ':' | '-' if blank_follows => blocked = true,
                _ => {}
            },
            Some(previous) => match char {
                ':' if blank_follows => blocked = true,
                '#' if matches!(previous, ' ' | '\t') || is_break(previous) => blocked = true,
                _ => {}
            },
        }
        special |= !printable(char);
        if char == ' ' {
            break_space |= before.is_some_and(is_break);
        } else if is_break(char) {
            breaks = true;
            space_break |= before == Some(' ');
        }
        before = Some(char);
    }
    let edge = |char: Option<char>| char.is_some_and(|char| char == ' ' || is_break(char));
    if edge(text.chars().next()) || edge(before) {
        traits.plain = false;
    }
    if before == Some(' ') {
        traits.block = false;
    }
    if break_space {
        traits.plain = false;
        traits.single = false;
    }
    if space_break || special {
        traits = Traits::default();
    }
    if breaks || blocked {
        traits.plain = false;
    }
    traits
}

fn text(string: &str, level: usize, key: bool, out: &mut String) {
    let traits = traits(string);
    if string.contains('\n') {
        if traits.block && !key {
            return literal(string, level, out);
        }
        return double(string, level, key, out);
    }
    // As a key it would be read as a merge.
    if !scalar::plain_is_text(string) || (key && string == "<<") {
        return double(string, level, key, out);
    }
    if traits.plain {
        folded(string, level, key, Edges::Any, out, |char, out| out.push(char));
    } else if traits.single {
        out.push('\'');
        folded(string, level, key, Edges::Inside, out, |char, out| {
            if char == '\'' {
                out.push('\'');
            }
            out.push(char);
        });
        out.push('\'');
    } else {
        double(string, level, key, out);
    }
}

/// Columns after which a line is broken at the next single space.
const WIDTH: usize = 80;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edges {
    /// A plain text may break at any of its spaces.
    Any,
    /// A quoted text not at its first or last character.
    Inside,
}

/// Writes a text of one line; a space behind column 80 becomes a line break that reads back as that space.
fn folded(
    string: &str,
    level: usize,
    key: bool,
    edges: Edges,
    out: &mut String,
    put: impl Fn(char, &mut String),
) {
    let mut column = out.len() - out.rfind('\n').map_or(0, |at| at + 1);
    column = out[out.len() - column..].chars().count();
    let (mut spaces, mut broken) = (false, false);
    let mut chars = string.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        // Unicode's separators of lines and paragraphs are line ends too.
        if std::mem::replace(&mut broken, is_break(char)) && !broken {
            indent(level, out);
            column = level * 2;
        }
        if char == ' ' {
            let inside = edges == Edges::Any || (at > 0 && next.is_some());
            if !key && !spaces && column > WIDTH && inside && next != Some(' ') {
                out.push('\n');
                indent(level, out);
                column = level * 2;
            } else {
                out.push(' ');
                column += 1;
            }
            spaces = true;
        } else {
            let before = out.len();
            put(char, out);
            column += out[before..].chars().count();
            spaces = false;
        }
    }
}

/// Double quotes: every break can be escaped, so a line may also be broken before more spaces.
fn double(string: &str, level: usize, key: bool, out: &mut String) {
    out.push('"');
    let line = out.rfind('\n').map_or(0, |at| at + 1);
    let mut column = out[line..].chars().count();
    let mut spaces = false;
    // libyaml looks for the mark at the start of the text again and again.
    let marked = string.starts_with('\u{feff}');
    let mut chars = string.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let before = out.len();
        let next = chars.peek().map(|(_, next)| *next);
        if char == ' ' && !marked && !key && !spaces && column > WIDTH && at > 0 && next.is_some() {
            out.push('\n');
            indent(level, out);
            column = level * 2;
            if next == Some(' ') {
                out.push('\\');
                column += 1;
            }
            spaces = true;
            continue;
        }
        spaces = char == ' ';
        escaped(char, marked, out);
        column += out[before..].chars().count();
    }
    out.push('"');
}

/// `all`: also what could be printed as it is.
fn escaped(char: char, all: bool, out: &mut String) {
    let short = match char {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        char if printable(char) && !all => return out.push(char),
        char => {
            let code = char as u32;
            let _ = match code {
                0..=0xff => write!(out, "\\x{code:02X}"),
                0x100..=0xffff => write!(out, "\\u{code:04X}"),
                _ => write!(out, "\\U{code:08X}"),
            };
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

/// `|` with the hints for indentation and the line end. The caller ends the last line.
fn literal(string: &str, level: usize, out: &mut String) {
    out.push('|');
    if string.starts_with(|char| char == ' ' || is_break(char)) {
        out.push('2');
    }
    let mut last = string.chars().rev();
    match (last.next().is_some_and(is_break), last.next().is_none_or(is_break)) {
        (false, _) => out.push('-'),
        (true, true) => out.push('+'),
        (true, false) => {}
    }
    out.push('\n');
    // Unicode's separators of lines and paragraphs are line ends too.
    let mut broken = true;
    for char in string.strip_suffix('\n').unwrap_or(string).chars() {
        if std::mem::replace(&mut broken, is_break(char)) && !broken {
            indent(level, out);
        }
        out.push(char);
    }
}

/// Few elements are inserted one by one, as Go's `sort` does.
const FEW: usize = 12;

/// Sorts by an order that need not be one: with [`natural`], three keys may each come before the next, in a circle. Go's `sort` gives
/// some order then, and the standard library's may panic.
fn sort<T: Copy>(items: &mut [T], after: impl Fn(&T, &T) -> bool) {
    for few in items.chunks_mut(FEW) {
        for end in 1..few.len() {
            let mut at = end;
            while at > 0 && after(&few[at - 1], &few[at]) {
                few.swap(at - 1, at);
                at -= 1;
            }
        }
    }
    let mut width = FEW;
    while width < items.len() {
        for both in items.chunks_mut(2 * width).filter(|both| both.len() > width) {
            let (left, right) = both.split_at(width);
            let mut merged = Vec::with_capacity(both.len());
            let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
            while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
                let next = if after(one, other) { right.next() } else { left.next() };
                merged.extend(next);
            }
            merged.extend(left.chain(right));
            both.copy_from_slice(&merged);
        }
        width *= 2;
    }
}

/// yaml.v2's order of keys: letters by code point, digits as numbers, everything else before letters.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let less = |smaller: bool| if smaller { Ordering::Less } else { Ordering::Greater };
    let digit = |char: char| char.is_numeric();
    for at in 0..a.len().min(b.len()) {
        let (left, right) = (a[at], b[at]);
        if left == right {
            continue;
        }
        match (left.is_alphabetic(), right.is_alphabetic()) {
            (true, true) => return left.cmp(&right),
            (false, false) => {}
            (_, right) => return less(right),
        }
        let (mut left_number, mut right_number) = (0i64, 0i64);
        if left == '0' || right == '0' {
            let leading = a[..at].iter().rev().take_while(|char| digit(**char)).any(|char| *char != '0');
            if leading {
                (left_number, right_number) = (1, 1);
            }
        }
        let run = |text: &[char], number: &mut i64| {
            let mut length = at;
            while length < text.len() && digit(text[length]) {
                let value = i64::from(text[length] as u32) - i64::from('0' as u32);
                *number = number.wrapping_mul(10).wrapping_add(value);
                length += 1;
            }
            length
        };
        let (left_end, right_end) = (run(&a, &mut left_number), run(&b, &mut right_number));
        return left_number.cmp(&right_number).then(left_end.cmp(&right_end)).then(left.cmp(&right));
    }
    a.len().cmp(&b.len())
}
