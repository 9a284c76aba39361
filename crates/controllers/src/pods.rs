//! What controllers ask of a pod: active, ready, available since when, and which of many to delete first. Pure.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};

pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

pub fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// Succeeded or Failed: it will not run again.
pub fn finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub fn terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Counts as a replica.
pub fn active(pod: &Pod) -> bool {
    !finished(pod) && !terminating(pod)
}

pub fn condition<'a>(pod: &'a Pod, name: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == name)
}

pub fn ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let condition = condition(pod, "Ready").filter(|condition| condition.status == "True")?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// How long until a ready pod is available: zero if it is, `None` if it is not ready.
pub fn until_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> Option<Duration> {
    if !ready(pod) {
        return None;
    }
    if min_ready_seconds <= 0 {
        return Some(Duration::ZERO);
    }
    let passed = now.duration_since(ready_since(pod)?);
    let left = jiff::SignedDuration::from_secs(min_ready_seconds.into()).checked_sub(passed)?;
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

pub fn available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    until_available(pod, min_ready_seconds, now) == Some(Duration::ZERO)
}

/// Sorts so that the pods to delete first come first: unassigned, pending, not ready, cheap, crowded, young.
/// `related` are the pods that crowd a node: those of every sibling set.
pub fn sort_for_deletion(pods: &mut [Pod], related: &[Pod], now: Timestamp) {
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for pod in related.iter().filter(|pod| active(pod)) {
        *crowd.entry(node(pod)).or_default() += 1;
    }
    let crowd: HashMap<String, usize> = crowd.into_iter().map(|(node, pods)| (node.into(), pods)).collect();
    pods.sort_by(|a, b| compare(a, b, &crowd, now));
}

fn compare(a: &Pod, b: &Pod, crowd: &HashMap<String, usize>, now: Timestamp) -> Ordering {
    let unassigned = |pod: &Pod| node(pod).is_empty();
    let started = |pod: &Pod| match phase(pod) {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let crowded = |pod: &Pod| crowd.get(node(pod)).copied().unwrap_or(0);
    unassigned(b)
        .cmp(&unassigned(a))
        .then_with(|| started(a).cmp(&started(b)))
        .then_with(|| ready(a).cmp(&ready(b)))
        .then_with(|| cost(a).cmp(&cost(b)))
        .then_with(|| crowded(b).cmp(&crowded(a)))
        .then_with(|| by_age(a, b, ready_since(a), ready_since(b), now))
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| by_age(a, b, created(a), created(b), now))
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// Younger first, in steps of doubled age; within a step by uid, which is chance (KEP-2185).
fn by_age(a: &Pod, b: &Pod, at_a: Option<Timestamp>, at_b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let (Some(at_a), Some(at_b)) = (at_a, at_b) else { return Ordering::Equal };
    if at_a == at_b {
        return Ordering::Equal;
    }
    let rank = |at: Timestamp| {
        let age = now.as_nanosecond() - at.as_nanosecond();
        if age > 0 { i64::from(age.ilog2()) } else { -1 }
    };
    rank(at_a).cmp(&rank(at_b)).then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

fn cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    let cost = annotations.and_then(|all| all.get("controller.kubernetes.io/pod-deletion-cost"));
    cost.and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, node: &str, phase: &str, ready: &str, extra: Value) -> Pod {
        let mut value = json!({
            "metadata": { "name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "nodeName": node, "containers": [] },
            "status": { "phase": phase, "conditions": [
                { "type": "Ready", "status": if ready.is_empty() { "False" } else { "True" },
                  "lastTransitionTime": if ready.is_empty() { "2026-01-01T00:00:00Z" } else { ready } } ] },
        });
        for (key, field) in extra.as_object().unwrap() {
            value["metadata"][key] = field.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_least_useful_pod_goes_first() {
        let early = "2026-01-01T00:00:10Z";
        let late = "2026-01-01T01:00:00Z";
        let cheap = json!({ "annotations": { "controller.kubernetes.io/pod-deletion-cost": "-5" } });
        let mut pods = vec![
            pod("old", "n1", "Running", early, json!({})),
            pod("young", "n1", "Running", late, json!({})),
            pod("crowded", "n2", "Running", early, json!({})),
            pod("cheap", "n1", "Running", early, cheap),
            pod("unready", "n1", "Running", "", json!({})),
            pod("pending", "n1", "Pending", "", json!({})),
            pod("unassigned", "", "Pending", "", json!({})),
        ];
        let mut related = pods.clone();
        related.extend((0..9).map(|at| pod(&format!("other{at}"), "n2", "Running", early, json!({}))));
        sort_for_deletion(&mut pods, &related, "2026-01-01T02:00:00Z".parse().unwrap());
        let order: Vec<_> = pods.iter().map(|pod| pod.metadata.name.as_deref().unwrap()).collect();
        assert_eq!(order, ["unassigned", "pending", "unready", "cheap", "crowded", "young", "old"]);
    }

    #[test]
    fn availability_waits_for_min_ready_seconds() {
        let pod = pod("a", "n1", "Running", "2026-01-01T00:00:10Z", json!({}));
        let at = |time: &str| until_available(&pod, 30, time.parse().unwrap());
        assert_eq!(at("2026-01-01T00:00:20Z"), Some(Duration::from_secs(20)));
        assert_eq!(at("2026-01-01T00:00:40Z"), Some(Duration::ZERO));
        assert_eq!(at("2026-01-01T00:09:40Z"), Some(Duration::ZERO));
    }
}
