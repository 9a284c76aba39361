//! Where a field stands in a text, for errors that are found when the text is long read.

use std::rc::Rc;

use super::node::{Body, Node, Parser};

/// The line, counted from 1, of a field written as `patches[0].target.kind`, or of the nearest around it that is there. None if
/// nothing of it is there, or if the text has several documents, any of which may be meant.
pub(crate) fn line(text: &str, field: &str) -> Option<u32> {
    let mut parser = Parser::new(text).ok()?;
    let node = parser.document().ok()??;
    if !matches!(parser.document(), Ok(None)) {
        return None;
    }
    let (mut node, mut rest, mut line) = (node, field, 0);
    while let Some((next, at, behind)) = step(&node, rest) {
        (node, rest, line) = (next, behind, at);
    }
    (line > 0).then_some(line)
}

/// What the first name or number of a field leads to, its line, and the rest of the field.
fn step<'f>(node: &Rc<Node>, field: &'f str) -> Option<(Rc<Node>, u32, &'f str)> {
    match &node.body {
        Body::Alias(target) => step(target, field),
        Body::Sequence(items) => {
            let (number, rest) = field.strip_prefix('[')?.split_once(']')?;
            let item = items.get(number.parse::<usize>().ok()?)?;
            Some((item.clone(), item.line, rest))
        }
        Body::Mapping(pairs) => {
            let field = field.strip_prefix('.').unwrap_or(field);
            // Keys may hold dots: the longest wins.
            let found = pairs.iter().filter_map(|(key, value)| {
                let Body::Scalar(name, _) = &key.body else { return None };
                let rest = field.strip_prefix(name.as_str()).filter(|_| !name.is_empty())?;
                (rest.is_empty() || rest.starts_with(['.', '['])).then_some((
                    name.len(),
                    key.line,
                    value,
                    rest,
                ))
            });
            let (_, line, value, rest) = found.max_by_key(|(length, ..)| *length)?;
            Some((value.clone(), line, rest))
        }
        Body::Scalar(..) | Body::Within(_) => None,
    }
}
