//! What a list, a watch or a deletecollection is narrowed to, as authorizers see it (KEP-4601): the selectors' text, and what of it
//! reads as requirements.
//!
//! Invariant: selectors only narrow. What does not read is left out, and the rest is asked for: more, never less.

use api::Value;
use api::selector::{Fields, Labels, Operator, Requirement};

fn row(key: &str, operator: &str, values: &[&str]) -> Value {
    let mut row = Value::object();
    row.set(&["key"], key);
    row.set(&["operator"], operator);
    if !values.is_empty() {
        row.set(&["values"], values.iter().map(|value| Value::from(*value)).collect::<Vec<_>>());
    }
    row
}

/// The requirements of a field selector's text, as a SubjectAccessReview has them.
pub(super) fn of_fields(text: &str) -> Vec<Value> {
    let terms = Fields::parse(text).map(|fields| fields.terms).unwrap_or_default();
    let operator = |negated| if negated { "NotIn" } else { "In" };
    terms.iter().map(|term| row(&term.label, operator(term.negated), &[&term.value])).collect()
}

/// The requirements of a label selector's text.
pub(super) fn of_labels(text: &str) -> Vec<Value> {
    let Ok(labels) = Labels::parse(text) else { return Vec::new() };
    let requirement = |one: &Requirement| {
        let operator = match one.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => "In",
            Operator::NotIn | Operator::NotEquals => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        let values: Vec<&str> = one.values.iter().map(|value| value.as_str()).collect();
        Some(row(&one.key, operator, &values))
    };
    labels.requirements().iter().filter_map(requirement).collect()
}

/// Whether one term of a field selector asks for exactly this value.
pub(super) fn wants(text: &str, label: &str, value: &str) -> bool {
    Fields::parse(text).is_ok_and(|fields| fields.exact(label) == Some(value))
}

/// The text of a selector of `resourceAttributes`, and whether all of it reads: `rawSelector`, or the requirements in its place.
pub(crate) fn of_review(selector: &Value, labels: bool) -> (String, Reads) {
    let raw = selector.str_at(&["rawSelector"]);
    let requirements = selector.get("requirements").and_then(Value::as_array).unwrap_or_default();
    if requirements.is_empty() {
        let reads = if labels { Labels::parse(raw).is_ok() } else { Fields::parse(raw).is_ok() };
        return if reads { (raw.into(), Reads::Whole) } else { (String::new(), Reads::Nothing) };
    }
    let one = if labels { label_text } else { field_text };
    let texts: Vec<String> = requirements.iter().filter_map(one).collect();
    let reads = match texts.len() {
        0 => Reads::Nothing,
        all if all == requirements.len() => Reads::Whole,
        _ => Reads::Part,
    };
    (texts.join(","), reads)
}

/// How much of a selector was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Whole,
    Part,
    Nothing,
}

fn label_text(requirement: &Value) -> Option<String> {
    let mut one = Value::object();
    one.set(&["matchExpressions"], vec![requirement.clone()]);
    Labels::from_object(&one).ok().map(|labels| labels.to_string())
}

fn field_text(requirement: &Value) -> Option<String> {
    let operator = match requirement.str_at(&["operator"]) {
        "In" => "=",
        "NotIn" => "!=",
        _ => return None,
    };
    let [value] = requirement.get("values").and_then(Value::as_array)? else { return None };
    let value = value.as_str()?.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
    Some(format!("{}{operator}{value}", requirement.str_at(&["key"])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(rows: &[Value]) -> String {
        String::from_utf8(Value::Array(rows.to_vec()).to_json()).unwrap()
    }

    #[test]
    fn texts_become_requirements() {
        assert_eq!(
            json(&of_fields("spec.nodeName=a,status.phase!=Failed")),
            r#"[{"key":"spec.nodeName","operator":"In","values":["a"]},{"key":"status.phase","operator":"NotIn","values":["Failed"]}]"#
        );
        assert_eq!(
            json(&of_labels("b in (y,x),!c,a,d>1")),
            r#"[{"key":"a","operator":"Exists"},{"key":"b","operator":"In","values":["x","y"]},{"key":"c","operator":"DoesNotExist"}]"#
        );
        assert!(of_labels("a=b=c").is_empty());
        assert!(wants("a=b,spec.nodeName=n", "spec.nodeName", "n"));
        assert!(!wants("spec.nodeName!=n", "spec.nodeName", "n"));
    }

    #[test]
    fn what_of_a_review_reads_is_its_text() {
        let check = |text: &str, labels: bool, expected: (&str, Reads)| {
            let selector = api::json::parse(text.as_bytes()).unwrap();
            let (found, reads) = of_review(&selector, labels);
            assert_eq!((found.as_str(), reads), expected, "{text}");
        };
        check(r#"{"rawSelector":"a=b"}"#, true, ("a=b", Reads::Whole));
        check(r#"{"rawSelector":"a=b=c"}"#, true, ("", Reads::Nothing));
        check(
            r#"{"requirements":[{"key":"a","operator":"In","values":["x"]},{"key":"b","operator":"Maybe"}]}"#,
            true,
            ("a in (x)", Reads::Part),
        );
        check(
            r#"{"requirements":[{"key":"a","operator":"NotIn","values":["x,y"]}]}"#,
            false,
            ("a!=x\\,y", Reads::Whole),
        );
        check(r#"{"requirements":[{"key":"a","operator":"Exists"}]}"#, false, ("", Reads::Nothing));
    }
}
