//! Required affinity and anti-affinity between pods, both ways. Pure.

use std::collections::HashMap;

use client::labels;

use super::{Plugin, Rejection};
use crate::cluster::{Cluster, Node};
use crate::pod::{Pod, Term};

/// A topology domain: label and value.
type Domain = (String, String);

/// Domains counted once for a pod.
pub struct InterPod {
    /// For each required term of the pod: domains that hold a pod which all its terms select.
    wanted: Vec<(String, HashMap<String, i64>)>,
    /// The pod is the first of its kind, and selects itself: it may start a domain.
    first: bool,
    /// Domains that the pod's anti-affinity forbids.
    avoided: HashMap<Domain, i64>,
    /// Domains from which pods that are there keep it off.
    forbidden: HashMap<Domain, i64>,
}

/// The term, which `owner` has, speaks of pods in `namespace`.
pub fn in_namespaces(cluster: &Cluster, term: &Term, owner: &Pod, namespace: &str) -> bool {
    if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        return owner.namespace() == namespace;
    }
    term.namespaces.iter().any(|name| name == namespace)
        || term.namespace_selector.as_ref().is_some_and(|selector| {
            cluster.namespaces.get(namespace).is_some_and(|has| labels::selects(selector, has))
        })
}

/// The term, which `owner` has, selects `other`.
pub fn selects(cluster: &Cluster, term: &Term, owner: &Pod, other: &Pod) -> bool {
    in_namespaces(cluster, term, owner, other.namespace())
        && term.selector.as_ref().is_some_and(|selector| labels::selects(selector, &other.labels))
}

impl InterPod {
    pub fn new(cluster: &Cluster, pod: &Pod) -> InterPod {
        let mut wanted: Vec<(String, HashMap<String, i64>)> =
            pod.affinity.iter().map(|term| (term.topology.clone(), HashMap::new())).collect();
        let (mut avoided, mut forbidden): (HashMap<Domain, i64>, HashMap<Domain, i64>) = Default::default();
        for node in cluster.known() {
            for other in node.pods.values() {
                if !pod.affinity.is_empty()
                    && pod.affinity.iter().all(|term| selects(cluster, term, pod, other))
                {
                    for (key, domains) in &mut wanted {
                        if let Some(value) = node.labels.get(key) {
                            *domains.entry(value.clone()).or_default() += 1;
                        }
                    }
                }
                let mark = |terms: &[Term], owner: &Pod, target: &Pod, into: &mut HashMap<Domain, i64>| {
                    for term in terms.iter().filter(|term| selects(cluster, term, owner, target)) {
                        if let Some(value) = node.labels.get(&term.topology) {
                            *into.entry((term.topology.clone(), value.clone())).or_default() += 1;
                        }
                    }
                };
                mark(&pod.anti_affinity, pod, other, &mut avoided);
                mark(&other.anti_affinity, other, pod, &mut forbidden);
            }
        }
        let none = wanted.iter().all(|(_, domains)| domains.is_empty());
        let itself = pod.affinity.iter().all(|term| selects(cluster, term, pod, pod));
        InterPod { wanted, first: none && itself, avoided, forbidden }
    }

    pub fn filter(&self, pod: &Pod, node: &Node) -> Option<Rejection> {
        for (key, domains) in &self.wanted {
            let here = node.labels.get(key);
            let satisfied = here.is_some_and(|value| self.first || domains.contains_key(value));
            if !satisfied {
                let text = "node(s) didn't match pod affinity rules";
                return Some(Rejection::because(Plugin::InterPod, text, false));
            }
        }
        let in_domain = |domains: &HashMap<Domain, i64>| {
            domains.keys().any(|(key, value)| node.labels.get(key) == Some(value))
        };
        if !pod.anti_affinity.is_empty() && in_domain(&self.avoided) {
            let text = "node(s) didn't match pod anti-affinity rules";
            return Some(Rejection::because(Plugin::InterPod, text, true));
        }
        if in_domain(&self.forbidden) {
            let text = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Some(Rejection::because(Plugin::InterPod, text, true));
        }
        None
    }
}
