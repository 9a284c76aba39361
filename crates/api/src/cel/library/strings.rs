//! Functions of strings: CEL's own, cel-go's `ext.Strings` version 2, and Kubernetes' `find` and `findAll`.

use regex::Regex;

use super::Out;
use crate::cel::value::Val;

pub(super) fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Out<'a>> {
    use Val as V;
    let texts = |items: Vec<String>| V::list(items.into_iter().map(V::text).collect());
    Some(match (function, args) {
        ("contains", [V::String(text), V::String(part)]) => Ok(V::Bool(text.contains(part.as_str()))),
        ("startsWith", [V::String(text), V::String(part)]) => Ok(V::Bool(text.starts_with(part.as_str()))),
        ("endsWith", [V::String(text), V::String(part)]) => Ok(V::Bool(text.ends_with(part.as_str()))),
        ("matches", [V::String(text), V::String(pattern)]) => {
            compile(pattern).map(|regex| V::Bool(regex.is_match(text)))
        }
        ("find", [V::String(text), V::String(pattern)]) => compile(pattern)
            .map(|regex| V::text(regex.find(text).map(|found| found.as_str()).unwrap_or_default())),
        ("findAll", [V::String(text), V::String(pattern), rest @ ..]) => {
            let limit = match rest {
                [V::Int(limit)] if *limit >= 0 => *limit as usize,
                _ => usize::MAX,
            };
            compile(pattern).map(|regex| {
                texts(regex.find_iter(text).take(limit).map(|found| found.as_str().to_string()).collect())
            })
        }
        ("charAt", [V::String(text), V::Int(at)]) => {
            let count = text.chars().count() as i64;
            match *at {
                at if at < 0 || at > count => Err(format!("index out of range: {at}")),
                at => Ok(V::text(text.chars().nth(at as usize).map(String::from).unwrap_or_default())),
            }
        }
        ("indexOf", [V::String(text), V::String(part), rest @ ..]) => index_of(text, part, rest),
        ("lastIndexOf", [V::String(text), V::String(part), rest @ ..]) => last_index_of(text, part, rest),
        ("lowerAscii", [V::String(text)]) => Ok(V::text(text.to_ascii_lowercase())),
        ("upperAscii", [V::String(text)]) => Ok(V::text(text.to_ascii_uppercase())),
        ("trim", [V::String(text)]) => Ok(V::text(text.trim())),
        ("replace", [V::String(text), V::String(from), V::String(to), rest @ ..]) => {
            let count = match rest {
                [V::Int(count)] if *count >= 0 => *count as usize,
                _ => usize::MAX,
            };
            Ok(V::text(text.replacen(from.as_str(), to, count)))
        }
        ("split", [V::String(text), V::String(by), rest @ ..]) => {
            let limit = match rest {
                [V::Int(limit)] => *limit,
                _ => -1,
            };
            Ok(texts(split(text, by, limit)))
        }
        ("join", [list, rest @ ..]) if list.items().is_some() => {
            let between = match rest {
                [V::String(text)] => text.as_str(),
                _ => "",
            };
            let items = list.items()?;
            let mut parts = Vec::with_capacity(items.len());
            for item in &items {
                let V::String(text) = item else { return None };
                parts.push(text.as_str());
            }
            Ok(V::text(parts.join(between)))
        }
        ("substring", [V::String(text), V::Int(start), rest @ ..]) => {
            let letters: Vec<char> = text.chars().collect();
            let end = match rest {
                [V::Int(end)] => *end,
                _ => letters.len() as i64,
            };
            match (*start, end) {
                (start, end)
                    if start < 0 || start > letters.len() as i64 || end < 0 || end > letters.len() as i64 =>
                {
                    let wrong = if start < 0 || start > letters.len() as i64 { start } else { end };
                    Err(format!("index out of range: {wrong}"))
                }
                (start, end) if start > end => {
                    Err(format!("invalid substring range. start: {start}, end: {end}"))
                }
                (start, end) => Ok(V::text(letters[start as usize..end as usize].iter().collect::<String>())),
            }
        }
        ("strings.quote", [V::String(text)]) => Ok(V::text(quote(text))),
        ("format", [V::String(text), list]) => format(text, &list.items()?).map(V::text),
        _ => return None,
    })
}

fn compile(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|error| {
        format!("error parsing regexp: {}", error.to_string().lines().last().unwrap_or_default())
    })
}

/// Places are counted in characters.
fn index_of<'a>(text: &str, part: &str, rest: &[Val<'a>]) -> Out<'a> {
    let count = text.chars().count() as i64;
    let from = match rest {
        [Val::Int(from)] => *from,
        _ => 0,
    };
    if part.is_empty() && rest.is_empty() {
        return Ok(Val::Int(0));
    }
    if from < 0 || from > count {
        return Err(format!("index out of range: {from}"));
    }
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let start = text.char_indices().nth(from as usize).map_or(text.len(), |(at, _)| at);
    Ok(Val::Int(text[start..].find(part).map_or(-1, |at| text[..start + at].chars().count() as i64)))
}

fn last_index_of<'a>(text: &str, part: &str, rest: &[Val<'a>]) -> Out<'a> {
    let count = text.chars().count() as i64;
    let from = match rest {
        [Val::Int(from)] if *from < 0 || *from > count => return Err(format!("index out of range: {from}")),
        [Val::Int(from)] => *from,
        _ => count,
    };
    if part.is_empty() {
        return Ok(Val::Int(from));
    }
    let found = text.match_indices(part).map(|(at, _)| text[..at].chars().count() as i64);
    // Overlapping matches count: the last that starts no later than `from`.
    let mut best = found.filter(|at| *at <= from).last().unwrap_or(-1);
    let mut search = 0;
    while let Some(at) = text[search..].find(part) {
        let place = text[..search + at].chars().count() as i64;
        if place > from {
            break;
        }
        best = best.max(place);
        search += at + text[search + at..].chars().next().map_or(1, char::len_utf8);
    }
    Ok(Val::Int(best))
}

/// Go's `strings.SplitN`.
fn split(text: &str, by: &str, limit: i64) -> Vec<String> {
    match limit {
        0 => Vec::new(),
        1 => vec![text.into()],
        _ if by.is_empty() => {
            let letters: Vec<char> = text.chars().collect();
            let most = if limit < 0 { letters.len() } else { (limit as usize).min(letters.len()) };
            let mut parts: Vec<String> = letters.iter().take(most).map(char::to_string).collect();
            if most > 0 && most < letters.len() {
                parts[most - 1] = letters[most - 1..].iter().collect();
            }
            parts
        }
        limit if limit < 0 => text.split(by).map(String::from).collect(),
        limit => text.splitn(limit as usize, by).map(String::from).collect(),
    }
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A scalar as `string()` writes it.
pub(super) fn plain(value: &Val<'_>) -> Option<String> {
    Some(match value {
        Val::String(text) => text.to_string(),
        Val::Bool(flag) => flag.to_string(),
        Val::Int(number) => number.to_string(),
        Val::Uint(number) => number.to_string(),
        Val::Double(number) => double(*number),
        Val::Duration(nanos) => {
            let seconds = *nanos as f64 / 1e9;
            format!("{}s", double(seconds))
        }
        Val::Timestamp(nanos) => super::time::format(*nanos),
        Val::Ip(ip) => ip.to_string(),
        Val::Cidr(cidr) => cidr.to_string(),
        Val::Quantity(quantity) => quantity.to_string(),
        Val::Type(name) => name.to_string(),
        Val::Null => "null".into(),
        _ => return None,
    })
}

/// As Go's `%g` with the shortest precision.
fn double(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    if number.is_nan() {
        return "NaN".into();
    }
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{number:e}");
        let (head, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{head}e{sign}{digits:0>2}");
    }
    number.to_string()
}

/// `"%s is %d".format([…])`.
fn format(text: &str, args: &[Val<'_>]) -> Result<String, String> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        if letters.peek() == Some(&'%') {
            letters.next();
            out.push('%');
            continue;
        }
        let mut precision = 6;
        if letters.peek() == Some(&'.') {
            letters.next();
            let mut digits = String::new();
            while letters.peek().is_some_and(char::is_ascii_digit) {
                digits.extend(letters.next());
            }
            precision = digits.parse().unwrap_or(0).min(100);
        }
        let clause = letters.next().ok_or("unexpected end of format string")?;
        let arg = args.next().ok_or_else(|| "index out of range: not enough arguments".to_string())?;
        let wrong =
            || Err(format!("error during formatting: {clause} clause cannot be used on {}", arg.type_name()));
        match (clause, arg) {
            ('s', arg) => out.push_str(&any(arg)),
            ('d', Val::Int(number)) => out.push_str(&number.to_string()),
            ('d', Val::Uint(number)) => out.push_str(&number.to_string()),
            ('f', arg) => match number(arg) {
                Some(number) => out.push_str(&format!("{number:.precision$}")),
                None => return wrong(),
            },
            ('e', arg) => match number(arg) {
                Some(number) => {
                    let text = format!("{number:.precision$e}");
                    let (head, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                    let (sign, digits) =
                        exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
                    out.push_str(&format!("{head}e{sign}{digits:0>2}"));
                }
                None => return wrong(),
            },
            ('b', Val::Int(number)) => out.push_str(&signed(*number, |size| format!("{size:b}"))),
            ('b', Val::Uint(number)) => out.push_str(&format!("{number:b}")),
            ('b', Val::Bool(flag)) => out.push_str(if *flag { "1" } else { "0" }),
            ('o', Val::Int(number)) => out.push_str(&signed(*number, |size| format!("{size:o}"))),
            ('o', Val::Uint(number)) => out.push_str(&format!("{number:o}")),
            ('x', Val::Int(number)) => out.push_str(&signed(*number, |size| format!("{size:x}"))),
            ('X', Val::Int(number)) => out.push_str(&signed(*number, |size| format!("{size:X}"))),
            ('x', Val::Uint(number)) => out.push_str(&format!("{number:x}")),
            ('X', Val::Uint(number)) => out.push_str(&format!("{number:X}")),
            ('x' | 'X', Val::String(_) | Val::Bytes(_)) => {
                let bytes = match arg {
                    Val::String(text) => text.as_bytes(),
                    Val::Bytes(bytes) => bytes,
                    _ => &[],
                };
                for byte in bytes {
                    out.push_str(&if clause == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
                }
            }
            ('d' | 'b' | 'o' | 'x' | 'X', _) => return wrong(),
            (other, _) => {
                return Err(format!(
                    "could not parse formatting clause: unrecognized formatting clause \"{other}\""
                ));
            }
        }
    }
    Ok(out)
}

fn signed(number: i64, show: impl Fn(u64) -> String) -> String {
    let text = show(number.unsigned_abs());
    if number < 0 { format!("-{text}") } else { text }
}

fn number(value: &Val<'_>) -> Option<f64> {
    match value {
        Val::Double(number) => Some(*number),
        Val::Int(number) => Some(*number as f64),
        Val::Uint(number) => Some(*number as f64),
        _ => None,
    }
}

/// `%s` of anything.
fn any(value: &Val<'_>) -> String {
    if let Some(items) = value.items() {
        return format!("[{}]", items.iter().map(any).collect::<Vec<_>>().join(", "));
    }
    if let Some(entries) = value.entries() {
        let mut shown: Vec<String> =
            entries.iter().map(|(key, value)| format!("{}: {}", any(key), any(value))).collect();
        shown.sort();
        return format!("{{{}}}", shown.join(", "));
    }
    match value {
        Val::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => plain(other).unwrap_or_else(|| other.type_name().to_string()),
    }
}
