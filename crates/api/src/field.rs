//! Where in an object something is wrong, and what: upstream's `field.Path` and `field.Error`
//! (k8s.io/apimachinery/pkg/util/validation/field), with the same texts, because clients and people match on them.

use std::fmt;

use crate::Value;

/// `spec.containers[0].name`, `metadata.labels[app]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(String);

impl Path {
    pub fn new(root: &str) -> Path {
        Path(root.into())
    }
    pub fn child(&self, name: &str) -> Path {
        if self.0.is_empty() { Path(name.into()) } else { Path(format!("{}.{name}", self.0)) }
    }
    pub fn index(&self, at: usize) -> Path {
        Path(format!("{}[{at}]", self.0))
    }
    pub fn key(&self, key: &str) -> Path {
        Path(format!("{}[{key}]", self.0))
    }
    /// A path below this one.
    pub fn join(&self, below: &Path) -> Path {
        match below.0.as_str() {
            "" => self.clone(),
            text if text.starts_with('[') => Path(format!("{}{text}", self.0)),
            text => self.child(text),
        }
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// The kinds of `field.Error`; [`Reason::as_str`] is the `reason` of a Status cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
    Internal,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::NotFound => "FieldValueNotFound",
            Reason::Required => "FieldValueRequired",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::Invalid => "FieldValueInvalid",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::TooLong => "FieldValueTooLong",
            Reason::TooMany => "FieldValueTooMany",
            Reason::TypeInvalid => "FieldValueTypeInvalid",
            Reason::Internal => "InternalError",
        }
    }
    fn text(self) -> &'static str {
        match self {
            Reason::NotFound => "Not found",
            Reason::Required => "Required value",
            Reason::Duplicate => "Duplicate value",
            Reason::Invalid | Reason::TypeInvalid => "Invalid value",
            Reason::NotSupported => "Unsupported value",
            Reason::Forbidden => "Forbidden",
            Reason::TooLong => "Too long",
            Reason::TooMany => "Too many",
            Reason::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub path: Path,
    pub reason: Reason,
    /// The offending value, shown for the reasons that show one.
    pub value: Option<Value>,
    pub detail: String,
}

impl Error {
    pub fn required(path: Path, detail: impl Into<String>) -> Error {
        Error { path, reason: Reason::Required, value: None, detail: detail.into() }
    }
    /// What upstream calls a failure of its own.
    pub fn internal(path: Path, detail: impl Into<String>) -> Error {
        Error { path, reason: Reason::Internal, value: None, detail: detail.into() }
    }
    pub fn forbidden(path: Path, detail: impl Into<String>) -> Error {
        Error { path, reason: Reason::Forbidden, value: None, detail: detail.into() }
    }
    pub fn invalid(path: Path, value: impl Into<Value>, detail: impl Into<String>) -> Error {
        Error { path, reason: Reason::Invalid, value: Some(value.into()), detail: detail.into() }
    }
    pub fn duplicate(path: Path, value: impl Into<Value>) -> Error {
        Error { path, reason: Reason::Duplicate, value: Some(value.into()), detail: String::new() }
    }
    pub fn not_found(path: Path, value: impl Into<Value>) -> Error {
        Error { path, reason: Reason::NotFound, value: Some(value.into()), detail: String::new() }
    }
    /// `valid` is shown in the order given, as upstream does.
    pub fn not_supported(path: Path, value: impl Into<Value>, valid: &[&str]) -> Error {
        let valid: Vec<String> = valid.iter().map(|text| format!("{text:?}")).collect();
        let detail =
            if valid.is_empty() { String::new() } else { format!("supported values: {}", valid.join(", ")) };
        Error { path, reason: Reason::NotSupported, value: Some(value.into()), detail }
    }
    pub fn too_long(path: Path, most: usize) -> Error {
        let detail = format!("may not be more than {most} byte{}", if most == 1 { "" } else { "s" });
        Error { path, reason: Reason::TooLong, value: None, detail }
    }
    pub fn too_many(path: Path, actual: usize, most: usize) -> Error {
        let detail = format!("must have at most {most} item{}", if most == 1 { "" } else { "s" });
        Error { path, reason: Reason::TooMany, value: Some(Value::Int(actual as i64)), detail }
    }

    /// The text without the path: the `message` of a Status cause.
    pub fn body(&self) -> String {
        let mut text = self.reason.text().to_string();
        if let Some(value) = &self.value {
            text.push_str(": ");
            match value {
                Value::String(string) => text.push_str(&crate::text::quote(string)),
                other => text.push_str(&other.to_string()),
            }
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.body())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_upstream_writes_it() {
        let path = Path::new("spec").child("ports").index(0).child("protocol");
        let error = Error::not_supported(path, "ICMP", &["TCP", "UDP"]);
        assert_eq!(
            error.to_string(),
            r#"spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP""#
        );
    }
}
