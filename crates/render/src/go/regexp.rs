//! RE2 as Go's `regexp` has it, on the `regex` crate: the same syntax but for what is translated here.

use regex::bytes::Regex;

use super::quote;

/// `regexp.Compile`. The error is Go's text.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let translated = translate(pattern)?;
    regex::bytes::RegexBuilder::new(&translated)
        .size_limit(4 << 20)
        .build()
        .map_err(|error| format!("error parsing regexp: {}", reason(pattern, &error.to_string())))
}

/// `regexp.MustCompile`'s panic.
pub fn must(pattern: &str) -> Result<Regex, String> {
    compile(pattern).map_err(|error| {
        let shown =
            if pattern.contains('`') { quote::quote(pattern.as_bytes()) } else { format!("`{pattern}`") };
        format!("regexp: Compile({shown}): {error}")
    })
}

/// Go's class names and escapes that the crate reads otherwise. `\Q…\E` becomes escapes; inside a class, what the crate takes for
/// set operations (`&&`, `--`, `~~`, a nested `[`) is escaped; `\z` stays, `\Z` and look-around are refused by both.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    let mut class = false;
    let mut first = false;
    // Behind `\w` and its like no range begins: a `-` is itself.
    let mut set = false;
    while let Some(char) = chars.next() {
        if char == '\\' {
            first = false;
            set = class && chars.peek().is_some_and(|next| "dDwWsS".contains(*next));
            match chars.next() {
                None => {
                    return Err("error parsing regexp: trailing backslash at end of expression: ``".into());
                }
                Some('Q') if !class => {
                    let rest: String = chars.by_ref().collect();
                    let (quoted, after) = rest.split_once("\\E").unwrap_or((&rest, ""));
                    out.push_str(&regex::escape(quoted));
                    out.push_str(&translate(after)?);
                    return Ok(out);
                }
                // ASCII classes, as RE2 has them.
                Some('d') => out.push_str(if class { "0-9" } else { "[0-9]" }),
                Some('D') => out.push_str("[^0-9]"),
                Some('w') => out.push_str(if class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('s') => out.push_str(if class { "\\t\\n\\f\\r " } else { "[\\t\\n\\f\\r ]" }),
                Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
                Some('b') => out.push_str("(?-u:\\b)"),
                Some('B') => out.push_str("(?-u:\\B)"),
                Some('C') => out.push_str("(?s-u:.)"),
                Some(escaped) if escaped.is_ascii_alphanumeric() || escaped.is_ascii_punctuation() => {
                    if matches!(
                        escaped,
                        '<' | '>' | '"' | '\'' | '`' | ',' | ':' | ';' | '=' | '@' | '!' | '_' | '/' | '%'
                    ) {
                        out.push(escaped);
                    } else {
                        out.push('\\');
                        out.push(escaped);
                    }
                }
                Some(escaped) => {
                    return Err(format!("error parsing regexp: invalid escape sequence: `\\{escaped}`"));
                }
            }
            continue;
        }
        if !class {
            if char == '[' {
                class = true;
                first = true;
                out.push(char);
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                continue;
            }
            // `(?P<name>` and `(?<name>` are the same in both; a repetition of `{,n}` is text in both.
            out.push(char);
            continue;
        }
        match char {
            ']' if !first => {
                class = false;
                out.push(char);
            }
            '[' if chars.peek() == Some(&':') => {
                out.push(char);
            }
            '[' => out.push_str("\\["),
            ']' => out.push_str("\\]"),
            '&' | '~' => {
                out.push('\\');
                out.push(char);
            }
            '-' if set || chars.peek() == Some(&'-') => out.push_str("\\-"),
            ':' if chars.peek() == Some(&']') && out.contains("[:") => {
                out.push(char);
                if let Some(close) = chars.next() {
                    out.push(close);
                }
            }
            char => out.push(char),
        }
        first = false;
        set = false;
    }
    Ok(out)
}

/// Go's name for what is wrong with a pattern, and the part that is.
fn reason(pattern: &str, error: &str) -> String {
    let shown = |text: &str| format!("`{text}`");
    if error.contains("unclosed group") || error.contains("unopened group") {
        let kind = if error.contains("unclosed") { "missing closing ): " } else { "unexpected ): " };
        return format!("{kind}{}", shown(pattern));
    }
    if error.contains("unclosed character class") {
        let at = pattern.rfind('[').unwrap_or(0);
        return format!("missing closing ]: {}", shown(&pattern[at..]));
    }
    if error.contains("repetition operator missing expression") {
        let sign = pattern.chars().find(|char| matches!(char, '*' | '+' | '?')).unwrap_or('*');
        return format!("missing argument to repetition operator: {}", shown(&sign.to_string()));
    }
    if error.contains("look-around") {
        let at = pattern.find("(?").unwrap_or(0);
        let end = pattern[at..].char_indices().nth(3).map_or(pattern.len(), |(length, _)| at + length);
        return format!("invalid or unsupported Perl syntax: {}", shown(&pattern[at..end]));
    }
    if error.contains("invalid character class range") {
        return format!("invalid character class range: {}", shown(pattern));
    }
    if error.contains("unrecognized escape sequence") || error.contains("backreferences") {
        let at = pattern.find('\\').unwrap_or(0);
        let end = pattern[at..].char_indices().nth(2).map_or(pattern.len(), |(length, _)| at + length);
        return format!("invalid escape sequence: {}", shown(&pattern[at..end]));
    }
    if error.contains("repetition quantifier") || error.contains("size limit") {
        return format!("invalid repeat count: {}", shown(pattern));
    }
    format!("invalid expression: {}", shown(pattern))
}

/// Matches as Go finds them: an empty one right after another is left out. `most` below 0 asks for all.
pub fn find_all(regex: &Regex, text: &[u8], most: i64) -> Vec<(usize, usize)> {
    let limit = if most < 0 { usize::MAX } else { most as usize };
    let found = regex.find_iter(text).map(|found| (found.start(), found.end()));
    found.filter(|(from, to)| from != to || is_boundary(text, *from)).take(limit).collect()
}

/// Nothing is found inside a character.
fn is_boundary(text: &[u8], at: usize) -> bool {
    text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80)
}

/// `ReplaceAllString`: `$1`, `${1}`, `$name` stand for groups.
pub fn replace_all(regex: &Regex, text: &[u8], replacement: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut last = 0;
    for found in regex.captures_iter(text) {
        let whole = found.get(0).expect("because group 0 is the match");
        if whole.is_empty() && !is_boundary(text, whole.start()) {
            continue;
        }
        out.extend_from_slice(&text[last..whole.start()]);
        expand(replacement, &found, &mut out);
        last = whole.end();
    }
    out.extend_from_slice(&text[last..]);
    out
}

/// `ReplaceAllLiteralString`.
pub fn replace_all_literal(regex: &Regex, text: &[u8], replacement: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut last = 0;
    for (from, to) in find_all(regex, text, -1) {
        out.extend_from_slice(&text[last..from]);
        out.extend_from_slice(replacement);
        last = to;
    }
    out.extend_from_slice(&text[last..]);
    out
}

fn expand(template: &[u8], found: &regex::bytes::Captures<'_>, out: &mut Vec<u8>) {
    let mut rest = template;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if rest.first() == Some(&b'$') {
            out.push(b'$');
            rest = &rest[1..];
            continue;
        }
        let braced = rest.first() == Some(&b'{');
        let name_at = usize::from(braced);
        let length = super::text::chars(&rest[name_at..])
            .find(|(_, char, _)| !(char.is_alphanumeric() || *char == '_'))
            .map_or(rest.len() - name_at, |(at, ..)| at);
        let closed = !braced || rest.get(name_at + length) == Some(&b'}');
        if length == 0 || !closed {
            out.push(b'$');
            continue;
        }
        let name = String::from_utf8_lossy(&rest[name_at..name_at + length]).into_owned();
        rest = &rest[name_at + length + usize::from(braced)..];
        let plain_number =
            name.bytes().all(|byte| byte.is_ascii_digit()) && (name.len() == 1 || !name.starts_with('0'));
        let group = match name.parse::<usize>() {
            Ok(number) if plain_number => found.get(number),
            _ => found.name(&name),
        };
        if let Some(group) = group {
            out.extend_from_slice(group.as_bytes());
        }
    }
    out.extend_from_slice(rest);
}

/// `Split`.
pub fn split(regex: &Regex, text: &[u8], most: i64) -> Option<Vec<Vec<u8>>> {
    if most == 0 {
        return None;
    }
    if !regex.as_str().is_empty() && text.is_empty() {
        return Some(vec![Vec::new()]);
    }
    let matches = find_all(regex, text, most);
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let (mut start, mut end) = (0, 0);
    for (from, to) in matches {
        if most > 0 && parts.len() as i64 == most - 1 {
            break;
        }
        end = from;
        if to != 0 {
            parts.push(text[start..end].to_vec());
        }
        start = to;
    }
    if end != text.len() {
        parts.push(text[start..].to_vec());
    }
    Some(parts)
}

/// `QuoteMeta`.
pub fn quote_meta(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if b"\\.+*?()|[]{}^$".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}
