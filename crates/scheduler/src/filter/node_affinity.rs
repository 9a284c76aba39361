//! nodeSelector and node affinity. Pure.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};

use crate::cluster::Node;
use crate::pod::Pod;

/// The pod's selector and required terms match the node.
pub fn matches(pod: &Pod, node: &Node) -> bool {
    let selected = pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let required = |selector: &k8s_openapi::api::core::v1::NodeSelector| {
        selector.node_selector_terms.iter().any(|term| matches_term(term, node))
    };
    selected && pod.required.as_ref().is_none_or(required)
}

/// The weight of the preferred terms that match.
pub fn preference(pod: &Pod, node: &Node) -> i64 {
    let matching = pod.preferred.iter().filter(|term| {
        let empty = term.preference.match_expressions.iter().flatten().count() == 0
            && term.preference.match_fields.iter().flatten().count() == 0;
        empty || matches_term(&term.preference, node)
    });
    matching.map(|term| i64::from(term.weight)).sum()
}

/// An empty term matches nothing.
fn matches_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let (labels, fields) =
        (term.match_expressions.as_deref().unwrap_or(&[]), term.match_fields.as_deref().unwrap_or(&[]));
    if labels.is_empty() && fields.is_empty() {
        return false;
    }
    labels.iter().all(|requirement| meets(requirement, node.labels.get(&requirement.key)))
        && fields
            .iter()
            .all(|requirement| requirement.key == "metadata.name" && meets(requirement, Some(&node.name)))
}

fn meets(requirement: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = requirement.values.as_deref().unwrap_or(&[]);
    let compare = |passes: fn(&i64, &i64) -> bool| {
        let is = value.and_then(|value| value.parse::<i64>().ok());
        let wanted = values.first().and_then(|value| value.parse::<i64>().ok());
        matches!((is, wanted), (Some(is), Some(wanted)) if passes(&is, &wanted))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}
