//! Go's `path` package, and `filepath.Match`.

/// `path.Clean`.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            other => parts.push(other),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

/// `path.Base`.
pub fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// `path.Dir`.
pub fn dir(path: &str) -> String {
    clean(&path[..path.rfind('/').map_or(0, |at| at + 1)])
}

/// `path.Ext`.
pub fn ext(path: &str) -> &str {
    let name = &path[path.rfind('/').map_or(0, |at| at + 1)..];
    name.rfind('.').map_or("", |at| &name[at..])
}

/// `path.Join` of two.
pub fn join(a: &str, b: &str) -> String {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => String::new(),
        (true, false) => clean(b),
        (false, true) => clean(a),
        (false, false) => clean(&format!("{a}/{b}")),
    }
}

/// `filepath.Match`; an error is a malformed pattern (`syntax error in pattern`).
#[expect(clippy::result_unit_err, reason = "there is one error, and the caller has its text")]
pub fn matches(pattern: &str, name: &str) -> Result<bool, ()> {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    check(&pattern)?;
    Ok(step(&pattern, &name))
}

fn check(pattern: &[char]) -> Result<(), ()> {
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            '\\' if at + 1 >= pattern.len() => return Err(()),
            '\\' => at += 2,
            '[' => at += class(&pattern[at..], None).ok_or(())?.0,
            _ => at += 1,
        }
    }
    Ok(())
}

fn step(pattern: &[char], name: &[char]) -> bool {
    let Some(first) = pattern.first() else { return name.is_empty() };
    match first {
        '*' => {
            let rest = &pattern[1..];
            for length in 0..=name.len() {
                if step(rest, &name[length..]) {
                    return true;
                }
                if name.get(length) == Some(&'/') {
                    return false;
                }
            }
            false
        }
        '?' => name.first().is_some_and(|char| *char != '/') && step(&pattern[1..], &name[1..]),
        '[' => {
            let Some(char) = name.first() else { return false };
            matches!(class(pattern, Some(*char)), Some((length, true)) if step(&pattern[length..], &name[1..]))
        }
        '\\' => pattern.get(1) == name.first() && !name.is_empty() && step(&pattern[2..], &name[1..]),
        char => name.first() == Some(char) && step(&pattern[1..], &name[1..]),
    }
}

/// The length of a `[…]` and whether it holds a character; `None` if it is malformed.
fn class(pattern: &[char], char: Option<char>) -> Option<(usize, bool)> {
    // One end of a range: a character, perhaps escaped, with something behind it.
    let one = |at: &mut usize| -> Option<char> {
        let mut char = *pattern.get(*at)?;
        if char == '-' || char == ']' {
            return None;
        }
        if char == '\\' {
            *at += 1;
            char = *pattern.get(*at)?;
        }
        *at += 1;
        (*at < pattern.len()).then_some(char)
    };
    let mut at = 1;
    let negated = pattern.get(at) == Some(&'^');
    at += usize::from(negated);
    let mut found = false;
    let mut ranges = 0;
    loop {
        if pattern.get(at) == Some(&']') && ranges > 0 {
            return Some((at + 1, found != negated));
        }
        let low = one(&mut at)?;
        let mut high = low;
        if pattern.get(at) == Some(&'-') {
            at += 1;
            high = one(&mut at)?;
        }
        found |= char.is_some_and(|char| low <= char && char <= high);
        ranges += 1;
    }
}
