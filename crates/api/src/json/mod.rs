//! JSON to `Value` and back, as Go's decoder and encoder (sigs.k8s.io/json, encoding/json) do it.
//!
//! Numbers become `int64` where they are written without a point and fit, `float64` otherwise. Bytes that are not
//! UTF-8 become U+FFFD. `<`, `>` and `&` are written escaped, because upstream's server does. What differs from Go:
//! nesting deeper than [`MAX_DEPTH`] is an error (Go stops at 10,000), because every walk over a tree recurses and must
//! fit the stack of a thread; no real object comes near it.

mod parse;
pub(crate) mod scan;
mod write;

pub use parse::{Parsed, duplicates, parse, parse_all};
pub use write::{to_string, to_vec, write, write_string};

/// How deep arrays and objects may nest.
pub const MAX_DEPTH: usize = 500;

/// Text that is no JSON, or JSON that cannot be a [`crate::Value`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("unexpected end of JSON input")]
    End,
    /// `what` names the place as Go does: `looking for beginning of value`, `after object key`, …
    #[error("invalid character {} {what}", quote_char(*.found))]
    Character { found: char, what: String, offset: usize },
    #[error("exceeded max depth")]
    Depth,
    #[error("json: cannot unmarshal number {0} into Go value of type float64")]
    Number(String),
}

/// Go's way to name a character in a message.
fn quote_char(found: char) -> String {
    match found {
        '\'' => r"'\''".into(),
        '"' => r#"'"'"#.into(),
        other => format!("'{}'", crate::text::quote(&other.to_string()).trim_matches('"')),
    }
}

#[cfg(test)]
mod tests;
