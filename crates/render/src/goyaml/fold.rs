//! What becomes of a text below `>` or `|` when Kustomize prints it and reads that again: where it is folded, line ends grow before
//! lines that begin with a blank, and at the end of a text that keeps several; one that begins with a tab cannot be read.

use smol_str::SmolStr;

use super::node::{Body, Form, Parser};

pub(super) fn is_break(char: char) -> bool {
    matches!(char, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t')
}

/// The text after go-yaml 3 wrote it in its form, by its own rules, and read it.
pub(super) fn again(text: &SmolStr, form: Form) -> Result<SmolStr, String> {
    if !is_printed_as_lines(text) {
        return Ok(text.clone());
    }
    if form == Form::Literal {
        return match text.starts_with('\t') {
            true => Err("yaml: found a tab character where an indentation space is expected".into()),
            false => Ok(text.clone()),
        };
    }
    let written = written(text);
    let node = Parser::new(&written)?.document()?;
    let Some(Body::Sequence(items)) = node.as_ref().map(|node| &node.body) else { return Ok(text.clone()) };
    match items.first().map(|item| &item.body) {
        Some(Body::Scalar(text, _)) => Ok(text.clone()),
        _ => Ok(text.clone()),
    }
}

/// Texts that lines cannot hold are printed in quotes instead, and come back as they were.
fn is_printed_as_lines(text: &str) -> bool {
    // Its check looks at the first byte of a character and knows no sequence of four.
    let printable = |char: char| {
        matches!(char, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
            && char != '\u{feff}'
    };
    let mut pairs = text.chars().zip(text.chars().skip(1));
    !text.is_empty()
        && !text.ends_with(' ')
        && text.chars().all(printable)
        && !pairs.any(|(char, next)| char == ' ' && is_break(next))
}

/// The text as the only element of a list.
fn written(text: &str) -> String {
    let mut out = String::from("- >");
    if text.starts_with(|char: char| char == ' ' || is_break(char)) {
        out.push('2');
    }
    let mut last = text.chars().rev();
    match (last.next().is_some_and(is_break), last.next().is_none_or(is_break)) {
        (false, _) => out.push('-'),
        (true, true) => out.push('+'),
        (true, false) => {}
    }
    out.push('\n');
    // Its check of what follows a line end looks at the start of the text instead.
    let first_is_blank = text.trim_start_matches(is_break).chars().next().is_none_or(is_blank);
    let (mut broken, mut leading) = (true, true);
    for char in text.chars() {
        if is_break(char) {
            if !broken && !leading && char == '\n' && !first_is_blank {
                out.push('\n');
            }
            broken = true;
        } else {
            if broken {
                out.push_str("  ");
                leading = is_blank(char);
            }
            broken = false;
        }
        out.push(char);
    }
    if !broken {
        out.push('\n');
    }
    out
}
