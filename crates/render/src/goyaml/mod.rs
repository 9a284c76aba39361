//! YAML as Helm reads it: sigs.k8s.io/yaml over go-yaml 2, with its texts for what is wrong.
//!
//! Reading gives [`api::Value`]s as JSON would hold them: keys are texts, a later key wins over an earlier one, a date is a text.
//! Printing is [`api::yaml::emit`]. Bounded: nesting by [`DEPTH`], aliases by upstream's ratio.

mod decode;
mod fold;
mod json;
pub mod kyaml;
mod node;
mod place;
mod scan;

#[cfg(test)]
mod tests;

/// How deep values may lie in one another: what two megabytes of stack hold without optimisation. Upstream stops at 10000.
pub const DEPTH: usize = 200;

/// The first document of a text, which is all that upstream reads. The error is upstream's text, from `error converting …` on.
pub fn first(text: &str) -> Result<api::Value, String> {
    let read = node::Parser::new(text).and_then(|mut parser| parser.document());
    let value = read.and_then(|node| node.map_or(Ok(api::Value::Null), |node| decode::value(&node)));
    value.map_err(|error| format!("error converting YAML to JSON: {error}"))
}

/// The first document with no more than these fields of its map, if it is one; in any case of theirs. The same errors as of [`first`].
pub fn head(text: &str, wanted: &'static [&'static str]) -> Result<api::Value, String> {
    match node::Parser::head(text, wanted).and_then(|node| decode::value(&node).ok()) {
        Some(value) => Ok(value),
        None => first(text),
    }
}

/// Whether a plain text reads back as itself, and not as a number, a date, a boolean or nothing, also to base 60.
pub(crate) fn is_text(text: &str) -> bool {
    decode::is_text(text)
}

/// Upstream prints by way of JSON, which writes these as they are, and YAML does not read them.
pub(crate) fn readable(text: &str) -> Result<(), String> {
    let wrong =
        |char: char| matches!(char, '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    match text.contains(wrong) {
        true => Err("yaml: control characters are not allowed".into()),
        false => Ok(()),
    }
}

pub(crate) use place::line;

/// Every document of a text.
pub fn all(text: &str) -> Result<Vec<api::Value>, String> {
    let wrap = |error: String| format!("error converting YAML to JSON: {error}");
    let mut parser = node::Parser::new(text).map_err(wrap)?;
    let mut documents = Vec::new();
    while let Some(node) = parser.document().map_err(wrap)? {
        documents.push(decode::value(&node).map_err(wrap)?);
    }
    Ok(documents)
}
