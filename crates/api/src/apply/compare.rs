//! What differs between two values, as sets of fields.

use std::borrow::Cow;

use super::element::{Element, equal};
use super::set::Set;
use super::typed;
use crate::schema::{ListType, Schema, Shape};
use crate::{Map, Value};

/// Fields that the right value lacks, has otherwise, or has in addition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Comparison {
    pub(super) removed: Set,
    pub(super) modified: Set,
    pub(super) added: Set,
}

impl Comparison {
    pub(super) fn is_same(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }
    /// Without fields that this way of writing resets.
    pub(super) fn without(self, reset: &Set) -> Comparison {
        if reset.is_empty() {
            return self;
        }
        Comparison {
            removed: self.removed.recursive_difference(reset),
            modified: self.modified.recursive_difference(reset),
            added: self.added.recursive_difference(reset),
        }
    }
}

pub(super) fn compare(left: &Value, right: &Value, schema: Schema<'_>) -> Comparison {
    let mut walk = Walk { path: Vec::new(), out: Comparison::default() };
    walk.place(Some(left), Some(right), schema);
    walk.out
}

/// Path elements are borrowed until a difference is found.
struct Walk<'a> {
    path: Vec<Step<'a>>,
    out: Comparison,
}

enum Step<'a> {
    Field(&'a smol_str::SmolStr),
    Element(Cow<'a, Element>),
}

enum Difference {
    Removed,
    Modified,
    Added,
}

impl<'a> Walk<'a> {
    #[cold]
    fn note(&mut self, difference: Difference) {
        let path: Vec<Element> = self
            .path
            .iter()
            .map(|step| match step {
                Step::Field(name) => Element::Field((*name).clone()),
                Step::Element(element) => element.as_ref().clone(),
            })
            .collect();
        match difference {
            Difference::Removed => self.out.removed.insert(&path),
            Difference::Modified => self.out.modified.insert(&path),
            Difference::Added => self.out.added.insert(&path),
        }
    }

    fn leaf(&mut self, left: Option<&Value>, right: Option<&Value>) {
        match (left, right) {
            (None, _) => self.note(Difference::Added),
            (_, None) => self.note(Difference::Removed),
            (Some(left), Some(right)) if !equal(left, right) => self.note(Difference::Modified),
            _ => {}
        }
    }

    fn place(&mut self, left: Option<&'a Value>, right: Option<&'a Value>, schema: Schema<'_>) {
        let bare_map = |value: Option<&Value>| value.and_then(Value::as_map).is_none_or(Map::is_empty);
        let bare_list =
            |value: Option<&Value>| value.and_then(Value::as_array).is_none_or(<[Value]>::is_empty);
        match schema.shape() {
            Shape::Leaf | Shape::List(ListType::Atomic) | Shape::Object { atomic: true } => {
                return self.leaf(left, right);
            }
            Shape::List(_) if bare_list(left) && bare_list(right) => return self.leaf(left, right),
            Shape::List(_) => self.list(left, right, schema),
            Shape::Object { .. } if bare_map(left) && bare_map(right) => return self.leaf(left, right),
            Shape::Object { .. } => self.object(left, right, schema),
            Shape::Free => {
                let is_map =
                    |value: Option<&Value>| value.is_none_or(|value| matches!(value, Value::Object(_)));
                if !is_map(left) && !is_map(right) || bare_map(left) && bare_map(right) {
                    return self.leaf(left, right);
                }
                if !is_map(left) || !is_map(right) {
                    // A map became something else, or the other way round.
                    self.leaf(left, right);
                }
                self.object(left, right, schema);
            }
        }
        match (left, right) {
            (None, Some(_)) => self.note(Difference::Added),
            (Some(_), None) => self.note(Difference::Removed),
            _ => {}
        }
    }

    fn object(&mut self, left: Option<&'a Value>, right: Option<&'a Value>, schema: Schema<'_>) {
        let (left, right) = (left.and_then(Value::as_map), right.and_then(Value::as_map));
        for (at, (key, value)) in left.into_iter().flat_map(Map::iter).enumerate() {
            let other = right.and_then(|right| right.get_near(at, key));
            self.field(key, Some(value), other, schema);
        }
        for (at, (key, value)) in right.into_iter().flat_map(Map::iter).enumerate() {
            if left.is_none_or(|left| left.get_near(at, key).is_none()) {
                self.field(key, None, Some(value), schema);
            }
        }
    }

    fn field(
        &mut self,
        key: &'a smol_str::SmolStr,
        left: Option<&'a Value>,
        right: Option<&'a Value>,
        schema: Schema<'_>,
    ) {
        self.path.push(Step::Field(key));
        self.place(left, right, schema.child(key).unwrap_or(Schema::Free));
        self.path.pop();
    }

    fn list(&mut self, left: Option<&'a Value>, right: Option<&'a Value>, schema: Schema<'_>) {
        let items = |value: Option<&'a Value>| value.and_then(Value::as_array).unwrap_or_default();
        let (left, right) = (items(left), items(right));
        // Most updates leave most lists as they are.
        if left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right)) {
            return;
        }
        let (left_index, right_index) = (typed::index(left, schema), typed::index(right, schema));
        let only_right =
            right_index.elements.iter().filter(|(element, _)| left_index.places(element).is_empty());
        for (element, _) in left_index.elements.iter().chain(only_right) {
            let (lefts, rights) = (left_index.places(element), right_index.places(element));
            self.path.push(Step::Element(Cow::Owned(element.clone())));
            let first = |list: &'a [Value], places: &[usize]| places.first().map(|&at| &list[at]);
            match (lefts.len(), rights.len()) {
                (0 | 1, 0 | 1) => self.place(first(left, lefts), first(right, rights), schema.item()),
                (2.., 2..) => {
                    let same = lefts.len() == rights.len()
                        && lefts.iter().zip(rights).all(|(&at, &other)| equal(&left[at], &right[other]));
                    if !same {
                        self.note(Difference::Modified);
                    }
                }
                (2.., _) => {
                    if !rights.is_empty() {
                        self.place(None, first(right, rights), schema.item());
                    }
                    self.note(Difference::Removed);
                }
                (_, _) => {
                    if !lefts.is_empty() {
                        self.place(first(left, lefts), None, schema.item());
                    }
                    self.note(Difference::Added);
                }
            }
            self.path.pop();
        }
    }
}
