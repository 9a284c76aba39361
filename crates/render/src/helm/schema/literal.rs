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

/// The text with the largest number that a tree holds in place of each that is larger, which upstream keeps as it is written; none if
/// there is none such.
pub(super) fn held(text: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut found, mut at) = (Vec::with_capacity(text.len()), false, 0);
    while let Some(first) = text.get(at) {
        let rest = &text[at..];
        let length = match first {
            b'"' => {
                let mut end = 1;
                while rest.get(end).is_some_and(|byte| *byte != b'"') {
                    end += 1 + usize::from(rest[end] == b'\\');
                }
                (end + 1).min(rest.len())
            }
            b'-' | b'0'..=b'9' => {
                let inside = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                rest.iter().take_while(inside).count()
            }
            _ => 1,
        };
        let part = &rest[..length];
        let number = std::str::from_utf8(part).ok().and_then(|part| part.parse::<f64>().ok());
        match number {
            Some(number) if number.is_infinite() => {
                found = true;
                let largest = if number < 0.0 { f64::MIN } else { f64::MAX };
                out.extend_from_slice(format!("{largest:e}").as_bytes());
            }
            _ => out.extend_from_slice(part),
        }
        at += length;
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_too_large_is_held() {
        let text = br#"{"a": [1E1111111, -2e999, 3], "b": "1e999\"", "c": 4e30"#;
        let held =
            br#"{"a": [1.7976931348623157e308, -1.7976931348623157e308, 3], "b": "1e999\"", "c": 4e30"#;
        assert_eq!(super::held(text).as_deref(), Some(&held[..]));
        assert_eq!(super::held(b"{\"a\": \"1e999"), None);
    }

    #[test]
    fn numbers_are_told_as_they_are_written() {
        let text = br#"{"a/b": [1, {"c": 98.0, "c": 1e3}], "d": 98.0}"#;
        assert_eq!(super::at(text, "/a~1b/1/c"), Some("1e3"));
        assert_eq!(super::at(text, "/d"), Some("98.0"));
        assert_eq!(super::at(text, "/a~1b/2"), None);
    }
}
