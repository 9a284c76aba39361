//! Structural schemas of CustomResourceDefinitions (KEP-1002): parsed once from the CRD's `openAPIV3Schema`, then used
//! to prune, default and validate custom resources.
//!
//! A [`Schema`] is what a valid CRD states; whether a schema *is* structural is asked with [`check`] before, on the
//! tree that the client sent, so that its errors carry the client's paths.

pub mod cel;
mod check;
mod format;
mod parse;
mod prune;
mod validate;

use std::sync::OnceLock;

use regex::Regex;
use smol_str::SmolStr;

pub use check::check;
pub use format::is_valid as is_format;
pub use prune::{default, prune};
pub use validate::{validate, validate_update};

use crate::Value;
use crate::schema::{ListType, Shape};

/// `type` of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeType {
    /// No type: only with `x-kubernetes-int-or-string` or `x-kubernetes-preserve-unknown-fields`.
    #[default]
    Any,
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// `additionalProperties`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Additional {
    /// Not stated, or false.
    #[default]
    None,
    /// `true`: whatever comes.
    Anything,
    Schema(Box<Schema>),
}

/// One node of a structural schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    pub node: NodeType,
    pub nullable: bool,
    /// By name, sorted.
    pub properties: Vec<(SmolStr, Schema)>,
    pub additional: Additional,
    pub items: Option<Box<Schema>>,
    pub default: Option<Value>,
    /// `x-kubernetes-preserve-unknown-fields: true`.
    pub preserve: bool,
    pub embedded: bool,
    pub int_or_string: bool,
    pub list_type: Option<ListType>,
    pub list_map_keys: Vec<SmolStr>,
    pub map_atomic: bool,
    /// What values must satisfy beside their type; `None`: nothing.
    pub rules: Option<Box<Rules>>,
}

/// Value validation of a node: what may also stand under `allOf`, `anyOf`, `oneOf`, `not`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub format: SmolStr,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub max_length: Option<i64>,
    pub min_length: Option<i64>,
    pub pattern: Pattern,
    pub max_items: Option<i64>,
    pub min_items: Option<i64>,
    pub unique_items: bool,
    pub multiple_of: Option<f64>,
    pub values: Vec<Value>,
    pub max_properties: Option<i64>,
    pub min_properties: Option<i64>,
    pub required: Vec<SmolStr>,
    pub all_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    /// `x-kubernetes-validations`, as the CRD has them.
    pub expressions: Vec<Value>,
}

/// `pattern`: compiled when it is first needed. One that this engine does not take, though Go's does, constrains
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct Pattern {
    text: SmolStr,
    compiled: OnceLock<Option<Box<Regex>>>,
}

impl Pattern {
    pub fn new(text: SmolStr) -> Pattern {
        Pattern { text, compiled: OnceLock::new() }
    }
    pub fn text(&self) -> &str {
        &self.text
    }
    /// Nothing in `text` contradicts the pattern; an empty one is always satisfied.
    pub fn is_match(&self, text: &str) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok().map(Box::new));
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Schema {
    /// The schema of a CRD's version: its `schema.openAPIV3Schema`. Takes what it understands.
    pub fn parse(schema: &Value) -> Schema {
        parse::node(schema)
    }

    /// The property of this name.
    pub fn property(&self, name: &str) -> Option<&Schema> {
        let at = self.properties.binary_search_by(|(key, _)| key.as_str().cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// What may stand under a key; `None`: the key is unknown (and pruned).
    pub fn child(&self, key: &str) -> Option<crate::schema::Schema<'_>> {
        use crate::schema::Schema as View;
        if let Some(property) = self.property(key) {
            return Some(View::Custom(property));
        }
        if self.embedded && matches!(key, "apiVersion" | "kind" | "metadata") {
            return Some(View::Free);
        }
        match &self.additional {
            Additional::Schema(schema) => Some(View::Custom(schema)),
            Additional::Anything => Some(View::Free),
            Additional::None if self.preserve => Some(View::Free),
            Additional::None => None,
        }
    }

    /// The form of the place, for apply.
    pub fn shape(&self) -> Shape {
        match self.node {
            NodeType::Object => Shape::Object { atomic: self.map_atomic },
            NodeType::Array => Shape::List(self.list_type.unwrap_or(ListType::Atomic)),
            NodeType::Any if self.preserve && !self.int_or_string => {
                if self.map_atomic {
                    Shape::Leaf
                } else {
                    Shape::Free
                }
            }
            _ => Shape::Leaf,
        }
    }
}

#[cfg(test)]
mod tests;
