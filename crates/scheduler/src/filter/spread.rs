//! Topology spread constraints that must hold (`DoNotSchedule`). Pure.

use std::collections::BTreeMap;

use client::labels;
use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{Plugin, Rejection, node_affinity, taint};
use crate::cluster::{Cluster, Node};
use crate::pod::Pod;

/// Matching pods by domain, for each hard constraint of one pod.
pub struct Spread(Vec<Constraint>);

struct Constraint {
    key: String,
    max_skew: i64,
    /// The pod itself will count.
    own: i64,
    counts: BTreeMap<String, i64>,
    least: i64,
}

/// The constraint's selector, narrowed to the pod's own values of `matchLabelKeys`.
pub fn selector(constraint: &TopologySpreadConstraint, pod: &Pod) -> LabelSelector {
    let mut selector = constraint.label_selector.clone().unwrap_or_default();
    for key in constraint.match_label_keys.iter().flatten() {
        if let Some(value) = pod.labels.get(key) {
            selector.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
                key: key.clone(),
                operator: "In".into(),
                values: Some(vec![value.clone()]),
            });
        }
    }
    selector
}

/// Pods of the namespace that `selector` selects on one node.
pub fn count(node: &Node, pod: &Pod, selector: &LabelSelector) -> i64 {
    let same = node.pods.values().filter(|other| {
        !other.deleting && other.namespace() == pod.namespace() && labels::selects(selector, &other.labels)
    });
    i64::try_from(same.count()).unwrap_or(i64::MAX)
}

impl Spread {
    pub fn new(cluster: &Cluster, pod: &Pod) -> Spread {
        let hard: Vec<&TopologySpreadConstraint> =
            pod.spread.iter().filter(|constraint| constraint.when_unsatisfiable == "DoNotSchedule").collect();
        let all_keys = |node: &Node| hard.iter().all(|other| node.labels.contains_key(&other.topology_key));
        let constraints = hard.iter().map(|constraint| {
            let selector = selector(constraint, pod);
            let mut counts: BTreeMap<String, i64> = BTreeMap::new();
            for node in cluster.known().filter(|node| all_keys(node)) {
                let honors =
                    |policy: &Option<String>, default| policy.as_deref().unwrap_or(default) == "Honor";
                if honors(&constraint.node_affinity_policy, "Honor") && !node_affinity::matches(pod, node) {
                    continue;
                }
                let repelled = node
                    .taints
                    .iter()
                    .any(|one| taint::repels(one) && !client::placement::tolerates(&pod.tolerations, one));
                if honors(&constraint.node_taints_policy, "Ignore") && repelled {
                    continue;
                }
                let domain = node.labels.get(&constraint.topology_key).cloned().unwrap_or_default();
                *counts.entry(domain).or_default() += count(node, pod, &selector);
            }
            let domains = i64::try_from(counts.len()).unwrap_or(i64::MAX);
            let too_few = domains < i64::from(constraint.min_domains.unwrap_or(1));
            Constraint {
                key: constraint.topology_key.clone(),
                max_skew: constraint.max_skew.into(),
                own: i64::from(labels::selects(&selector, &pod.labels)),
                least: if too_few { 0 } else { counts.values().copied().min().unwrap_or(0) },
                counts,
            }
        });
        Spread(constraints.collect())
    }

    pub fn filter(&self, _pod: &Pod, node: &Node) -> Option<Rejection> {
        const TEXT: &str = "node(s) didn't match pod topology spread constraints";
        for constraint in &self.0 {
            let Some(domain) = node.labels.get(&constraint.key) else {
                let text = format!("{TEXT} (missing required label)");
                return Some(Rejection::because(Plugin::Spread, &text, false));
            };
            let there = constraint.counts.get(domain).copied().unwrap_or(0);
            if there + constraint.own - constraint.least > constraint.max_skew {
                return Some(Rejection::because(Plugin::Spread, TEXT, true));
            }
        }
        None
    }
}
