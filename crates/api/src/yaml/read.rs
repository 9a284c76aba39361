//! A configuration file as a type: its one document, read as Go reads YAML. Not for manifests, which are several documents.

use serde::de::DeserializeOwned;

use super::{Dialect, Error, parse};

/// Why a file is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the text is no YAML")]
    Yaml(#[from] Error),
    #[error("the text holds {0} documents, and one was expected")]
    Several(usize),
    /// Names the field or the value; a place in the text is not known.
    #[error("a field is not as expected")]
    Shape(#[from] serde_json::Error),
}

/// The one document of a text; a text without any is `null`. A key that is there twice is an error.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, ReadError> {
    let mut documents = parse(text, Dialect::V2)?;
    let json = match documents.len() {
        0 => serde_json::Value::Null,
        1 => serde_json::from_slice(&documents.remove(0).to_json())?,
        more => return Err(ReadError::Several(more)),
    };
    Ok(serde_json::from_value(json)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn one_document_is_a_type_and_faults_are_named() {
        let read = |text| read::<Option<BTreeMap<String, u16>>>(text);
        assert_eq!(read("a: 7\n").unwrap().unwrap()["a"], 7);
        assert_eq!(read("").unwrap(), None);
        let told = |text| {
            let error = read(text).unwrap_err();
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error}: {source}")
        };
        assert!(told("a: 1\nb: [").contains("line 2"), "{}", told("a: 1\nb: ["));
        assert!(told("a: x").contains("invalid type: string \"x\""), "{}", told("a: x"));
        assert_eq!(told("a: 1\n---\nb: 2\n"), "the text holds 2 documents, and one was expected: ");
        assert!(told("a: 1\na: 2\n").contains("line 2"), "{}", told("a: 1\na: 2\n"));
    }
}
