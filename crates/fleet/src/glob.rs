//! Globs as Argo CD's projects use them: `*`, `**`, `?`, `[a-z]`, `[!a]`, `{a,b}`. With a separator `*` stops at it.

/// Whether a text fits a pattern. A pattern that is no glob fits only itself.
pub(crate) fn fits(pattern: &str, text: &str, separator: Option<char>) -> bool {
    pattern == text
        || alternatives(pattern).iter().any(|one| {
            let (pattern, text): (Vec<char>, Vec<char>) = (one.chars().collect(), text.chars().collect());
            walk(&pattern, &text, separator)
        })
}

/// Expands `{a,b}`; nested braces too. Bounded, because projects are written by people.
fn alternatives(pattern: &str) -> Vec<String> {
    const MOST: usize = 256;
    let mut done = Vec::new();
    let mut todo = vec![pattern.to_string()];
    while let Some(next) = todo.pop() {
        let inner = next.find('}').and_then(|close| next[..close].rfind('{').map(|open| (open, close)));
        match inner {
            Some((open, close)) if todo.len() + done.len() < MOST => {
                for choice in next[open + 1..close].split(',') {
                    todo.push(format!("{}{choice}{}", &next[..open], &next[close + 1..]));
                }
            }
            _ => done.push(next),
        }
    }
    done
}

fn walk(pattern: &[char], text: &[char], separator: Option<char>) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return text.is_empty() };
    let stops = |char: &char| Some(*char) == separator;
    match first {
        '*' if rest.first() == Some(&'*') => {
            let rest = &rest[1..];
            (0..=text.len()).any(|at| walk(rest, &text[at..], separator))
        }
        '*' => {
            let most = text.iter().position(stops).unwrap_or(text.len());
            (0..=most).any(|at| walk(rest, &text[at..], separator))
        }
        '?' => text.first().is_some_and(|char| !stops(char)) && walk(rest, &text[1..], separator),
        '[' => {
            let (Some(close), Some(char)) = (rest.iter().position(|char| *char == ']'), text.first()) else {
                return false;
            };
            let (negated, set) = match rest[..close].split_first() {
                Some(('!', set)) => (true, set),
                _ => (false, &rest[..close]),
            };
            let range = |set: &[char]| set.len() == 3 && set[1] == '-' && (set[0]..=set[2]).contains(char);
            let has = set.contains(char) || set.windows(3).any(range);
            has != negated && walk(&rest[close + 1..], &text[1..], separator)
        }
        '\\' => match rest.split_first() {
            Some((next, rest)) => text.first() == Some(next) && walk(rest, &text[1..], separator),
            None => false,
        },
        char => text.first() == Some(char) && walk(rest, &text[1..], separator),
    }
}

/// As [`fits`], where a pattern that begins with `!` fits what the rest does not.
pub(crate) fn fits_or_denies(pattern: &str, text: &str, separator: Option<char>) -> bool {
    match pattern.strip_prefix('!') {
        Some(pattern) => !fits(pattern, text, separator),
        None => fits(pattern, text, separator),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, separator, expected) in [
            ("*", "a/b", None, true),
            ("*", "a/b", Some('/'), false),
            ("**", "a/b", Some('/'), true),
            ("https://x.y/org/*", "https://x.y/org/repo", Some('/'), true),
            ("https://x.y/org/*", "https://x.y/org/deep/repo", Some('/'), false),
            ("https://x.y/**", "https://x.y/org/deep/repo", Some('/'), true),
            ("team-?-{dev,prod}", "team-a-prod", None, true),
            ("team-[a-c]", "team-b", None, true),
            ("team-[!a-c]", "team-b", None, false),
            ("team", "teams", None, false),
        ] {
            assert_eq!(fits(pattern, text, separator), expected, "{pattern} {text}");
        }
        assert!(fits_or_denies("!kube-*", "shop", None) && !fits_or_denies("!kube-*", "kube-system", None));
    }
}
