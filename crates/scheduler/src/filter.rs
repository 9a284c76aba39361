//! Whether a pod may go to a node: upstream's default filters, in upstream's order, each a line of [`filter`].
//!
//! Texts are upstream's, since people and tests match on them. Pure.

mod inter_pod;
mod node_affinity;
mod spread;
mod taint;

use client::placement::tolerates;

use crate::cluster::{Cluster, Happened, Node};
use crate::pod::Pod;

pub use inter_pod::{InterPod, in_namespaces};
pub use node_affinity::{matches as matches_node, preference};
pub use spread::Spread;
pub use taint::prefers_not;

/// Who rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plugin {
    Unschedulable,
    NodeName,
    Taint,
    NodeAffinity,
    Ports,
    Fit,
    Spread,
    InterPod,
}

impl Plugin {
    /// What happened may make room for a pod that this plugin rejected.
    pub fn helped_by(self, happened: Happened) -> bool {
        use Happened::*;
        match self {
            Plugin::Unschedulable => matches!(happened, NodeAdded | NodeSchedulable | NodeTaints),
            Plugin::NodeName => happened == NodeAdded,
            Plugin::Taint => matches!(happened, NodeAdded | NodeTaints),
            Plugin::NodeAffinity => matches!(happened, NodeAdded | NodeLabels),
            Plugin::Ports => matches!(happened, NodeAdded | PodGone),
            Plugin::Fit => matches!(happened, NodeAdded | NodeAllocatable | PodGone),
            Plugin::Spread | Plugin::InterPod => {
                matches!(happened, NodeAdded | NodeLabels | NodeTaints | PodGone | PodPlaced)
            }
        }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub plugin: Plugin,
    pub reasons: Vec<String>,
    /// Taking pods off the node might help.
    pub resolvable: bool,
}

impl Rejection {
    fn because(plugin: Plugin, reason: &str, resolvable: bool) -> Rejection {
        Rejection { plugin, reasons: vec![reason.into()], resolvable }
    }
}

/// What is computed once for a pod, over the whole cluster.
pub struct Prepared {
    spread: Spread,
    inter_pod: InterPod,
}

impl Prepared {
    pub fn new(cluster: &Cluster, pod: &Pod) -> Prepared {
        Prepared { spread: Spread::new(cluster, pod), inter_pod: InterPod::new(cluster, pod) }
    }
}

/// `None`: the pod may go to `node`.
pub fn filter(prepared: &Prepared, pod: &Pod, node: &Node) -> Option<Rejection> {
    unschedulable(pod, node)
        .or_else(|| {
            let named = !pod.node.is_empty() && pod.node != node.name;
            let text = "node(s) didn't match the requested node name";
            named.then(|| Rejection::because(Plugin::NodeName, text, false))
        })
        .or_else(|| {
            let text = "node(s) had untolerated taint(s)";
            let bad =
                node.taints.iter().any(|taint| taint::repels(taint) && !tolerates(&pod.tolerations, taint));
            bad.then(|| Rejection::because(Plugin::Taint, text, false))
        })
        .or_else(|| {
            let text = "node(s) didn't match Pod's node affinity/selector";
            (!matches_node(pod, node)).then(|| Rejection::because(Plugin::NodeAffinity, text, false))
        })
        .or_else(|| {
            let text = "node(s) didn't have free ports for the requested pod ports";
            let taken = pod.ports.iter().any(|port| node.takes(port));
            taken.then(|| Rejection::because(Plugin::Ports, text, true))
        })
        .or_else(|| fit(pod, node))
        .or_else(|| prepared.spread.filter(pod, node))
        .or_else(|| prepared.inter_pod.filter(pod, node))
}

fn unschedulable(pod: &Pod, node: &Node) -> Option<Rejection> {
    if !node.unschedulable {
        return None;
    }
    let taint = k8s_openapi::api::core::v1::Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Default::default()
    };
    let text = "node(s) were unschedulable";
    (!tolerates(&pod.tolerations, &taint)).then(|| Rejection::because(Plugin::Unschedulable, text, false))
}

fn fit(pod: &Pod, node: &Node) -> Option<Rejection> {
    let (wants, has, used) = (&pod.requests, &node.allocatable, &node.requested);
    let mut reasons = Vec::new();
    let mut resolvable = true;
    if used.pods + 1 > has.pods {
        reasons.push("Too many pods".into());
    }
    let mut check = |name: &str, wanted: i64, has: i64, used: i64| {
        if wanted > 0 && wanted > has - used {
            reasons.push(format!("Insufficient {name}"));
            resolvable &= wanted <= has;
        }
    };
    check("cpu", wants.cpu, has.cpu, used.cpu);
    check("memory", wants.memory, has.memory, used.memory);
    check("ephemeral-storage", wants.storage, has.storage, used.storage);
    for (name, wanted) in &wants.others {
        let of = |all: &crate::resources::Resources| all.others.get(name).copied().unwrap_or(0);
        check(name, *wanted, of(has), of(used));
    }
    (!reasons.is_empty()).then_some(Rejection { plugin: Plugin::Fit, reasons, resolvable })
}
