//! The part of kubectl's JSONPath that CRDs' printer columns, selectable fields and scale paths use: `.a.b`, `['a.b']`,
//! `[0]`, `[-1]`, `[*]`, and filters `[?(@.type=="Ready")]`. A path that is not understood finds nothing.

use crate::Value;

/// Everything that `path` leads to in `value`.
pub fn find<'a>(path: &str, value: &'a Value) -> Vec<&'a Value> {
    let Some(steps) = parse(path) else { return Vec::new() };
    walk(&steps, value)
}

/// `path` can be parsed.
pub fn is_valid(path: &str) -> bool {
    parse(path).is_some()
}

/// A value as JSONPath prints it: texts bare, the rest as JSON.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    }
}

#[derive(Debug)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// Elements whose value at the path compares so with the literal.
    Filter(Vec<Step>, Compare, Value),
    /// Elements that have the path.
    Exists(Vec<Step>),
}

#[derive(Clone, Copy, Debug)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

fn walk<'a>(steps: &[Step], value: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![value];
    for step in steps {
        found = found.into_iter().flat_map(|value| take(step, value)).collect();
    }
    found
}

fn take<'a>(step: &Step, value: &'a Value) -> Vec<&'a Value> {
    let items = || value.as_array().unwrap_or_default();
    match step {
        Step::Field(name) => value.get(name).into_iter().collect(),
        Step::Index(at) => {
            let length = items().len() as i64;
            let at = if *at < 0 { length + at } else { *at };
            usize::try_from(at).ok().and_then(|at| items().get(at)).into_iter().collect()
        }
        Step::All => match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.iter().map(|(_, value)| value).collect(),
            _ => Vec::new(),
        },
        Step::Exists(path) => items().iter().filter(|item| !walk(path, item).is_empty()).collect(),
        Step::Filter(path, compare, literal) => items()
            .iter()
            .filter(|item| walk(path, item).first().is_some_and(|found| holds(found, *compare, literal)))
            .collect(),
    }
}

fn holds(found: &Value, compare: Compare, literal: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    let order = match (found, literal) {
        (Value::String(a), Value::String(b)) => a.partial_cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.partial_cmp(b),
        (a, b) => number(a).zip(number(b)).and_then(|(a, b)| a.partial_cmp(&b)),
    };
    let Some(order) = order else { return matches!(compare, Compare::NotEqual) };
    match compare {
        Compare::Equal => order.is_eq(),
        Compare::NotEqual => order.is_ne(),
        Compare::Less => order.is_lt(),
        Compare::LessOrEqual => order.is_le(),
        Compare::Greater => order.is_gt(),
        Compare::GreaterOrEqual => order.is_ge(),
    }
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let path = path.trim();
    let path = path.strip_prefix('{').and_then(|path| path.strip_suffix('}')).unwrap_or(path);
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    let mut steps = Vec::new();
    while let Some(first) = rest.chars().next() {
        if first == '[' {
            let end = closing(rest)?;
            steps.push(bracket(rest[1..end].trim())?);
            rest = &rest[end + 1..];
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let (name, after) = field(rest);
        match name.as_str() {
            "" if rest.is_empty() => break,
            "" if rest.starts_with('[') => continue,
            "" => return None,
            "*" => steps.push(Step::All),
            _ => steps.push(Step::Field(name)),
        }
        rest = after;
    }
    Some(steps)
}

/// A field's name up to the next step; `\.` is a dot in it.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '.' | '[' => return (name, &text[at..]),
            '\\' => name.extend(letters.next().map(|(_, escaped)| escaped)),
            other => name.push(other),
        }
    }
    (name, "")
}

/// Where the bracket that `text` opens with is closed, quotes and inner brackets passed over.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Option<Step> {
    if text == "*" {
        return Some(Step::All);
    }
    if let Some(name) = unquote(text) {
        return Some(Step::Field(name));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        return self::filter(filter.trim());
    }
    text.parse().ok().map(Step::Index)
}

fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '\'' | '"'))?;
    Some(text.strip_prefix(quote)?.strip_suffix(quote)?.into())
}

fn filter(text: &str) -> Option<Step> {
    const OPERATORS: [(&str, Compare); 6] = [
        ("==", Compare::Equal),
        ("!=", Compare::NotEqual),
        ("<=", Compare::LessOrEqual),
        (">=", Compare::GreaterOrEqual),
        ("<", Compare::Less),
        (">", Compare::Greater),
    ];
    let mut quote = None;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            _ => {
                if let Some((operator, compare)) =
                    OPERATORS.iter().find(|(text_, _)| text[at..].starts_with(text_))
                {
                    let path = parse(text[..at].trim().strip_prefix('@')?)?;
                    let literal = text[at + operator.len()..].trim();
                    let literal = match unquote(literal) {
                        Some(text) => text.into(),
                        None => serde_json::from_str(literal).ok()?,
                    };
                    return Some(Step::Filter(path, *compare, literal));
                }
            }
        }
    }
    Some(Step::Exists(parse(text.strip_prefix('@')?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds() {
        let value: Value = serde_json::from_str(
            r#"{"spec":{"a":[{"n":1},{"n":2}],"x.y":"z"},"status":{"conditions":[{"type":"A","status":"False"},{"type":"Ready","status":"True"}]}}"#,
        )
        .unwrap();
        let cases = [
            (".spec.a[0].n", "1"),
            (".spec.a[-1].n", "2"),
            (".spec.a[*].n", "1,2"),
            (".spec['x.y']", "z"),
            (r".spec.x\.y", "z"),
            (r#".status.conditions[?(@.type=="Ready")].status"#, "True"),
            (".status.conditions[?(@.type=='Ready')].status", "True"),
            (".spec.a[?(@.n>1)].n", "2"),
            ("{.spec.a[0].n}", "1"),
            (".spec.none", ""),
            (".spec.a[", ""),
        ];
        for (path, expected) in cases {
            let found: Vec<String> = find(path, &value).into_iter().map(text).collect();
            assert_eq!(found.join(","), expected, "{path}");
        }
    }
}
