//! gobwas/glob, as `.Files.Glob` uses it (`*` stays within a name, `**` crosses slashes) and as Argo CD does (both cross).

use regex::Regex;

/// What `*` and `?` take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All but slashes.
    Name,
    Everything,
}

/// The pattern as an expression over whole paths; `None` if it is none.
pub fn compile(pattern: &str, reach: Reach) -> Option<Regex> {
    let one = if reach == Reach::Name { "[^/]" } else { "." };
    let mut out = String::from("(?s)^");
    let mut depth = 0;
    let mut chars = pattern.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '*' => {
                let mut stars = 1;
                while chars.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                out.push_str(if stars > 1 { "." } else { one });
                out.push('*');
            }
            '?' => out.push_str(one),
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            '[' => {
                out.push('[');
                if chars.next_if_eq(&'!').is_some() {
                    out.push('^');
                }
                let mut inner = String::new();
                loop {
                    match chars.next()? {
                        ']' => break,
                        '\\' => inner.push_str(&regex::escape(&chars.next()?.to_string())),
                        '-' => inner.push('-'),
                        char => inner.push_str(&regex::escape(&char.to_string())),
                    }
                }
                if inner.is_empty() {
                    return None;
                }
                out.push_str(&inner);
                out.push(']');
            }
            '\\' => out.push_str(&regex::escape(&chars.next()?.to_string())),
            char => out.push_str(&regex::escape(&char.to_string())),
        }
    }
    if depth != 0 {
        return None;
    }
    out.push('$');
    Regex::new(&out).ok()
}
