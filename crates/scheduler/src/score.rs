//! Which of the nodes that a pod may go to is best: upstream's default scores and weights, thin. Pure.
//!
//! Each score runs from 0 to 100. Spreading counts pods of the same owner beside explicit soft constraints, which is
//! what upstream's default constraints come to on a cluster of one zone.

use std::collections::BTreeMap;

use client::labels;

use crate::cluster::{Cluster, Node};
use crate::filter;
use crate::pod::{Pod, Term};

/// The scores of `nodes`, in their order.
pub fn scores(cluster: &Cluster, pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
    let total = cluster.known().count().max(1);
    let taints = lower_is_better(nodes.iter().map(|node| count(filter::prefers_not(pod, node))));
    let affinity = higher_is_better(nodes.iter().map(|node| filter::preference(pod, node)));
    let spread = lower_is_better(spread(cluster, pod, nodes));
    let near = higher_is_better(inter_pod(cluster, pod, nodes));
    let mut all = Vec::with_capacity(nodes.len());
    for (at, node) in nodes.iter().enumerate() {
        all.push(
            3 * taints[at]
                + 2 * affinity[at]
                + 2 * spread[at]
                + 2 * near[at]
                + least_allocated(pod, node)
                + balanced(pod, node)
                + images(cluster, pod, node, total),
        );
    }
    all
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn higher_is_better(raw: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let raw: Vec<i64> = raw.into_iter().collect();
    let (least, most) =
        (raw.iter().copied().min().unwrap_or(0).min(0), raw.iter().copied().max().unwrap_or(0));
    raw.iter().map(|score| if most == least { 0 } else { 100 * (score - least) / (most - least) }).collect()
}

fn lower_is_better(raw: impl IntoIterator<Item = i64>) -> Vec<i64> {
    higher_is_better(raw).into_iter().map(|score| 100 - score).collect()
}

/// The share that stays free.
fn least_allocated(pod: &Pod, node: &Node) -> i64 {
    let free = |has: i64, used: i64| if has <= 0 || used > has { 0 } else { (has - used) * 100 / has };
    let (has, used, wants) = (&node.allocatable, &node.assumed, &pod.assumed);
    (free(has.cpu, used.cpu + wants.cpu) + free(has.memory, used.memory + wants.memory)) / 2
}

/// How alike the used shares of CPU and memory are.
fn balanced(pod: &Pod, node: &Node) -> i64 {
    let share = |has: i64, used: i64| if has <= 0 { 1.0 } else { (used as f64 / has as f64).min(1.0) };
    let (has, used, wants) = (&node.allocatable, &node.requested, &pod.requests);
    let cpu = share(has.cpu, used.cpu + wants.cpu);
    let memory = share(has.memory, used.memory + wants.memory);
    ((1.0 - (cpu - memory).abs() / 2.0) * 100.0) as i64
}

/// Bytes of the pod's images that are there, weighed by how widely they are spread, so that pods do not heap up.
fn images(cluster: &Cluster, pod: &Pod, node: &Node, total: usize) -> i64 {
    const LEAST: i64 = 23 << 20;
    const MOST: i64 = 1000 << 20;
    let mut bytes = 0i64;
    for image in &pod.images {
        let name = if image.rsplit('/').next().is_some_and(|last| last.contains([':', '@'])) {
            image.clone()
        } else {
            format!("{image}:latest")
        };
        if let Some(size) = node.images.get(&name) {
            let holders = cluster.known().filter(|other| other.images.contains_key(&name)).count();
            bytes += (*size as f64 * holders as f64 / total as f64) as i64;
        }
    }
    let most = MOST.saturating_mul(count(pod.images.len()).max(1));
    100 * (bytes.clamp(LEAST, most) - LEAST) / (most - LEAST)
}

fn spread(cluster: &Cluster, pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
    let soft: Vec<_> =
        pod.spread.iter().filter(|constraint| constraint.when_unsatisfiable == "ScheduleAnyway").collect();
    if soft.is_empty() {
        let same = |node: &&Node| {
            let same = node.pods.values().filter(|other| !pod.owner.is_empty() && other.owner == pod.owner);
            count(same.count())
        };
        return nodes.iter().map(same).collect();
    }
    let mut sums = vec![0; nodes.len()];
    for constraint in soft {
        let selector = constraint.label_selector.clone().unwrap_or_default();
        let mut domains: BTreeMap<&str, i64> = BTreeMap::new();
        for node in cluster.known() {
            let Some(domain) = node.labels.get(&constraint.topology_key) else { continue };
            let same = node.pods.values().filter(|other| {
                other.namespace() == pod.namespace() && labels::selects(&selector, &other.labels)
            });
            *domains.entry(domain).or_default() += count(same.count());
        }
        for (sum, node) in sums.iter_mut().zip(nodes) {
            let domain = node.labels.get(&constraint.topology_key);
            *sum += domain.and_then(|domain| domains.get(domain.as_str())).copied().unwrap_or(0);
        }
    }
    sums
}

fn inter_pod(cluster: &Cluster, pod: &Pod, nodes: &[&Node]) -> Vec<i64> {
    let mut domains: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for node in cluster.known() {
        for other in node.pods.values() {
            let mut add = |terms: &[Term], owner: &Pod, target: &Pod, sign: i64| {
                for term in terms.iter().filter(|term| filter_selects(cluster, term, owner, target)) {
                    if let Some((key, value)) = node.labels.get_key_value(&term.topology) {
                        *domains.entry((key, value)).or_default() += sign * term.weight;
                    }
                }
            };
            add(&pod.preferred_affinity, pod, other, 1);
            add(&pod.preferred_anti_affinity, pod, other, -1);
            add(&other.preferred_affinity, other, pod, 1);
            add(&other.preferred_anti_affinity, other, pod, -1);
        }
    }
    let score = |node: &&Node| {
        let here = domains
            .iter()
            .filter(|((key, value), _)| node.labels.get(*key).is_some_and(|is| is.as_str() == *value));
        here.map(|(_, weight)| weight).sum()
    };
    nodes.iter().map(score).collect()
}

fn filter_selects(cluster: &Cluster, term: &Term, owner: &Pod, target: &Pod) -> bool {
    filter::in_namespaces(cluster, term, owner, target.namespace())
        && term.selector.as_ref().is_some_and(|selector| labels::selects(selector, &target.labels))
}
