//! Strings.

use super::{Done, Entries, int, made, str, strval, text, words};
use crate::go::value::{List, ListType};
use crate::go::{Map, MapType, Str, Value, print, quote, text as utf8, walk};
use crate::template::{Frame, function};

pub fn all() -> Entries {
    vec![
        ("hello", function("", |_, _| Ok("Hello!".into()))),
        ("abbrev", function("is", |_, a| Ok(words::abbreviate(&str(a, 1), 0, int(a, 0), int(a, 0) >= 4)))),
        (
            "abbrevboth",
            function("iis", |_, a| {
                let (left, right) = (int(a, 0), int(a, 1));
                Ok(words::abbreviate(&str(a, 2), left, right, !(right < 4 || left > 0 && right < 7)))
            }),
        ),
        (
            "trunc",
            function("is", |_, a| {
                let (count, text) = (int(a, 0), str(a, 1));
                let length = text.len() as i64;
                Ok(Value::Str(if count < 0 && length + count > 0 {
                    text.bytes()[(length + count) as usize..].into()
                } else if count >= 0 && length > count {
                    text.bytes()[..count as usize].into()
                } else {
                    text
                }))
            }),
        ),
        ("trim", function("s", |_, a| Ok(Value::Str(utf8::trim_space(str(a, 0).bytes()).into())))),
        ("upper", function("s", |_, a| Ok(mapped(&text(a, 0), utf8::to_upper)))),
        ("lower", function("s", |_, a| Ok(mapped(&text(a, 0), utf8::to_lower)))),
        ("title", function("s", |_, a| Ok(words::title(&text(a, 0)).into()))),
        ("untitle", function("s", |_, a| Ok(words::untitle(&text(a, 0)).into()))),
        ("substr", function("iis", |_, a| substring(int(a, 0), int(a, 1), &str(a, 2)))),
        ("repeat", function("is", |frame, a| repeat(frame, int(a, 0), &str(a, 1)))),
        ("trimall", function("ss", |_, a| Ok(trim_all(a)))),
        ("trimAll", function("ss", |_, a| Ok(trim_all(a)))),
        (
            "trimSuffix",
            function("ss", |_, a| {
                let (suffix, text) = (str(a, 0), str(a, 1));
                Ok(Value::Str(text.bytes().strip_suffix(suffix.bytes()).unwrap_or(text.bytes()).into()))
            }),
        ),
        (
            "trimPrefix",
            function("ss", |_, a| {
                let (prefix, text) = (str(a, 0), str(a, 1));
                Ok(Value::Str(text.bytes().strip_prefix(prefix.bytes()).unwrap_or(text.bytes()).into()))
            }),
        ),
        ("nospace", function("s", |_, a| Ok(Value::Str(words::no_space(str(a, 0).bytes()).into())))),
        ("initials", function("s", |_, a| Ok(words::initials(str(a, 0).bytes()).into()))),
        ("swapcase", function("s", |_, a| Ok(words::swap_case(&text(a, 0)).into()))),
        ("snakecase", function("s", |_, a| Ok(words::lower_case_words(&text(a, 0), '_').into()))),
        ("kebabcase", function("s", |_, a| Ok(words::lower_case_words(&text(a, 0), '-').into()))),
        ("camelcase", function("s", |_, a| Ok(words::pascal_case(&text(a, 0)).into()))),
        (
            "wrap",
            function("is", |frame, a| made(frame, words::wrap(str(a, 1).bytes(), int(a, 0), b"", false))),
        ),
        (
            "wrapWith",
            function("iss", |frame, a| {
                made(frame, words::wrap(str(a, 2).bytes(), int(a, 0), str(a, 1).bytes(), true))
            }),
        ),
        (
            "contains",
            function("ss", |_, a| {
                Ok(Value::Bool(utf8::find(str(a, 1).bytes(), str(a, 0).bytes()).is_some()))
            }),
        ),
        (
            "hasPrefix",
            function("ss", |_, a| Ok(Value::Bool(str(a, 1).bytes().starts_with(str(a, 0).bytes())))),
        ),
        ("hasSuffix", function("ss", |_, a| Ok(Value::Bool(str(a, 1).bytes().ends_with(str(a, 0).bytes()))))),
        (
            "quote",
            function("a*", |frame, a| {
                let parts = a.iter().filter(|value| !matches!(value, Value::Nil));
                let quoted: Vec<String> = parts.map(|value| quote::quote(strval(value).bytes())).collect();
                made(frame, quoted.join(" "))
            }),
        ),
        (
            "squote",
            function("a*", |frame, a| {
                let mut out = Vec::new();
                for value in a.iter().filter(|value| !matches!(value, Value::Nil)) {
                    out.extend_from_slice(if out.is_empty() { b"'" } else { b" '" });
                    print::print(value, &mut out);
                    out.push(b'\'');
                }
                made(frame, out)
            }),
        ),
        (
            "cat",
            function("a*", |frame, a| {
                let mut out = Vec::new();
                for (at, value) in a.iter().filter(|value| !matches!(value, Value::Nil)).enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    print::print(value, &mut out);
                }
                made(frame, out)
            }),
        ),
        ("indent", function("is", |frame, a| indent(frame, int(a, 0), &str(a, 1), ""))),
        ("nindent", function("is", |frame, a| indent(frame, int(a, 0), &str(a, 1), "\n"))),
        (
            "replace",
            function("sss", |frame, a| {
                let (text, old, new) = (str(a, 2), str(a, 0), str(a, 1));
                let times = if new.len() > old.len() { text.len() / old.len().max(1) + 1 } else { 1 };
                frame.exec.wrote(times.saturating_mul(new.len()))?;
                made(frame, utf8::replace(text.bytes(), old.bytes(), new.bytes()))
            }),
        ),
        (
            "plural",
            function("ssi", |_, a| Ok(Value::Str(if int(a, 2) == 1 { str(a, 0) } else { str(a, 1) }))),
        ),
        ("toString", function("a", |_, a| Ok(Value::Str(strval(&a[0]))))),
        ("toStrings", function("a", |_, a| Ok(strings(&a[0])))),
        (
            "split",
            function("ss", |frame, a| {
                room_for_parts(frame, &str(a, 1), &str(a, 0))?;
                Ok(numbered(str(a, 1).bytes(), str(a, 0).bytes(), -1))
            }),
        ),
        (
            "splitn",
            function("sis", |frame, a| {
                room_for_parts(frame, &str(a, 2), &str(a, 0))?;
                Ok(numbered(str(a, 2).bytes(), str(a, 0).bytes(), int(a, 1)))
            }),
        ),
        (
            "splitList",
            function("ss", |frame, a| {
                room_for_parts(frame, &str(a, 1), &str(a, 0))?;
                Ok(Value::strings(utf8::split(str(a, 1).bytes(), str(a, 0).bytes(), -1).unwrap_or_default()))
            }),
        ),
        (
            "join",
            function("sa", |frame, a| {
                let separator = str(a, 0);
                let parts = strings(&a[1]);
                let mut out = Vec::new();
                for (at, part) in parts.elements().unwrap_or_default().iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(separator.bytes());
                    }
                    out.extend_from_slice(strval(part).bytes());
                }
                made(frame, out)
            }),
        ),
        (
            "sortAlpha",
            function("a", |_, a| {
                if a[0].elements().is_none() {
                    return Ok(Value::strings([strval(&a[0])]));
                }
                let list = strings(&a[0]);
                let mut parts: Vec<Str> = list.elements().unwrap_or_default().iter().map(strval).collect();
                parts.sort();
                Ok(Value::strings(parts))
            }),
        ),
    ]
}

/// Counts the parts that a text will be cut into, before they are made.
fn room_for_parts(frame: &Frame<'_, '_>, text: &Str, separator: &Str) -> Result<(), String> {
    let parts = match separator.bytes() {
        [] => text.len(),
        [only] => text.bytes().iter().filter(|byte| *byte == only).count(),
        several => text.len() / several.len(),
    };
    frame.exec.hold(parts.saturating_mul(walk::VALUE))
}

fn mapped(text: &str, map: fn(char) -> char) -> Value {
    text.chars().map(map).collect::<String>().into()
}

fn substring(start: i64, end: i64, text: &Str) -> Done {
    let length = text.len() as i64;
    let bytes = text.bytes();
    let out_of = |what: String| Err(format!("runtime error: slice bounds out of range {what}"));
    if start < 0 {
        if end < 0 {
            return out_of(format!("[:{end}]"));
        }
        if end > length {
            return out_of(format!("[:{end}] with length {length}"));
        }
        return Ok(Value::Str(bytes[..end as usize].into()));
    }
    if end < 0 || end > length {
        if start > length {
            return out_of(format!("[{start}:{length}]"));
        }
        return Ok(Value::Str(bytes[start as usize..].into()));
    }
    if start > end {
        return out_of(format!("[{start}:{end}]"));
    }
    Ok(Value::Str(bytes[start as usize..end as usize].into()))
}

pub(crate) fn repeat(frame: &Frame<'_, '_>, count: i64, text: &Str) -> Done {
    let count = usize::try_from(count).map_err(|_| "strings: negative Repeat count".to_string())?;
    frame.exec.wrote(count.saturating_mul(text.len()))?;
    Ok(Value::Str(text.bytes().repeat(count).into()))
}

fn trim_all(args: &[Value]) -> Value {
    let (set, text) = (text(args, 0), str(args, 1));
    let trimmed = utf8::trim_start_by(text.bytes(), |char| set.contains(char));
    Value::Str(utf8::trim_end_by(trimmed, |char| set.contains(char)).into())
}

fn indent(frame: &Frame<'_, '_>, spaces: i64, text: &Str, before: &str) -> Done {
    let spaces = usize::try_from(spaces).map_err(|_| "strings: negative Repeat count".to_string())?;
    let lines = 1 + text.bytes().iter().filter(|byte| **byte == b'\n').count();
    frame.exec.wrote(spaces.saturating_mul(lines).saturating_add(text.len()))?;
    let mut out = Vec::with_capacity(before.len() + text.len() + spaces * lines);
    out.extend_from_slice(before.as_bytes());
    for (at, line) in text.bytes().split(|byte| *byte == b'\n').enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        out.extend(std::iter::repeat_n(b' ', spaces));
        out.extend_from_slice(line);
    }
    Ok(Value::Str(out.into()))
}

/// Sprig's `strslice`: a list of texts, nils left out.
pub(crate) fn strings(value: &Value) -> Value {
    if matches!(value, Value::List(List { ty: ListType::Strings, .. })) {
        return value.clone();
    }
    match value.elements() {
        Some(items) => Value::strings(items.iter().filter(|item| !matches!(item, Value::Nil)).map(strval)),
        None if matches!(value, Value::Nil) => Value::strings::<&str>([]),
        None => Value::strings([strval(value)]),
    }
}

fn numbered(text: &[u8], separator: &[u8], most: i64) -> Value {
    let parts = utf8::split(text, separator, most).unwrap_or_default();
    let out = Map::new(MapType::Strings);
    for (at, part) in parts.into_iter().enumerate() {
        out.put(format!("_{at}"), Value::Str(part.into()));
    }
    Value::Map(out)
}
