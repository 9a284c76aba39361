//! Which nodes need a pod of a DaemonSet and which pods must go. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use api::object::Change;
use client::placement;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSetStatus;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::View;
use crate::{history, pods, share};

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Nodes to make a pod for.
    pub create: Vec<String>,
    /// Name and uid of pods to delete.
    pub delete: Vec<(String, String)>,
    pub again: Option<Duration>,
}

/// The node came, went, or changed in what a DaemonSet asks of it.
pub fn node_changed(change: &Change) -> bool {
    let Change::Put { object, before: Some(before) } = change else { return true };
    let of = |object| {
        let node = client::decode::<Node>(object).unwrap_or_default();
        (node.metadata.labels, node.spec.and_then(|spec| spec.taints))
    };
    of(object) != of(before)
}

/// Whether a pod should be on the node, and whether one that is there may stay.
fn fits(spec: &PodSpec, node: &Node) -> (bool, bool) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let named = spec.node_name.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == name);
    if !named || !placement::selects_node(spec, name, &labels) {
        return (false, false);
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or(&[]);
    let tolerations = spec.tolerations.as_deref().unwrap_or(&[]);
    let bad = |effects: &[&str]| {
        let matching = |taint: &&k8s_openapi::api::core::v1::Taint| effects.contains(&taint.effect.as_str());
        taints.iter().filter(matching).any(|taint| !placement::tolerates(tolerations, taint))
    };
    (!bad(&["NoSchedule", "NoExecute"]), !bad(&["NoExecute"]))
}

pub fn hash(pod: &Pod) -> &str {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(history::HASH)).map(String::as_str).unwrap_or_default()
}

/// The node that a pod is on, or is meant for by its affinity.
fn target(pod: &Pod) -> &str {
    let node = pods::node(pod);
    if !node.is_empty() {
        return node;
    }
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let required = affinity
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let fields = required.iter().flat_map(|one| &one.node_selector_terms);
    let mut fields = fields.flat_map(|term| term.match_fields.iter().flatten());
    let name = fields.find(|field| field.key == "metadata.name");
    name.and_then(|field| field.values.as_ref()?.first()).map(String::as_str).unwrap_or_default()
}

fn by_node(all: &[Pod]) -> BTreeMap<&str, Vec<&Pod>> {
    let mut nodes: BTreeMap<&str, Vec<&Pod>> = BTreeMap::new();
    for pod in all {
        nodes.entry(target(pod)).or_default().push(pod);
    }
    for pods in nodes.values_mut() {
        pods.sort_by_key(|pod| {
            (pods::node(pod).is_empty(), pod.metadata.creation_timestamp.clone().map(|at| at.0))
        });
    }
    nodes
}

fn spec_of(set: &View) -> PodSpec {
    serde_json::from_value(super::tolerant(&set.spec.template)).unwrap_or_default()
}

fn part_of(value: Option<&IntOrString>, total: usize, default: i32) -> usize {
    let total = i32::try_from(total).unwrap_or(i32::MAX);
    let number = value.map_or(default, |value| share::of(value, total, true).unwrap_or(0));
    usize::try_from(number).unwrap_or(0)
}

fn named(pod: &Pod) -> (String, String) {
    (pod.metadata.name.clone().unwrap_or_default(), pod.metadata.uid.clone().unwrap_or_default())
}

pub fn plan(set: &View, nodes: &[Node], all: &[Pod], current: &str, now: Timestamp) -> Plan {
    let spec = spec_of(set);
    let placed = by_node(all);
    let rolling = set.spec.update_strategy.type_.as_deref() != Some("OnDelete");
    let limits = set.spec.update_strategy.rolling_update.as_ref();
    let wanted: Vec<(&Node, bool, bool)> = nodes
        .iter()
        .map(|node| (node, fits(&spec, node)))
        .map(|(node, (run, stay))| (node, run, stay))
        .collect();
    let desired = wanted.iter().filter(|(_, run, _)| *run).count();
    let surge = part_of(limits.and_then(|limits| limits.max_surge.as_ref()), desired, 0);
    let unavailable = part_of(limits.and_then(|limits| limits.max_unavailable.as_ref()), desired, 1);
    // Both zero is refused by the server; one keeps a rollout moving whatever was stored.
    let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
    let mut plan = Plan::default();
    let mut rollout = Rollout::default();
    let minimum = set.spec.min_ready_seconds;
    for (node, run, stay) in &wanted {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let there = placed.get(name).map_or(&[][..], Vec::as_slice);
        if !run && !stay {
            plan.delete.extend(there.iter().filter(|pod| !pods::terminating(pod)).map(|pod| named(pod)));
            continue;
        }
        // A pod that ended is replaced; the server's answer to that is again a pod, so this cannot spin by itself.
        let (ended, alive): (Vec<&Pod>, Vec<&Pod>) =
            there.iter().copied().filter(|pod| !pods::terminating(pod)).partition(|pod| pods::finished(pod));
        plan.delete.extend(ended.into_iter().map(named));
        let (new, old): (Vec<&Pod>, Vec<&Pod>) = alive.iter().copied().partition(|pod| hash(pod) == current);
        // One of each kind at the most; of several the oldest stays.
        let keep_old = if surge == 0 && !new.is_empty() { 0 } else { 1 };
        plan.delete.extend(new.iter().skip(1).chain(old.iter().skip(keep_old)).map(|pod| named(pod)));
        let available = |pod: &Pod| pods::available(pod, minimum, now);
        for pod in &alive {
            let left = pods::until_available(pod, minimum, now).filter(|left| !left.is_zero());
            plan.again = [plan.again, left].into_iter().flatten().min();
        }
        match (new.first(), old.first()) {
            (None, None) => {
                if *run && (there.is_empty() || surge > 0) {
                    plan.create.push(name.into());
                }
                rollout.unavailable += 1;
            }
            (Some(new), None) => rollout.unavailable += usize::from(!available(new)),
            (None, Some(old)) if available(old) => rollout.candidates.push((name, *old)),
            (None, Some(old)) => {
                rollout.unavailable += 1;
                rollout.free.push((name, *old));
            }
            (Some(new), Some(old)) if surge > 0 => {
                if available(new) {
                    rollout.done.push(*old);
                } else {
                    rollout.surging += 1;
                }
            }
            (Some(_), Some(_)) => rollout.unavailable += 1,
        }
    }
    // Pods for nodes that are gone; those bound to one are the pod collector's.
    let known = |name: &str| nodes.iter().any(|node| node.metadata.name.as_deref() == Some(name));
    for (name, pods) in &placed {
        if !known(name) {
            let lost = pods.iter().filter(|pod| pods::node(pod).is_empty() && !pods::terminating(pod));
            plan.delete.extend(lost.map(|pod| named(pod)));
        }
    }
    if rolling {
        rollout.step(&mut plan, surge, unavailable);
    }
    plan
}

#[derive(Default)]
struct Rollout<'a> {
    unavailable: usize,
    surging: usize,
    /// Old pods that are available.
    candidates: Vec<(&'a str, &'a Pod)>,
    /// Old pods that are not: replacing them costs nothing.
    free: Vec<(&'a str, &'a Pod)>,
    /// Old pods whose new one is available.
    done: Vec<&'a Pod>,
}

impl Rollout<'_> {
    fn step(self, plan: &mut Plan, surge: usize, most: usize) {
        if surge == 0 {
            let room = most.saturating_sub(self.unavailable);
            let old = self.free.iter().chain(self.candidates.iter().take(room));
            plan.delete.extend(old.map(|(_, pod)| named(pod)));
            return;
        }
        plan.delete.extend(self.done.into_iter().map(named));
        let room = surge.saturating_sub(self.surging);
        let nodes = self.free.iter().chain(self.candidates.iter().take(room));
        plan.create.extend(nodes.map(|(node, _)| (*node).to_string()));
    }
}

pub fn status(set: &View, nodes: &[Node], all: &[Pod], current: &str, now: Timestamp) -> DaemonSetStatus {
    let spec = spec_of(set);
    let placed = by_node(all);
    let (mut desired, mut scheduled, mut wrong, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
    for node in nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let pod = placed.get(name).and_then(|pods| pods.first());
        if !fits(&spec, node).0 {
            wrong += i32::from(pod.is_some());
            continue;
        }
        desired += 1;
        let Some(pod) = pod else { continue };
        scheduled += 1;
        ready += i32::from(pods::ready(pod));
        available += i32::from(pods::available(pod, set.spec.min_ready_seconds, now));
        updated += i32::from(hash(pod) == current);
    }
    let some = |number: i32| (number != 0).then_some(number);
    DaemonSetStatus {
        current_number_scheduled: scheduled,
        number_misscheduled: wrong,
        desired_number_scheduled: desired,
        number_ready: ready,
        observed_generation: Some(set.metadata.generation),
        updated_number_scheduled: some(updated),
        number_available: some(available),
        number_unavailable: some(desired - available),
        collision_count: set.status.collision_count,
        conditions: set.status.conditions.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(strategy: Value) -> View {
        serde_json::from_value(json!({
            "metadata": { "name": "agent", "namespace": "ns", "uid": "d", "generation": 1 },
            "spec": { "selector": { "matchLabels": { "app": "agent" } }, "updateStrategy": strategy,
                      "template": { "metadata": { "labels": { "app": "agent" } },
                                    "spec": { "containers": [], "nodeSelector": { "os": "linux" } } } },
        }))
        .unwrap()
    }

    fn node(name: &str, os: &str, taint: &str) -> Node {
        let taints =
            if taint.is_empty() { json!([]) } else { json!([{ "key": taint, "effect": "NoSchedule" }]) };
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "os": os } }, "spec": { "taints": taints } }))
        .unwrap()
    }

    fn pod(name: &str, node: &str, hash: &str, ready: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": name, "uid": name, "labels": { "controller-revision-hash": hash } },
            "spec": { "nodeName": node, "containers": [] },
            "status": { "phase": "Running", "conditions": [
                { "type": "Ready", "status": if ready { "True" } else { "False" } } ] },
        }))
        .unwrap()
    }

    fn show(set: &View, nodes: &[Node], pods: &[Pod]) -> String {
        let plan = plan(set, nodes, pods, "new", Timestamp::UNIX_EPOCH);
        let deletes: Vec<_> = plan.delete.into_iter().map(|(name, _)| name).collect();
        format!("+{} -{}", plan.create.join(","), deletes.join(","))
    }

    #[test]
    fn a_pod_on_each_fitting_node() {
        let nodes = [
            node("a", "linux", ""),
            node("b", "linux", "node.kubernetes.io/unschedulable"),
            node("c", "windows", ""),
            node("d", "linux", "mine"),
        ];
        let plain = set(json!({ "type": "RollingUpdate" }));
        assert_eq!(show(&plain, &nodes, &[]), "+a,b -");
        let there = [pod("pa", "a", "new", true), pod("pc", "c", "new", true), pod("pd", "d", "new", true)];
        assert_eq!(show(&plain, &nodes, &there), "+b -pc", "on d it may stay");
        let status = status(&plain, &nodes, &there, "new", Timestamp::UNIX_EPOCH);
        assert_eq!((status.desired_number_scheduled, status.current_number_scheduled), (2, 1));
        assert_eq!((status.number_misscheduled, status.number_unavailable), (2, Some(1)));
    }

    #[test]
    fn rollouts() {
        let nodes = [node("a", "linux", ""), node("b", "linux", ""), node("c", "linux", "")];
        let old = |a: bool, b: bool| {
            [pod("pa", "a", "old", a), pod("pb", "b", "old", b), pod("pc", "c", "new", true)]
        };
        let rolling = set(json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1 } }));
        assert_eq!(show(&rolling, &nodes, &old(true, true)), "+ -pa");
        assert_eq!(show(&rolling, &nodes, &old(true, false)), "+ -pb", "what does not work goes first");
        assert_eq!(show(&set(json!({ "type": "OnDelete" })), &nodes, &old(true, true)), "+ -");
        let surge =
            set(json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } }));
        assert_eq!(show(&surge, &nodes, &old(true, true)), "+a -");
        let mut surged = old(true, true).to_vec();
        surged.push(pod("pa2", "a", "new", false));
        assert_eq!(show(&surge, &nodes, &surged), "+ -");
        surged[3] = pod("pa2", "a", "new", true);
        assert_eq!(show(&surge, &nodes, &surged), "+b -pa");
    }
}
