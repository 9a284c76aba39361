//! nodeSelector and node affinity. Pure.

use client::placement;

use crate::cluster::Node;
use crate::pod::Pod;

/// The pod's selector and required terms match the node.
pub fn matches(pod: &Pod, node: &Node) -> bool {
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && pod.required.as_ref().is_none_or(|required| placement::matches(required, &node.name, &node.labels))
}

/// The weight of the preferred terms that match.
pub fn preference(pod: &Pod, node: &Node) -> i64 {
    let matching = pod.preferred.iter().filter(|term| {
        let empty = term.preference.match_expressions.iter().flatten().count() == 0
            && term.preference.match_fields.iter().flatten().count() == 0;
        empty || placement::matches_term(&term.preference, &node.name, &node.labels)
    });
    matching.map(|term| i64::from(term.weight)).sum()
}
