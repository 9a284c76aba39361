//! How a number is written in a schema: errors repeat it as it stands there, and a tree keeps only what it is worth.

use std::collections::HashMap;

use serde_json::value::RawValue;

/// The text of the value that a JSON pointer leads to; of names that stand twice the last counts.
pub(super) fn at<'t>(text: &'t [u8], pointer: &str) -> Option<&'t str> {
    let mut here: &RawValue = serde_json::from_slice(text).ok()?;
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        here = if here.get().starts_with('{') {
            serde_json::from_str::<HashMap<String, &RawValue>>(here.get()).ok()?.remove(&name)?
        } else {
            let items: Vec<&RawValue> = serde_json::from_str(here.get()).ok()?;
            *items.get(name.parse::<usize>().ok()?)?
        };
    }
    Some(here.get())
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_told_as_they_are_written() {
        let text = br#"{"a/b": [1, {"c": 98.0, "c": 1e3}], "d": 98.0}"#;
        assert_eq!(super::at(text, "/a~1b/1/c"), Some("1e3"));
        assert_eq!(super::at(text, "/d"), Some("98.0"));
        assert_eq!(super::at(text, "/a~1b/2"), None);
    }
}
