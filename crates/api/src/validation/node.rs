//! A place in an object under validation: what stands there, its path, and where errors go. Checks chain, so that a kind's
//! validation reads like a table of its fields.
//!
//! A field that is missing, null, or Go's zero value is one thing here where Go has no pointer; [`Node::has`] tells a
//! pointer that is set. Invariant: a check adds errors only, and never hides one.

use std::cell::RefCell;
use std::cmp::Ordering;

use super::check::{self, Errors};
use super::{meta, names};
use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::same;
use crate::pod::quantity;
use crate::quantity::Quantity;

static NULL: Value = Value::Null;

#[derive(Clone)]
pub struct Node<'a> {
    value: &'a Value,
    path: Path,
    errors: &'a RefCell<Errors>,
}

/// Runs `checks` on an object, and appends what they found.
pub fn inspect(value: &Value, errors: &mut Errors, checks: impl FnOnce(&Node<'_>)) {
    let found = RefCell::new(std::mem::take(errors));
    checks(&Node { value, path: Path::default(), errors: &found });
    *errors = found.into_inner();
}

/// [`inspect`] for a part of an object, for checks of the older form.
pub fn inspect_at(value: &Value, path: &Path, errors: &mut Errors, checks: impl FnOnce(&Node<'_>)) {
    inspect(value, errors, |node| checks(&node.named(path.clone())));
}

/// [`inspect`] with the object that was there before.
pub fn inspect_both(
    new: &Value,
    old: &Value,
    errors: &mut Errors,
    checks: impl FnOnce(&Node<'_>, &Node<'_>),
) {
    inspect(new, errors, |new| checks(new, &new.beside(old)));
}

impl<'a> Node<'a> {
    /// Another value at the same path: the old object.
    pub fn beside<'b>(&self, value: &'b Value) -> Node<'b>
    where
        'a: 'b,
    {
        Node { value, path: self.path.clone(), errors: self.errors }
    }
    /// The same value, said to be elsewhere: upstream's paths are not always the field's.
    pub fn named(&self, path: Path) -> Node<'a> {
        Node { path, ..self.clone() }
    }
    pub fn get(&self, field: &str) -> Node<'a> {
        let value = self.value.get(field).unwrap_or(&NULL);
        Node { value, path: self.path.child(field), errors: self.errors }
    }
    pub fn at(&self, fields: &[&str]) -> Node<'a> {
        fields.iter().fold(self.clone(), |node, field| node.get(field))
    }
    pub fn value(&self) -> &'a Value {
        self.value
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// A pointer that is set: neither absent nor null.
    pub fn has(&self) -> bool {
        !self.value.is_null()
    }
    pub fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }
    pub fn int(&self) -> i64 {
        self.value.as_int().unwrap_or_default()
    }
    pub fn flag(&self) -> bool {
        self.value.as_bool().unwrap_or_default()
    }
    pub fn quantity(&self) -> Quantity {
        quantity(self.value)
    }
    pub fn is_empty(&self) -> bool {
        match self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        }
    }
    pub fn len(&self) -> usize {
        match self.value {
            Value::Array(items) => items.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        }
    }
    /// The elements of a list, each with its index.
    pub fn items(&self) -> Vec<Node<'a>> {
        let items = self.value.as_array().unwrap_or_default();
        let node = |(at, value)| Node { value, path: self.path.index(at), errors: self.errors };
        items.iter().enumerate().map(node).collect()
    }
    /// The fields of a map, each with its key as path.
    pub fn entries(&self) -> Vec<(&'a str, Node<'a>)> {
        let map = self.value.as_map().into_iter().flat_map(|map| map.iter());
        map.map(|(key, value)| (key.as_str(), Node { value, path: self.path.key(key), errors: self.errors }))
            .collect()
    }
    pub fn texts(&self) -> Vec<&'a str> {
        self.value.as_array().unwrap_or_default().iter().filter_map(Value::as_str).collect()
    }

    pub fn error(&self, error: Error) {
        self.errors.borrow_mut().push(error);
    }
    pub fn invalid(&self, detail: impl Into<String>) {
        self.error(Error::invalid(self.path.clone(), self.value.clone(), detail));
    }
    pub fn forbidden(&self, detail: impl Into<String>) {
        self.error(Error::forbidden(self.path.clone(), detail));
    }
    pub fn missing(&self, detail: impl Into<String>) {
        self.error(Error::required(self.path.clone(), detail));
    }
    pub fn duplicate(&self) {
        self.error(Error::duplicate(self.path.clone(), self.value.clone()));
    }
    /// How many errors there are, to see whether a check found one.
    pub fn count(&self) -> usize {
        self.errors.borrow().len()
    }
    /// Runs a check of the older form, `(value, path, errors)`.
    pub fn by(&self, check: impl FnOnce(&Value, &Path, &mut Errors)) -> &Self {
        let mut found = Errors::new();
        check(self.value, &self.path, &mut found);
        self.errors.borrow_mut().append(&mut found);
        self
    }

    /// Not empty (a text, list or map), not null (anything else).
    pub fn required(&self) -> &Self {
        self.required_for("")
    }
    pub fn required_for(&self, detail: &str) -> &Self {
        if self.is_empty() {
            self.missing(detail);
        }
        self
    }
    /// A pointer is set.
    pub fn set(&self, detail: &str) -> &Self {
        if !self.has() {
            self.missing(detail);
        }
        self
    }
    /// Must not be there.
    pub fn unset(&self, detail: &str) -> &Self {
        if !self.is_empty() {
            self.forbidden(detail);
        }
        self
    }
    /// A text of a format, if there is one.
    pub fn is(&self, format: fn(&str) -> Vec<String>) -> &Self {
        if !self.text().is_empty() {
            self.is_even_empty(format);
        }
        self
    }
    /// A text of a format that also judges the empty one.
    pub fn is_even_empty(&self, format: fn(&str) -> Vec<String>) -> &Self {
        for reason in format(self.text()) {
            self.error(Error::invalid(self.path.clone(), self.text(), reason));
        }
        self
    }
    /// A text out of a few, if there is one.
    pub fn one_of(&self, supported: &[&str]) -> &Self {
        if self.has() && !self.text().is_empty() {
            self.one_of_even_empty(supported);
        }
        self
    }
    /// A pointer that is set, and then a text out of a few.
    pub fn one_of_set(&self, supported: &[&str]) -> &Self {
        if self.has() {
            self.one_of_even_empty(supported);
        }
        self
    }
    pub fn one_of_even_empty(&self, supported: &[&str]) -> &Self {
        if !supported.contains(&self.text()) {
            self.error(Error::not_supported(self.path.clone(), self.text(), supported));
        }
        self
    }
    /// A text that is there, out of a few.
    pub fn required_one_of(&self, supported: &[&str]) -> &Self {
        if self.text().is_empty() {
            self.missing("");
            return self;
        }
        self.one_of_even_empty(supported)
    }
    /// An integer, 0 if it is missing, that is not negative.
    pub fn nonnegative(&self) -> &Self {
        self.at_least(0)
    }
    pub fn at_least(&self, low: i64) -> &Self {
        if self.value.as_int().is_some_and(|number| number < low) {
            self.invalid(format!("must be greater than or equal to {low}"));
        }
        self
    }
    /// An integer, 0 if it is missing, that is above 0.
    pub fn positive(&self) -> &Self {
        if self.int() <= 0 {
            self.error(Error::invalid(self.path.clone(), self.int(), "must be greater than zero"));
        }
        self
    }
    pub fn between(&self, low: i64, high: i64) -> &Self {
        if self.value.as_int().is_some_and(|number| !(low..=high).contains(&number)) {
            self.invalid(names::range(low, high));
        }
        self
    }
    /// At most so many bytes of text, elements or entries.
    pub fn at_most_bytes(&self, most: usize) -> &Self {
        if self.text().len() > most {
            self.error(Error::too_long(self.path.clone(), most));
        }
        self
    }
    pub fn at_most_items(&self, most: usize) -> &Self {
        if self.len() > most {
            self.error(Error::too_many(self.path.clone(), self.len(), most));
        }
        self
    }
    pub fn nonnegative_quantity(&self) -> &Self {
        if self.has() && self.quantity().sign() < 0 {
            self.invalid("must be greater than or equal to 0");
        }
        self
    }
    pub fn positive_quantity(&self) -> &Self {
        if self.quantity().sign() <= 0 {
            self.invalid("must be greater than zero");
        }
        self
    }
    pub fn label_selector(&self) -> &Self {
        self.by(|value, path, errors| check::label_selector(Some(value), path, errors))
    }
    pub fn labels(&self) -> &Self {
        self.by(|value, path, errors| meta::validate_labels(Some(value), path, errors))
    }
    pub fn annotations(&self) -> &Self {
        self.by(|value, path, errors| meta::validate_annotations(Some(value), path, errors))
    }
    /// The metadata of an object to be: labels and annotations, and nothing else.
    pub fn template_metadata(&self) -> &Self {
        // In the order of Go's struct, with the first letter of its names made small.
        const OTHERS: [(&str, &str); 12] = [
            ("name", "name"),
            ("generateName", "generateName"),
            ("namespace", "namespace"),
            ("selfLink", "selfLink"),
            ("uid", "uID"),
            ("resourceVersion", "resourceVersion"),
            ("generation", "generation"),
            ("creationTimestamp", "creationTimestamp"),
            ("deletionTimestamp", "deletionTimestamp"),
            ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
            ("ownerReferences", "ownerReferences"),
            ("finalizers", "finalizers"),
        ];
        self.get("annotations").annotations();
        self.get("labels").labels();
        for (field, shown) in OTHERS.into_iter().chain([("managedFields", "managedFields")]) {
            let node = self.get(field);
            let zero = field == "generation" && node.int() == 0;
            if node.has() && !zero && (!node.is_empty() || node.value().as_int().is_some()) {
                node.named(self.path.child(shown)).forbidden("cannot be set");
            }
        }
        self
    }
    /// `example.com/name`, required.
    pub fn domain_path(&self) -> &Self {
        let text = self.text();
        let parts = text.split_once('/').filter(|(domain, path)| !domain.is_empty() && !path.is_empty());
        match parts {
            _ if text.is_empty() => self.missing(""),
            None => self.error(Error::invalid(
                self.path.clone(),
                text,
                "must be a domain-prefixed path (such as \"acme.io/foo\")",
            )),
            Some((domain, path)) => {
                for reason in names::dns_subdomain(domain) {
                    self.error(Error::invalid(self.path.clone(), domain, reason));
                }
                let good =
                    |letter: char| letter.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:".contains(letter);
                if !path.chars().all(good) {
                    let text = names::regex_error("Invalid path", "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+", &[]);
                    self.error(Error::invalid(self.path.clone(), path, text));
                }
            }
        }
        self
    }
    /// A name in a URL's path, required.
    pub fn path_segment(&self) -> &Self {
        match self.text().is_empty() {
            true => self.required(),
            false => self.is(names::path_segment),
        }
    }
    /// A port's number.
    pub fn port_number(&self) -> &Self {
        for text in names::port_number(self.int()) {
            self.error(Error::invalid(self.path.clone(), self.int(), text));
        }
        self
    }
    /// A list of `meta/v1 Condition`s.
    pub fn conditions(&self) -> &Self {
        let items = self.items();
        for (at, condition) in items.iter().enumerate() {
            let kind = condition.get("type");
            if !kind.text().is_empty()
                && items[..at].iter().any(|other| other.get("type").text() == kind.text())
            {
                kind.duplicate();
            }
            kind.is_even_empty(names::qualified_name);
            condition.get("status").one_of_even_empty(&["False", "True", "Unknown"]);
            let generation = condition.get("observedGeneration");
            if generation.int() < 0 {
                generation.invalid("must be greater than or equal to zero");
            }
            condition.get("lastTransitionTime").set("");
            let reason = condition.get("reason");
            match reason.text() {
                "" => reason.missing(""),
                text => {
                    for wrong in names::condition_reason(text) {
                        reason.invalid(wrong);
                    }
                    reason.at_most_bytes(1024);
                }
            }
            condition.get("message").at_most_bytes(32 * 1024);
        }
        self
    }
    /// A key of a label.
    pub fn label_key(&self) -> &Self {
        self.by(|value, path, errors| {
            meta::validate_label_name(value.as_str().unwrap_or_default(), path, errors);
        })
    }
    /// Each element once; `key` tells them apart.
    pub fn distinct(&self, field: &str) -> &Self {
        let items = self.items();
        for (at, item) in items.iter().enumerate() {
            let own = if field.is_empty() { item.clone() } else { item.get(field) };
            let other = |other: &Node<'_>| {
                let other = if field.is_empty() { other.clone() } else { other.get(field) };
                other.value == own.value
            };
            if items[..at].iter().any(other) {
                own.duplicate();
            }
        }
        self
    }

    /// The same as in the old object, as Go's semantic comparison sees it.
    pub fn is_same(&self, old: &Node<'_>) -> bool {
        same(Some(self.value), Some(old.value))
    }
    pub fn immutable(&self, old: &Node<'_>) -> &Self {
        self.frozen(old, meta::IMMUTABLE)
    }
    /// [`Node::immutable`] with another text.
    pub fn frozen(&self, old: &Node<'_>, detail: &str) -> &Self {
        if !self.is_same(old) {
            self.invalid(detail);
        }
        self
    }
    /// Compares two amounts.
    pub fn compare(&self, other: &Node<'_>) -> Ordering {
        self.quantity().partial_cmp(&other.quantity()).unwrap_or(Ordering::Equal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_say_where_and_what() {
        let value: Value = serde_json::from_str(
            r#"{"spec":{"name":"","size":-1,"kind":"x","list":[{"a":"1"},{"a":"1"}],"odd":null}}"#,
        )
        .unwrap();
        let mut errors = Errors::new();
        inspect(&value, &mut errors, |object| {
            let spec = object.get("spec");
            spec.get("name").required();
            spec.get("size").nonnegative();
            spec.get("kind").one_of(&["y"]);
            spec.get("list").distinct("a");
            spec.get("odd").set("why");
            spec.get("absent").at_least(5).is(names::dns_label).one_of(&["y"]);
        });
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.name: Required value",
                "spec.size: Invalid value: -1: must be greater than or equal to 0",
                r#"spec.kind: Unsupported value: "x": supported values: "y""#,
                r#"spec.list[1].a: Duplicate value: "1""#,
                "spec.odd: Required value: why",
            ]
        );
    }
}
