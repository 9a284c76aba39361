//! The checks that validations are made of, each one line where it is used.

use crate::Value;
use crate::field::{Error, Path};
use crate::validation::{meta, names};

pub type Errors = Vec<Error>;

/// Reports `text` for each reason that `format` gives against it.
pub fn format(text: &str, path: &Path, format: fn(&str) -> Vec<String>, errors: &mut Errors) {
    for reason in format(text) {
        errors.push(Error::invalid(path.clone(), text, reason));
    }
}

/// A text that must be there and of a format.
pub fn required_format(text: &str, path: &Path, of: fn(&str) -> Vec<String>, errors: &mut Errors) {
    if text.is_empty() {
        errors.push(Error::required(path.clone(), ""));
    } else {
        format(text, path, of, errors);
    }
}

/// The text at `field`, which must not be empty.
pub fn required<'a>(value: &'a Value, path: &Path, field: &str, errors: &mut Errors) -> &'a str {
    let text = value.str_at(&[field]);
    if text.is_empty() {
        errors.push(Error::required(path.child(field), ""));
    }
    text
}

/// A text that must be one of a few.
pub fn one_of(text: &str, path: Path, supported: &[&str], errors: &mut Errors) {
    if !supported.contains(&text) {
        errors.push(Error::not_supported(path, text, supported));
    }
}

/// As [`one_of`], and empty is a missing value.
pub fn required_one_of(text: &str, path: Path, supported: &[&str], errors: &mut Errors) {
    if text.is_empty() {
        errors.push(Error::required(path, ""));
    } else {
        one_of(text, path, supported, errors);
    }
}

/// As [`one_of`], for a field that may be missing.
pub fn optional_one_of(value: &Value, path: &Path, field: &str, supported: &[&str], errors: &mut Errors) {
    if let Some(text) = value.get(field).and_then(Value::as_str) {
        one_of(text, path.child(field), supported, errors);
    }
}

/// An integer that may be missing, and must not be negative.
pub fn nonnegative(value: &Value, path: &Path, field: &str, errors: &mut Errors) {
    if let Some(number) = value.get(field).and_then(Value::as_int).filter(|number| *number < 0) {
        errors.push(Error::invalid(path.child(field), number, "must be greater than or equal to 0"));
    }
}

/// An integer that may be missing, and must be in a range.
pub fn in_range(value: &Value, path: &Path, field: &str, low: i64, high: i64, errors: &mut Errors) {
    if let Some(number) =
        value.get(field).and_then(Value::as_int).filter(|number| !(low..=high).contains(number))
    {
        errors.push(Error::invalid(path.child(field), number, names::range(low, high)));
    }
}

/// Port number, or name of a port.
pub fn port(value: Option<&Value>, path: &Path, errors: &mut Errors) {
    match value {
        Some(Value::String(name)) => format(name, path, names::port_name, errors),
        other => {
            let number = other.and_then(Value::as_int).unwrap_or_default();
            for reason in names::port_number(number) {
                errors.push(Error::invalid(path.clone(), number, reason));
            }
        }
    }
}

/// An integer or a percentage of a rollout's bounds.
pub fn int_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    match value {
        Value::String(text) => format(text, path, names::percent, errors),
        Value::Int(number) if *number < 0 => {
            errors.push(Error::invalid(path.clone(), *number, "must be greater than or equal to 0"));
        }
        _ => {}
    }
}

/// More than 100%.
pub fn at_most_all(value: &Value, path: &Path, errors: &mut Errors) {
    if let Some(text) = value.as_str()
        && text
            .strip_suffix('%')
            .and_then(|digits| digits.parse::<i64>().ok())
            .is_some_and(|percent| percent > 100)
    {
        errors.push(Error::invalid(path.clone(), text, "must not be greater than 100%"));
    }
}

/// A `meta/v1 LabelSelector`.
pub fn label_selector(selector: Option<&Value>, path: &Path, errors: &mut Errors) {
    let Some(selector) = selector.filter(|selector| !selector.is_null()) else { return };
    meta::validate_labels(selector.get("matchLabels"), &path.child("matchLabels"), errors);
    for (at, expression) in
        selector.get("matchExpressions").and_then(Value::as_array).unwrap_or_default().iter().enumerate()
    {
        let path = path.child("matchExpressions").index(at);
        let values = expression.get("values").and_then(Value::as_array).unwrap_or_default();
        match expression.str_at(&["operator"]) {
            "In" | "NotIn" => {
                if values.is_empty() {
                    let text = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(Error::required(path.child("values"), text));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(Error::forbidden(path.child("values"), text));
                }
            }
            other => {
                errors.push(Error::invalid(path.child("operator"), other, "not a valid selector operator"))
            }
        }
        meta::validate_label_name(expression.str_at(&["key"]), &path.child("key"), errors);
        for (at, value) in values.iter().enumerate() {
            let text = value.as_str().unwrap_or_default();
            format(text, &path.child("values").index(at), names::label_value, errors);
        }
    }
}
