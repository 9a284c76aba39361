//! Taints, as the scheduler weighs them. Pure.

use client::placement::tolerates;
use k8s_openapi::api::core::v1::Taint;

use crate::cluster::Node;
use crate::pod::Pod;

/// The taint keeps new pods off.
pub fn repels(taint: &Taint) -> bool {
    matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
}

/// Soft taints that the pod does not tolerate: the more, the worse.
pub fn prefers_not(pod: &Pod, node: &Node) -> usize {
    let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    soft.filter(|taint| !tolerates(&pod.tolerations, taint)).count()
}
