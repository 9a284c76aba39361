//! `matchLabelKeys` and `mismatchLabelKeys` of a new Pod become expressions of its selectors (KEP-3633, KEP-3243).

use crate::Value;
use crate::kinds::edit::{each, has, list};

pub(super) fn merge(pod: &mut Value) {
    let labels = pod.at(&["metadata", "labels"]).cloned().unwrap_or_default();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = ["spec", "affinity", kind];
        let Some(affinity) = pod.at_mut(&path).filter(|affinity| !affinity.is_null()) else { continue };
        each(affinity, &["requiredDuringSchedulingIgnoredDuringExecution"], |term| apply(term, &labels));
        each(affinity, &["preferredDuringSchedulingIgnoredDuringExecution"], |weighted| {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                apply(term, &labels);
            }
        });
    }
    each(pod, &["spec", "topologySpreadConstraints"], |constraint| apply(constraint, &labels));
}

/// A term without a selector matches nothing, and stays so.
fn apply(term: &mut Value, labels: &Value) {
    if !has(term, &["labelSelector"]) {
        return;
    }
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in list(term, &[field]).to_vec() {
            let key = key.as_str().unwrap_or_default();
            let Some(value) = labels.get(key).cloned() else { continue };
            let mut expression = Value::object();
            expression.set(&["key"], key);
            expression.set(&["operator"], operator);
            expression.set(&["values"], vec![value]);
            let mut expressions = list(term, &["labelSelector", "matchExpressions"]).to_vec();
            expressions.push(expression);
            term.set(&["labelSelector", "matchExpressions"], expressions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_expressions() {
        let mut pod: Value = serde_json::from_str(
            r#"{"metadata":{"labels":{"app":"web","hash":"1"}},"spec":{"topologySpreadConstraints":[
               {"labelSelector":{"matchLabels":{"app":"web"}},"matchLabelKeys":["hash","none"]},{"matchLabelKeys":["hash"]}]}}"#,
        )
        .unwrap();
        merge(&mut pod);
        let constraints = list(&pod, &["spec", "topologySpreadConstraints"]);
        let selector = constraints[0].get("labelSelector").unwrap();
        assert_eq!(
            selector.to_string(),
            r#"{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"hash","operator":"In","values":["1"]}]}"#
        );
        assert!(constraints[1].get("labelSelector").is_none());
    }
}
