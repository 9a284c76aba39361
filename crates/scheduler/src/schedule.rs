//! One decision: the node for a pod, or why there is none and who would have to go. Pure.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::filter::{self, Plugin, Prepared, Rejection};
use crate::pod::Pod;
use crate::preempt::{self, Preemption};
use crate::score;

/// What to do with a pod.
#[derive(Clone, Debug)]
pub enum Decision {
    Bind {
        node: String,
    },
    Wait {
        /// As upstream words it in event and condition.
        message: String,
        /// Who rejected, on any node; an event that helps none of them wakes nobody.
        plugins: Vec<Plugin>,
        preemption: Option<Preemption>,
    },
}

/// Decides. `tie` chooses among equally good nodes, so that they fill evenly: the caller draws it.
pub fn schedule(cluster: &Cluster, pod: &Pod, tie: u64) -> Decision {
    let prepared = Prepared::new(cluster, pod);
    let (mut fitting, mut rejections) = (Vec::new(), BTreeMap::new());
    for node in cluster.known() {
        match filter::filter(&prepared, pod, &cluster.for_pod(node, pod)) {
            None => fitting.push(node),
            Some(rejection) => drop(rejections.insert(node.name.as_str(), rejection)),
        }
    }
    // A node that was made free for this pod is taken without looking further.
    if let Some(node) = fitting.iter().find(|node| node.name == pod.nominated) {
        return Decision::Bind { node: node.name.clone() };
    }
    match fitting.as_slice() {
        [] => wait(cluster, pod, &rejections),
        [only] => Decision::Bind { node: only.name.clone() },
        several => {
            let scores = score::scores(cluster, pod, several);
            let best = scores.iter().copied().max().unwrap_or(0);
            let ties: Vec<_> = several.iter().zip(&scores).filter(|(_, score)| **score == best).collect();
            let at = usize::try_from(tie % ties.len() as u64).unwrap_or(0);
            Decision::Bind { node: ties[at].0.name.clone() }
        }
    }
}

fn wait(cluster: &Cluster, pod: &Pod, rejections: &BTreeMap<&str, Rejection>) -> Decision {
    let nodes = rejections.len();
    if nodes == 0 {
        return Decision::Wait {
            message: "no nodes available to schedule pods".into(),
            plugins: vec![Plugin::NodeName],
            preemption: None,
        };
    }
    let mut plugins: Vec<Plugin> = Vec::new();
    for rejection in rejections.values() {
        if !plugins.contains(&rejection.plugin) {
            plugins.push(rejection.plugin);
        }
    }
    let mut message = format!("0/{nodes} nodes are available: ");
    message.push_str(&histogram(rejections.values().flat_map(|one| one.reasons.iter().map(String::as_str))));
    message.push_str(" no new claims to deallocate, preemption: ");
    let preemption = match preempt::eligible(cluster, pod) {
        Err(reason) => {
            message.push_str(reason);
            None
        }
        Ok(()) => {
            let candidates = rejections.iter().filter(|(_, one)| one.resolvable).map(|(name, _)| *name);
            let candidates: Vec<&str> = candidates.collect();
            let found = preempt::find(cluster, pod, &candidates);
            if found.is_none() {
                let unhelped = nodes - candidates.len();
                let reasons =
                    std::iter::repeat_n("Preemption is not helpful for scheduling", unhelped).chain(
                        std::iter::repeat_n("No preemption victims found for incoming pod", candidates.len()),
                    );
                message.push_str(&format!("0/{nodes} nodes are available: {}", histogram(reasons)));
            }
            found
        }
    };
    if preemption.is_some() {
        message.truncate(message.len() - " no new claims to deallocate, preemption: ".len());
    }
    Decision::Wait { message, plugins, preemption }
}

/// `2 Insufficient cpu, 1 Too many pods.`
fn histogram<'a>(reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut lines: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort();
    format!("{}.", lines.join(", "))
}
