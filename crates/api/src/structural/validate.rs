//! Whether a value satisfies a schema, with the texts of upstream's validator (kube-openapi's).
//!
//! CEL rules are `cel`'s. On an update, what did not change is not judged again (KEP-4008).

use std::collections::HashSet;

use super::{Additional, NodeType, Rules, Schema, format};
use crate::field::{Error, Path, Reason};
use crate::schema::ListType;
use crate::{Value, json};

/// All that is wrong with a new object.
pub fn validate(value: &Value, schema: &Schema) -> Vec<Error> {
    validate_update(value, None, schema)
}

/// All that is wrong with an object and was not so in `old`.
pub fn validate_update(value: &Value, old: Option<&Value>, schema: &Schema) -> Vec<Error> {
    let mut errors = values(value, old, schema, &Path::default());
    lists(value, old, schema, &Path::default(), &mut errors);
    errors
}

/// All that is wrong with a value that stands at a place. As upstream's, the texts do not name the place.
pub(super) fn validate_at(path: &Path, value: &Value, schema: &Schema) -> Vec<Error> {
    let mut errors = validate(value, schema);
    for error in &mut errors {
        error.path = path.join(&error.path);
    }
    errors
}

fn values(value: &Value, old: Option<&Value>, schema: &Schema, path: &Path) -> Vec<Error> {
    let mut outcome = Outcome::default();
    place(value, old, schema, path, &mut outcome);
    outcome.errors
}

/// Errors, and how many checks were made: of failed alternatives the one that got furthest is shown.
#[derive(Default)]
struct Outcome {
    errors: Vec<Error>,
    matches: usize,
}

impl Outcome {
    fn merge(&mut self, other: Outcome) {
        self.errors.extend(other.errors);
        self.matches += other.matches;
    }
}

/// Upstream's name of a value's type, and its format.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Int(_) => ("integer", "int64"),
        Value::Float(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn types(schema: &Schema) -> &'static [&'static str] {
    if schema.int_or_string {
        return &["integer", "string"];
    }
    match schema.node {
        NodeType::Any => &[],
        NodeType::Object => &["object"],
        NodeType::Array => &["array"],
        NodeType::String => &["string"],
        NodeType::Integer => &["integer"],
        NodeType::Number => &["number"],
        NodeType::Boolean => &["boolean"],
    }
}

/// What go-openapi says of the value at a path.
fn in_body(path: &Path, text: &str, shown: Value) -> Error {
    Error {
        path: path.clone(),
        reason: Reason::Invalid,
        value: Some(shown),
        detail: format!("{} in body {text}", path.as_str()),
    }
}

fn place(value: &Value, old: Option<&Value>, schema: &Schema, path: &Path, out: &mut Outcome) {
    if old == Some(value) {
        return;
    }
    static NO_RULES: std::sync::LazyLock<Rules> = std::sync::LazyLock::new(Rules::default);
    let rules = schema.rules.as_deref().unwrap_or(&NO_RULES);
    let name = path.as_str();
    let problem = |text: String, shown: Value| in_body(path, &text, shown);
    wrong_type(value, schema, rules, path, out);
    if value.is_null() {
        if !rules.values.is_empty() && !rules.values.contains(value) {
            out.errors.push(not_in_enum(path, value, rules));
        }
        return;
    }
    combined(value, old, rules, path, out);
    match value {
        Value::String(text) => {
            out.matches += 1;
            let length = text.chars().count() as i64;
            // The first of these is the one that is told.
            if let Some(most) = rules.max_length.filter(|most| length > *most) {
                out.errors.push(Error::too_long(path.clone(), usize::try_from(most).unwrap_or(0)));
            } else if let Some(least) = rules.min_length.filter(|least| length < *least) {
                out.errors.push(problem(format!("should be at least {least} chars long"), value.clone()));
            } else if !rules.pattern.is_match(text) {
                out.errors.push(problem(format!("should match '{}'", rules.pattern.text()), value.clone()));
            }
            if !rules.format.is_empty() && !format::is_valid(&rules.format, text) {
                out.errors.push(Error {
                    path: path.clone(),
                    reason: Reason::TypeInvalid,
                    value: Some(value.clone()),
                    detail: format!(
                        "{name} in body must be of type {}: {}",
                        rules.format,
                        crate::text::quote(text)
                    ),
                });
            }
        }
        Value::Int(_) | Value::Float(_) => {
            out.matches += 1;
            if schema.node == NodeType::Integer
                && matches!(value, Value::Float(number) if number.fract() != 0.0)
            {
                let text = format!("Checked value must be of type integer (default format) in {name}");
                out.errors.push(Error::invalid(Path::default(), "", text));
            }
            numbers(value, schema, rules, path, out);
        }
        Value::Array(items) => {
            out.matches += 1;
            let inner = schema.items.as_deref();
            for (at, item) in items.iter().enumerate().take_while(|_| inner.is_some()) {
                let old = correlated(old, schema, item, at);
                let path = path.index(at);
                inner.into_iter().for_each(|inner| place(item, old, inner, &path, out));
            }
            let count = items.len() as i64;
            if let Some(least) = rules.min_items.filter(|least| count < *least) {
                out.errors.push(problem(format!("should have at least {least} items"), Value::Int(count)));
            }
            if let Some(most) = rules.max_items.filter(|most| count > *most) {
                out.errors.push(Error::too_many(
                    path.clone(),
                    items.len(),
                    usize::try_from(most).unwrap_or(0),
                ));
            }
            if rules.unique_items {
                let mut seen = HashSet::new();
                if !items.iter().all(|item| seen.insert(json::to_string(item))) {
                    out.errors.push(problem("shouldn't contain duplicates".into(), "".into()));
                }
            }
        }
        _ => {}
    }
    if !rules.values.is_empty() && !rules.values.iter().any(|one| same(one, value)) {
        out.errors.push(not_in_enum(path, value, rules));
    }
    if let Value::Object(map) = value {
        out.matches += 1;
        let count = map.len() as i64;
        if let Some(least) = rules.min_properties.filter(|least| count < *least) {
            out.errors.push(problem(format!("should have at least {least} properties"), Value::Int(count)));
        }
        if let Some(most) = rules.max_properties.filter(|most| count > *most) {
            out.errors.push(Error::too_many(path.clone(), map.len(), usize::try_from(most).unwrap_or(0)));
        }
        for (key, value) in map.iter() {
            let inner = match (schema.property(key), &schema.additional) {
                (Some(property), _) => property,
                (None, Additional::Schema(inner)) => inner,
                _ => continue,
            };
            place(value, old.and_then(|old| old.get(key)), inner, &path.child(key), out);
        }
        for key in &rules.required {
            if !map.contains_key(key) {
                out.errors.push(Error::required(path.child(key), ""));
            }
        }
    }
    out.matches += 1;
}

fn wrong_type(value: &Value, schema: &Schema, rules: &Rules, path: &Path, out: &mut Outcome) {
    let (allowed, format) = (types(schema), rules.format.as_str());
    if allowed.is_empty() && format.is_empty() {
        return;
    }
    out.matches += 1;
    let (found, found_format) = type_of(value);
    let mut push = |wanted: &str, found: &str| {
        out.errors.push(Error {
            path: path.clone(),
            reason: Reason::TypeInvalid,
            value: Some(found.into()),
            detail: format!(
                "{path} in body must be of type {wanted}: {}",
                crate::text::quote(found),
                path = path.as_str()
            ),
        });
    };
    if value.is_null() {
        if !allowed.is_empty() && !schema.nullable {
            push(&allowed.join(","), "null");
        }
        return;
    }
    let whole_float =
        matches!(value, Value::Float(number) if number.fract() == 0.0) && allowed.contains(&"integer");
    let int_as_number = found == "integer" && allowed.contains(&"number");
    let fits = allowed.contains(&found) || whole_float || int_as_number;
    let textual = matches!(value, Value::String(_) | Value::Array(_));
    if !textual && !format.is_empty() && !fits && found_format != format {
        return push(format, found_format);
    }
    let numeric = allowed.contains(&"number") || allowed.contains(&"integer");
    if !numeric && !format.is_empty() && textual {
        return;
    }
    if !fits {
        push(&allowed.join(","), found);
    }
}

fn not_in_enum(path: &Path, value: &Value, rules: &Rules) -> Error {
    let known: Vec<String> = rules
        .values
        .iter()
        .map(|one| match one {
            Value::String(text) => text.to_string(),
            other => other.to_string(),
        })
        .collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    Error::not_supported(path.clone(), value.clone(), &known)
}

/// A member of an enum equals a value. As upstream has it, the value is first made a number of the member's kind, so that
/// 2.5 is taken for 2.
fn same(member: &Value, value: &Value) -> bool {
    match (member, value) {
        (Value::Int(member), Value::Float(value)) => value.trunc() == *member as f64,
        (Value::Float(member), Value::Int(value)) => *value as f64 == *member,
        _ => member == value,
    }
}

fn numbers(value: &Value, schema: &Schema, rules: &Rules, path: &Path, out: &mut Outcome) {
    let name = path.as_str();
    let problem = |text: String, shown: Value| in_body(path, &text, shown);
    let number = match value {
        Value::Int(number) => *number as f64,
        Value::Float(number) => *number,
        _ => return,
    };
    let show = |number: f64| Value::Float(number).to_string();
    // Upstream compares a whole number with the whole part of a bound, and complains of one that is not whole where the type is.
    let whole = schema.node == NodeType::Integer;
    let bound = |bound: f64| if matches!(value, Value::Int(_)) && !whole { bound.trunc() } else { bound };
    let complain = |which: &str, bound: Option<f64>, out: &mut Outcome| {
        if bound.is_some_and(|bound| whole && bound.fract() != 0.0) {
            let text = format!("{which} boundary value must be of type integer (default format) in {name}");
            out.errors.push(Error::invalid(Path::default(), "", text));
        }
    };
    if let Some(unit) = rules.multiple_of
        && unit > 0.0
        && (number / unit).fract() != 0.0
    {
        out.errors.push(problem(format!("should be a multiple of {}", show(unit)), value.clone()));
    }
    complain("Maximum", rules.maximum, out);
    if let Some(most) = rules.maximum.map(bound) {
        if rules.exclusive_maximum && number >= most {
            out.errors.push(problem(format!("should be less than {}", show(most)), value.clone()));
        } else if number > most {
            out.errors
                .push(problem(format!("should be less than or equal to {}", show(most)), value.clone()));
        }
    }
    complain("Minimum", rules.minimum, out);
    if let Some(least) = rules.minimum.map(bound) {
        if rules.exclusive_minimum && number <= least {
            out.errors.push(problem(format!("should be greater than {}", show(least)), value.clone()));
        } else if number < least {
            out.errors
                .push(problem(format!("should be greater than or equal to {}", show(least)), value.clone()));
        }
    }
}

/// anyOf, oneOf, allOf, not. Their own errors have no place, as upstream's.
fn combined(value: &Value, old: Option<&Value>, rules: &Rules, path: &Path, out: &mut Outcome) {
    let judge = |schema: &Schema| {
        let mut outcome = Outcome::default();
        place(value, old, schema, path, &mut outcome);
        outcome
    };
    let name = crate::text::quote(path.as_str());
    let mut own: Vec<Error> = Vec::new();
    let mut say = |text: String| own.push(Error::invalid(Path::default(), "", text));
    if !rules.any_of.is_empty() {
        let outcomes: Vec<Outcome> = rules.any_of.iter().map(judge).collect();
        let (good, bad): (Vec<Outcome>, Vec<Outcome>) =
            outcomes.into_iter().partition(|outcome| outcome.errors.is_empty());
        if good.is_empty() {
            say(format!("{name} must validate at least one schema (anyOf)"));
            if let Some(best) = furthest(bad) {
                out.merge(best);
            }
        }
    }
    if !rules.one_of.is_empty() {
        let outcomes: Vec<Outcome> = rules.one_of.iter().map(judge).collect();
        let valid = outcomes.iter().filter(|outcome| outcome.errors.is_empty()).count();
        if valid != 1 {
            let found = if valid == 0 {
                "Found none valid".into()
            } else {
                format!("Found {valid} valid alternatives")
            };
            say(format!("{name} must validate one and only one schema (oneOf). {found}"));
            if valid == 0
                && let Some(best) = furthest(outcomes)
            {
                out.merge(best);
            }
        }
    }
    if !rules.all_of.is_empty() {
        let mut valid = 0;
        for schema in &rules.all_of {
            let outcome = judge(schema);
            valid += usize::from(outcome.errors.is_empty());
            out.merge(outcome);
        }
        if valid != rules.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            say(format!("{name} must validate all the schemas (allOf){none}"));
        }
    }
    if let Some(not) = &rules.not
        && judge(not).errors.is_empty()
    {
        say(format!("{name} must not validate the schema (not)"));
    }
    out.matches += 1;
    out.errors.extend(own);
}

/// The first of those with the most checks made.
fn furthest(outcomes: Vec<Outcome>) -> Option<Outcome> {
    outcomes.into_iter().reduce(|best, other| if other.matches > best.matches { other } else { best })
}

/// The old element that a new one is to be compared with: by keys in a list of type map, else none.
fn correlated<'a>(old: Option<&'a Value>, schema: &Schema, item: &Value, _at: usize) -> Option<&'a Value> {
    if schema.list_type != Some(ListType::Map) {
        return None;
    }
    let keys = |value: &Value| -> Vec<Option<Value>> {
        schema.list_map_keys.iter().map(|key| value.get(key).cloned()).collect()
    };
    let wanted = keys(item);
    old?.as_array()?.iter().find(|old| keys(old) == wanted)
}

/// Elements of sets and maps must be distinct.
fn lists(value: &Value, old: Option<&Value>, schema: &Schema, path: &Path, errors: &mut Vec<Error>) {
    if old == Some(value) {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter() {
                let old = old.and_then(|old| old.get(key));
                match (schema.property(key), &schema.additional) {
                    (Some(property), _) => lists(value, old, property, &path.child(key), errors),
                    (None, Additional::Schema(inner)) => lists(value, old, inner, &path.key(key), errors),
                    _ => {}
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type {
                Some(ListType::Set) => {
                    doubled(items.iter().map(json::to_string), |at| {
                        errors.push(Error::duplicate(path.index(at), items[at].clone()));
                    });
                }
                Some(ListType::Map) => {
                    let other = items.iter().position(|item| !matches!(item, Value::Object(_) | Value::Null));
                    if let Some(at) = other {
                        let detail = "must be an object for an array of list-type map";
                        errors.push(Error::invalid(path.index(at), items[at].clone(), detail));
                        return;
                    }
                    let keys: Vec<Value> = items.iter().map(|item| key(item, schema)).collect();
                    doubled(keys.iter().map(json::to_string), |at| {
                        errors.push(Error::duplicate(path.index(at), keys[at].clone()));
                    });
                }
                _ => {}
            }
            if let Some(inner) = &schema.items {
                for (at, item) in items.iter().enumerate() {
                    lists(item, correlated(old, schema, item, at), inner, &path.index(at), errors);
                }
            }
        }
        _ => {}
    }
}

fn key(item: &Value, schema: &Schema) -> Value {
    let fields = schema.list_map_keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(fields.collect())
}

/// Calls `found` for the second of each kind.
fn doubled(texts: impl Iterator<Item = String>, mut found: impl FnMut(usize)) {
    let mut seen = std::collections::HashMap::new();
    for (at, text) in texts.enumerate() {
        let times = seen.entry(text).or_insert(0);
        *times += 1;
        if *times == 2 {
            found(at);
        }
    }
}
