//! Labels of nodes that were renamed or given up, and the warnings of those who still select by them.

use crate::Value;
use crate::kinds::edit::{entries, list};

/// Label, what to say, and the label that took its place.
const DEPRECATED: [(&str, &str, &str); 8] = [
    (
        "beta.kubernetes.io/arch",
        "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "kubernetes.io/arch",
    ),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead", "kubernetes.io/os"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
        "topology.kubernetes.io/region",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
        "topology.kubernetes.io/zone",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
        "node.kubernetes.io/instance-type",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9", ""),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
        "",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead", ""),
];

/// What to say of a label that is deprecated.
pub fn deprecated(label: &str) -> Option<&'static str> {
    DEPRECATED.iter().find(|(key, ..)| *key == label).map(|(_, text, _)| *text)
}

/// The stable label that a beta one became.
pub fn successor(label: &str) -> Option<&'static str> {
    let row = DEPRECATED.iter().find(|(key, _, new)| *key == label && !new.is_empty());
    row.map(|(.., new)| *new)
}

fn expressions(of: &Value, path: &str, texts: &mut Vec<String>) {
    for (at, expression) in list(of, &["matchExpressions"]).iter().enumerate() {
        let key = expression.str_at(&["key"]);
        if let Some(text) = deprecated(key) {
            texts.push(format!("{path}.matchExpressions[{at}].key: {key} is {text}"));
        }
    }
}

/// Warnings for a term of a NodeSelector.
pub fn term_warnings(term: &Value, path: &str, texts: &mut Vec<String>) {
    expressions(term, path, texts);
}

/// Warnings for a LabelSelector on nodes.
pub fn selector_warnings(selector: &Value, path: &str, texts: &mut Vec<String>) {
    expressions(selector, path, texts);
    for (key, _) in entries(selector, &["matchLabels"]) {
        if let Some(text) = deprecated(key) {
            texts.push(format!("{path}.matchLabels.{key}: {text}"));
        }
    }
}
