//! `$(NAME)` in commands, arguments, variables and sub-paths: `$$` is a dollar, an unknown name stays as it is written.

/// Replaces every `$(NAME)` for which `lookup` has a value.
pub fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(name) =
            after.strip_prefix('(').and_then(|inner| inner.split_once(')')).map(|(name, _)| name)
        {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = &after[name.len() + 2..];
        } else if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_upstream() {
        let lookup = |name: &str| match name {
            "A" => Some("1"),
            "B" => Some("$(A)"),
            _ => None,
        };
        for (input, expected) in [
            ("$(A)", "1"),
            ("x$(A)y$(B)", "x1y$(A)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(C) $A $", "$(C) $A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(input, lookup), expected, "{input}");
        }
    }
}
