//! A URL's query: few pairs, looked through in order.

use std::borrow::Cow;

/// Decoded pairs, in order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: Option<&str>) -> Query {
        let Some(text) = text else { return Query::default() };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true).into_owned(), decode(value, true).into_owned())
        });
        Query(pairs.collect())
    }
    /// The first value of `name`; `""` if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    }
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }
    /// As Go's conversion reads a bool of a query: everything but `""` (absent), `0` and `false` is true.
    pub fn flag(&self, name: &str) -> bool {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .is_some_and(|(_, value)| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }
}

/// Takes percent escapes away, and in a query `+` too. What is no escape stays as it is.
pub fn decode(text: &str, query: bool) -> Cow<'_, str> {
    let escaped = text.contains('%') || (query && text.contains('+'));
    if !escaped {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' if query => out.push(b' '),
            b'%' => {
                let digit = |at: usize| rest.get(at).and_then(|byte| (*byte as char).to_digit(16));
                match (digit(0), digit(1)) {
                    (Some(high), Some(low)) => {
                        out.push((high * 16 + low) as u8);
                        rest = &rest[2..];
                    }
                    _ => out.push(b'%'),
                }
            }
            other => out.push(other),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        let query = Query::parse(Some("labelSelector=app%3Dweb%2Ctier+in+(a)&watch=1&pretty=false&x"));
        assert_eq!(query.get("labelSelector"), "app=web,tier in (a)");
        assert!(query.flag("watch") && query.flag("x") && !query.flag("pretty") && !query.flag("y"));
        assert_eq!(decode("50%", false), "50%");
    }
}
