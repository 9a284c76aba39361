//! What is wrong with a value, and how the library prints it.

use api::Value as Tree;

use crate::go::{float, quote};

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// Several problems of one value.
    Group,
    /// A reference: not shown, if it has one cause.
    Reference,
    Text(String),
}

#[derive(Debug)]
pub(super) struct Problem {
    /// A JSON pointer into the values.
    pub place: String,
    pub kind: Kind,
    pub causes: Vec<Problem>,
}

impl Problem {
    /// The problems below this one, or itself if it is no group.
    pub fn causes(self) -> Vec<Problem> {
        if self.kind == Kind::Group { self.causes } else { vec![self] }
    }

    /// What stands behind the head line, each problem behind a line break.
    pub fn causes_text(self) -> String {
        let mut out = String::new();
        self.causes().iter().for_each(|cause| cause.print(1, &mut out));
        out
    }

    fn print(&self, indent: usize, out: &mut String) {
        let mut indent = indent;
        if !(self.kind == Kind::Reference && self.causes.len() == 1) {
            out.push('\n');
            out.push_str(&"  ".repeat(indent - 1));
            out.push_str("- ");
            indent += 1;
            let text = match &self.kind {
                Kind::Text(text) => text.as_str(),
                _ => "validation failed",
            };
            out.push_str(&format!("at {}: {text}", quoted(&self.place)));
        }
        for cause in &self.causes {
            cause.print(indent, out);
        }
    }
}

pub(super) fn quoted(text: &str) -> String {
    let quoted = quote::quote(text.as_bytes()).replace("\\\"", "\"").replace('\'', "\\'");
    format!("'{}'", &quoted[1..quoted.len() - 1])
}

pub(super) fn joined<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

pub(super) fn display(value: &Tree) -> String {
    match value {
        Tree::String(text) => quoted(text),
        Tree::Array(_) | Tree::Object(_) => "value".into(),
        Tree::Null => "<nil>".into(),
        Tree::Bool(flag) => flag.to_string(),
        Tree::Int(number) => number.to_string(),
        Tree::Float(number) => float::format(*number, b'g', -1),
    }
}

/// A number as an English reader expects it: groups of three, and a power of ten for the very large and small.
pub(super) fn number(value: f64) -> String {
    let text = float::format(value, b'g', -1);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    if let Some((mantissa, exponent)) = digits.split_once('e') {
        const HIGH: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
        let exponent = exponent.trim_start_matches('+').chars();
        let exponent: String =
            exponent.map(|char| char.to_digit(10).map_or('⁻', |digit| HIGH[digit as usize])).collect();
        return format!("{sign}{mantissa}×10{exponent}");
    }
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    format!("{sign}{}{rest}", grouped(whole))
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (at, char) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(char);
    }
    out
}

pub(super) fn count(length: i64) -> String {
    let digits = length.unsigned_abs().to_string();
    format!("{}{}", if length < 0 { "-" } else { "" }, grouped(&digits))
}
