//! Typed label selectors, as workloads and policies carry them, against the labels of typed or cached objects.
//!
//! The same rules as upstream's `metav1.LabelSelectorAsSelector`: an absent selector selects nothing, an empty one all.

use std::collections::BTreeMap;

use api::Object;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Something that has labels.
pub trait Labels {
    fn label(&self, key: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl Labels for Option<BTreeMap<String, String>> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref()?.label(key)
    }
}

impl Labels for Object {
    fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Whether `selector` selects what has `labels`. An operator that upstream does not know selects nothing.
pub fn selects(selector: &LabelSelector, labels: &(impl Labels + ?Sized)) -> bool {
    let equal = |(key, value): (&String, &String)| labels.label(key) == Some(value);
    let required = selector.match_labels.iter().flatten().all(equal);
    required
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = labels.label(&requirement.key);
            let among = || {
                let values = requirement.values.iter().flatten();
                value.is_some_and(|value| values.into_iter().any(|other| other == value))
            };
            match requirement.operator.as_str() {
                "In" => among(),
                "NotIn" => !among(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// Whether every pair of `wanted` is among `labels`; an empty `wanted` is.
pub fn contains<'a>(
    labels: &(impl Labels + ?Sized),
    wanted: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> bool {
    wanted.into_iter().all(|(key, value)| labels.label(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selects_as_upstream() {
        let labels: BTreeMap<String, String> =
            serde_json::from_value(json!({ "app": "web", "tier": "front" })).unwrap();
        let expression = |key, operator, values: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        for (selector, expected) in [
            (json!({}), true),
            (json!({ "matchLabels": { "app": "web" } }), true),
            (json!({ "matchLabels": { "app": "db" } }), false),
            (expression("app", "In", &["db", "web"]), true),
            (expression("app", "NotIn", &["db", "web"]), false),
            (expression("none", "NotIn", &["x"]), true),
            (expression("none", "In", &["x"]), false),
            (expression("tier", "Exists", &[]), true),
            (expression("tier", "DoesNotExist", &[]), false),
            (expression("tier", "Unheard", &[]), false),
        ] {
            let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(selects(&parsed, &labels), expected, "{selector}");
        }
    }
}
