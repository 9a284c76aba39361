//! Rules of placement that scheduler, controllers and kubelet share: tolerations, and what selects a node. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};

/// One of `tolerations` covers `taint`.
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| covers(toleration, taint))
}

/// `toleration` covers `taint`.
pub fn covers(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let is = taint.value.as_deref().unwrap_or_default();
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && match toleration.operator.as_deref().unwrap_or_default() {
            "" | "Equal" => wanted == is,
            "Exists" => true,
            // "Lt" and "Gt" (KEP-5471) are alpha in 1.36 and off.
            _ => false,
        }
}

/// The pod's nodeSelector and required node affinity match a node.
pub fn selects_node(spec: &PodSpec, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let selector = spec.node_selector.iter().flatten();
    selector.into_iter().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|required| matches(required, name, labels))
}

/// One of the selector's terms matches.
pub fn matches(selector: &NodeSelector, name: &str, labels: &BTreeMap<String, String>) -> bool {
    selector.node_selector_terms.iter().any(|term| matches_term(term, name, labels))
}

/// All requirements of a term are met. An empty term matches nothing.
pub fn matches_term(term: &NodeSelectorTerm, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or(&[]);
    let fields = term.match_fields.as_deref().unwrap_or(&[]);
    (!expressions.is_empty() || !fields.is_empty())
        && expressions
            .iter()
            .all(|requirement| meets(requirement, labels.get(&requirement.key).map(String::as_str)))
        && fields
            .iter()
            .all(|requirement| requirement.key == "metadata.name" && meets(requirement, Some(name)))
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or(&[]);
    let among = || value.is_some_and(|value| values.iter().any(|other| other == value));
    let compare = |passes: fn(&i64, &i64) -> bool| {
        let is = value.and_then(|value| value.parse::<i64>().ok());
        let wanted = values.first().and_then(|value| value.parse::<i64>().ok());
        matches!((is, wanted), (Some(is), Some(wanted)) if passes(&is, &wanted))
    };
    match requirement.operator.as_str() {
        "In" => among(),
        "NotIn" => !among(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_match_as_upstream() {
        let labels = BTreeMap::from([("disk".to_string(), "ssd".to_string()), ("cores".into(), "8".into())]);
        let one = |key: &str, operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        for (term, expected) in [
            (json!({}), false),
            (one("disk", "In", &["hdd", "ssd"]), true),
            (one("disk", "NotIn", &["ssd"]), false),
            (one("gpu", "NotIn", &["x"]), true),
            (one("gpu", "Exists", &[]), false),
            (one("gpu", "DoesNotExist", &[]), true),
            (one("cores", "Gt", &["4"]), true),
            (one("cores", "Lt", &["4"]), false),
            (
                json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n1"] }] }),
                true,
            ),
            (
                json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["n2"] }] }),
                false,
            ),
        ] {
            let parsed: NodeSelectorTerm = serde_json::from_value(term.clone()).unwrap();
            assert_eq!(matches_term(&parsed, "n1", &labels), expected, "{term}");
        }
    }
}
