//! Label and field selectors: the text of `?labelSelector=` and `?fieldSelector=`, `LabelSelector` objects, and matching.
//!
//! Grammar, errors and the text form are upstream's (k8s.io/apimachinery/pkg/labels, pkg/fields).

use std::fmt;

use smol_str::SmolStr;

use crate::Value;
use crate::field::{self, Path};
use crate::validation::names;

mod fields;
mod parse;

pub use fields::{Fields, Resolved, Term};

/// A selector that cannot be understood; the server answers 400 with this text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// All of its requirements hold; none: everything matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    requirements: Vec<Requirement>,
    /// A nil LabelSelector selects nothing.
    nothing: bool,
}

/// `key operator values`. Values are sorted and not doubled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: SmolStr,
    pub operator: Operator,
    pub values: Vec<SmolStr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl Requirement {
    /// Checks as upstream's NewRequirement.
    pub fn new(
        key: impl Into<SmolStr>,
        operator: Operator,
        mut values: Vec<SmolStr>,
    ) -> Result<Requirement, Error> {
        use Operator::*;
        let key = key.into();
        let mut errors = Vec::new();
        let wrong = names::qualified_name(&key);
        if !wrong.is_empty() {
            errors.push(field::Error::invalid(Path::new("key"), key.clone(), wrong.join("; ")));
        }
        let path = Path::new("values");
        let shown = || Value::Array(values.iter().cloned().map(Value::from).collect());
        let text = match operator {
            In | NotIn if values.is_empty() => "for 'in', 'notin' operators, values set can't be empty",
            Equals | DoubleEquals | NotEquals if values.len() != 1 => {
                "exact-match compatibility requires one single value"
            }
            Exists | DoesNotExist if !values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            GreaterThan | LessThan if values.len() != 1 => {
                "for 'Gt', 'Lt' operators, exactly one value is required"
            }
            _ => "",
        };
        if !text.is_empty() {
            errors.push(field::Error::invalid(path.clone(), shown(), text));
        }
        for (at, value) in values.iter().enumerate() {
            if matches!(operator, GreaterThan | LessThan) && value.parse::<i64>().is_err() {
                let text = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(field::Error::invalid(path.index(at), value.clone(), text));
            }
        }
        for (at, value) in values.iter().enumerate() {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                errors.push(field::Error::invalid(path.index(at).key(&key), value.clone(), wrong.join("; ")));
            }
        }
        if !errors.is_empty() {
            return Err(Error(aggregate(&errors)));
        }
        values.sort();
        values.dedup();
        Ok(Requirement { key, operator, values })
    }

    pub fn matches(&self, labels: &[(SmolStr, SmolStr)]) -> bool {
        use Operator::*;
        let found = labels.iter().find(|(key, _)| *key == self.key).map(|(_, value)| value);
        match (self.operator, found) {
            (In | Equals | DoubleEquals, Some(value)) => self.values.contains(value),
            (NotIn | NotEquals, Some(value)) => !self.values.contains(value),
            (Exists, found) => found.is_some(),
            (DoesNotExist | NotIn | NotEquals, None) => true,
            (DoesNotExist, Some(_)) | (In | Equals | DoubleEquals | GreaterThan | LessThan, None) => false,
            (GreaterThan | LessThan, Some(value)) => {
                let (Ok(have), Some(Ok(want))) =
                    (value.parse::<i64>(), self.values.first().map(|value| value.parse::<i64>()))
                else {
                    return false;
                };
                if self.operator == GreaterThan { have > want } else { have < want }
            }
        }
    }
}

fn aggregate(errors: &[field::Error]) -> String {
    let texts: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
    if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) }
}

impl fmt::Display for Requirement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Operator::*;
        let values = self.values.join(",");
        match self.operator {
            Exists => write!(out, "{}", self.key),
            DoesNotExist => write!(out, "!{}", self.key),
            Equals => write!(out, "{}={values}", self.key),
            DoubleEquals => write!(out, "{}=={values}", self.key),
            NotEquals => write!(out, "{}!={values}", self.key),
            GreaterThan => write!(out, "{}>{values}", self.key),
            LessThan => write!(out, "{}<{values}", self.key),
            In => write!(out, "{} in ({values})", self.key),
            NotIn => write!(out, "{} notin ({values})", self.key),
        }
    }
}

impl Labels {
    /// Selects everything.
    pub const fn everything() -> Labels {
        Labels { requirements: Vec::new(), nothing: false }
    }
    pub const fn nothing() -> Labels {
        Labels { requirements: Vec::new(), nothing: true }
    }
    pub fn new(mut requirements: Vec<Requirement>) -> Labels {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Labels { requirements, nothing: false }
    }
    /// The text of a query parameter.
    pub fn parse(text: &str) -> Result<Labels, Error> {
        Ok(Labels::new(parse::Parser::new(text).parse()?))
    }
    /// A `map[string]string` selector: a Service's, a ReplicationController's. An empty one selects everything.
    pub fn from_map(map: &Value) -> Result<Labels, Error> {
        let mut requirements = Vec::new();
        for (key, value) in map.as_map().into_iter().flat_map(|map| map.iter()) {
            let value = SmolStr::from(value.as_str().unwrap_or_default());
            requirements.push(Requirement::new(key.clone(), Operator::Equals, vec![value])?);
        }
        Ok(Labels::new(requirements))
    }
    /// A `meta/v1 LabelSelector`. `null` selects nothing, `{}` everything.
    pub fn from_object(selector: &Value) -> Result<Labels, Error> {
        if selector.is_null() {
            return Ok(Labels::nothing());
        }
        let mut labels = Labels::from_map(selector.get("matchLabels").unwrap_or(&Value::Null))?;
        for expression in selector.get("matchExpressions").and_then(Value::as_array).unwrap_or_default() {
            let operator = match expression.str_at(&["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(Error(format!("{other:?} is not a valid label selector operator"))),
            };
            let values = expression.get("values").and_then(Value::as_array).unwrap_or_default();
            let values = values.iter().filter_map(Value::as_str).map(SmolStr::from).collect();
            labels.requirements.push(Requirement::new(expression.str_at(&["key"]), operator, values)?);
        }
        Ok(Labels::new(labels.requirements))
    }
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
    /// Restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }
    pub fn matches(&self, labels: &[(SmolStr, SmolStr)]) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels))
    }
    /// [`Labels::matches`] on `metadata.labels`.
    pub fn matches_value(&self, labels: Option<&Value>) -> bool {
        let map = labels.and_then(Value::as_map).into_iter().flat_map(|map| map.iter());
        let pairs: Vec<(SmolStr, SmolStr)> =
            map.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().into())).collect();
        self.matches(&pairs)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            if at > 0 {
                out.write_str(",")?;
            }
            requirement.fmt(out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
