//! Whom to take off which node for a more important pod. Pure; thin: PodDisruptionBudgets are not looked at.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::filter::{self, Prepared};
use crate::pod::Pod;

/// A node and who must leave it.
#[derive(Clone, Debug)]
pub struct Preemption {
    pub node: String,
    pub victims: Vec<Arc<Pod>>,
}

/// Whether `pod` may preempt at all; else upstream's words.
pub fn eligible(cluster: &Cluster, pod: &Pod) -> Result<(), &'static str> {
    if !pod.preempts {
        return Err("not eligible due to preemptionPolicy=Never.");
    }
    let leaving = cluster
        .nodes
        .get(&pod.nominated)
        .is_some_and(|node| node.pods.values().any(|other| other.deleting && other.priority < pod.priority));
    if leaving {
        return Err("not eligible due to a terminating pod on the nominated node.");
    }
    Ok(())
}

/// The best node of `candidates`: where the least important, the fewest and the youngest pods have to go.
pub fn find(cluster: &Cluster, pod: &Pod, candidates: &[&str]) -> Option<Preemption> {
    let found = candidates.iter().filter_map(|name| {
        let victims = victims(cluster, pod, name)?;
        Some(Preemption { node: (*name).into(), victims })
    });
    found.min_by_key(|one| {
        let highest = one.victims.iter().map(|victim| victim.priority).max();
        let sum: i64 = one.victims.iter().map(|victim| i64::from(victim.priority)).sum();
        let important = one.victims.iter().filter(|victim| Some(victim.priority) == highest);
        let earliest = important.filter_map(|victim| victim.started).min();
        (highest, sum, one.victims.len(), Reverse(earliest))
    })
}

/// Who must leave `name`, the fewest: all less important pods, minus those that can come back, important ones first.
fn victims(cluster: &Cluster, pod: &Pod, name: &str) -> Option<Vec<Arc<Pod>>> {
    let node = cluster.nodes.get(name)?;
    let mut lesser: Vec<Arc<Pod>> =
        node.pods.values().filter(|other| other.priority < pod.priority).cloned().collect();
    if lesser.is_empty() {
        return None;
    }
    let mut without = cluster.clone();
    lesser.iter().for_each(|other| drop(without.remove_pod(&other.key)));
    let fits = |cluster: &Cluster| {
        let Some(node) = cluster.nodes.get(name) else { return false };
        let prepared = Prepared::new(cluster, pod);
        filter::filter(&prepared, pod, &cluster.for_pod(node, pod)).is_none()
    };
    if !fits(&without) {
        return None;
    }
    lesser.sort_by_key(|other| (Reverse(other.priority), other.started));
    let mut victims = Vec::new();
    for other in lesser {
        without.place(other.clone(), name);
        if !fits(&without) {
            without.remove_pod(&other.key);
            victims.push(other);
        }
    }
    (!victims.is_empty()).then_some(victims)
}
