//! Variable substitution as Flux does it after a build (`spec.postBuild`): `${var}` and the functions of bash that
//! Flux's envsubst knows, in the printed YAML of each object.
//!
//! Because it works on the printed text, a value can become a number or a whole map, as upstream. Where variables come
//! from (ConfigMaps, Secrets, the site) is the caller's business.

mod functions;
mod parse;

use std::collections::BTreeMap;

use api::Value;

use crate::{goyaml, yaml};

pub use parse::evaluate;

/// Variables by name: letters, digits and `_`, not starting with a digit.
pub type Variables = BTreeMap<String, String>;

/// How strict a substitution is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A variable that is used without a default and is not set is an error.
    pub strict: bool,
    /// Substitute also if there are no variables at all, so that defaults take effect.
    pub always: bool,
}

/// The label or annotation that, set to `disabled`, keeps an object as it is.
pub const MARK: &str = "kustomize.toolkit.fluxcd.io/substitute";

/// What is wrong with a variable or a text. The texts are upstream's: they end up in a Kustomization's status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "envsubst error: '{name}' var name is invalid, must match '^[_[:alpha:]][_[:alpha:][:digit:]]*$'"
    )]
    Name { name: String },
    #[error("{object}: envsubst error: variable substitution failed: {source}")]
    Text { object: String, source: Fault },
    #[error("{object}: envsubst error: YAMLToJSON: {text}")]
    Yaml { object: String, text: String },
}

/// Why a text cannot be substituted in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("variable not set (strict mode): {0:?}")]
    NotSet(String),
    #[error("bad substitution")]
    Bad,
    /// Upstream finds this out when it reads the result, and tells it of the byte.
    #[error("a function cuts a character of several bytes; its offsets are bytes")]
    Cut,
    #[error("missing closing brace")]
    Brace,
    #[error("unable to parse variable name")]
    Name,
    #[error("unable to parse substitution within function")]
    Argument,
    #[error("unable to parse default function")]
    Default,
    #[error("substitutions are nested more than {} deep", parse::DEPTH)]
    Deep,
    #[error("the text after substitution is longer than {} bytes", functions::LONGEST)]
    Long,
}

/// Whether an object opts out by its label or annotation.
pub fn is_disabled(object: &Value) -> bool {
    ["labels", "annotations"].iter().any(|place| object.str_at(&["metadata", place, MARK]) == "disabled")
}

/// Substitutes in every object that does not opt out. Line ends in values are dropped, as upstream.
pub fn substitute(
    documents: Vec<Value>,
    variables: &Variables,
    options: Options,
) -> Result<Vec<Value>, Error> {
    if variables.is_empty() && !options.always {
        return Ok(documents);
    }
    // An object that opts out is not stopped by a name.
    if let Some(name) = variables.keys().find(|name| !is_name(name))
        && !documents.iter().all(is_disabled)
    {
        return Err(Error::Name { name: name.clone() });
    }
    let variables: Variables =
        variables.iter().map(|(name, value)| (name.clone(), value.replace('\n', ""))).collect();
    documents.into_iter().map(|document| one(document, &variables, options)).collect()
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn one(document: Value, variables: &Variables, options: Options) -> Result<Value, Error> {
    if is_disabled(&document) {
        return Ok(document);
    }
    let object = || format!("{}/{}", document.str_at(&["kind"]), document.str_at(&["metadata", "name"]));
    let mut text = String::new();
    yaml::emit(&document, &mut text);
    if !text.contains('$') {
        return Ok(rounded(document));
    }
    let text = evaluate(&text, variables, options.strict)
        .map_err(|source| Error::Text { object: object(), source })?;
    let read = goyaml::first(&text).map_err(|text| {
        let text = text.strip_prefix("error converting YAML to JSON: ").unwrap_or(&text).to_string();
        Error::Yaml { object: object(), text }
    });
    read.map(rounded)
}

/// Makes numbers what they are upstream after the object was read as JSON: of 64 bits with a fraction, also those without one.
fn rounded(mut value: Value) -> Value {
    fn round(value: &mut Value) {
        match value {
            Value::Int(number) => {
                let float = *number as f64;
                let fits = float >= i64::MIN as f64 && float < i64::MAX as f64;
                *value = if fits { Value::Int(float as i64) } else { Value::Float(float) };
            }
            Value::Array(items) => items.iter_mut().for_each(round),
            Value::Object(map) => map.iter_mut().for_each(|(_, value)| round(value)),
            _ => {}
        }
    }
    round(&mut value);
    value
}

#[cfg(test)]
mod tests;
