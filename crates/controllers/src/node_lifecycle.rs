//! Notices nodes that fell silent: their conditions become Unknown, their pods not ready, and taints keep pods off or
//! drive them away.
//!
//! Silence is measured on this process's own clock from the last change of the node's lease, so that a node whose clock
//! is wrong is not lost for it. While every node is silent nobody is driven away: then it is more likely us (upstream's
//! full disruption), and on a single node there is nowhere to go.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Key, Object};
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::{Regarding, second};
use client::{Action, Cache, Patch, Reconciler, Watch};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::{Context, Controller, pods};

pub const CONTROLLER: Controller = Controller {
    name: "node-lifecycle",
    account: "node-controller",
    workers: 2,
    make: |context| {
        Some(Arc::new(Lifecycle {
            nodes: context.cache::<Node>()?,
            leases: context.cache::<Lease>()?,
            pods: context.cache::<Pod>()?,
            heard: Arc::default(),
            context,
        }))
    },
};

const LEASES: &str = "kube-node-lease";
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Taints that follow conditions: type, status, taint (KEP-382).
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
];
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

struct Lifecycle {
    nodes: Arc<Cache>,
    leases: Arc<Cache>,
    pods: Arc<Cache>,
    /// When each node was last heard of.
    heard: Arc<Mutex<HashMap<String, Heard>>>,
    context: Context,
}

struct Heard {
    at: Instant,
    silent: bool,
}

fn hear(heard: &Mutex<HashMap<String, Heard>>, node: &str) -> bool {
    let now = Instant::now();
    let mut all = heard.lock();
    let entry = all.entry(node.into()).or_insert(Heard { at: now, silent: false });
    entry.at = now;
    std::mem::take(&mut entry.silent)
}

#[async_trait]
impl Reconciler for Lifecycle {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }

    fn watches(&self) -> Vec<Watch> {
        let (heard, nodes) = (self.heard.clone(), self.nodes.clone());
        // A heartbeat only moves a time; a reconcile follows if the node was thought lost.
        let heartbeat = move |change: &api::object::Change, add: &mut dyn FnMut(Key)| {
            let key = &change.object().key;
            if key.namespace() == LEASES && hear(&heard, key.name()) {
                add(Key::new(nodes.resource(), "", key.name()));
            }
        };
        vec![Watch::own(&self.nodes), Watch::by(&self.leases, heartbeat)]
    }
    fn reads(&self) -> Vec<Arc<Cache>> {
        vec![self.pods.clone()]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.nodes.get_key(key) else {
            self.heard.lock().remove(key.name());
            return Ok(Action::Done);
        };
        let Some(node) = client::decode::<Node>(&object) else { return Ok(Action::Done) };
        let grace = self.context.config.node_grace;
        let silence = {
            let mut heard = self.heard.lock();
            let now = Instant::now();
            let entry = heard.entry(key.name().into()).or_insert(Heard { at: now, silent: false });
            entry.silent = now - entry.at >= grace;
            now - entry.at
        };
        let now = self.context.now();
        let (old, new) = (conditions(&node), conditions(&node));
        let new = if silence >= grace { silent(&node, new, &now) } else { new };
        if new != old {
            self.lost(&object, &node, &new).await?;
            // The change of the node brings us back here for its taints.
            return Ok(Action::Done);
        }
        self.taint(&object, &node, &now).await?;
        if status_of(&old, "Ready") != Some("True") {
            self.unready_pods(key.name()).await?;
        }
        Ok(match grace.checked_sub(silence) {
            Some(left) if !left.is_zero() => Action::After(left),
            _ => Action::Done,
        })
    }
}

fn conditions(node: &Node) -> Vec<NodeCondition> {
    node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default()
}

fn status_of<'a>(conditions: &'a [NodeCondition], kind: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.type_ == kind).map(|condition| condition.status.as_str())
}

/// The conditions of a node that is not heard of.
fn silent(node: &Node, mut conditions: Vec<NodeCondition>, now: &Time) -> Vec<NodeCondition> {
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            None => conditions.push(NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                last_transition_time: Some(now.clone()),
            }),
            Some(condition) if condition.status != "Unknown" => {
                condition.status = "Unknown".into();
                condition.reason = Some("NodeStatusUnknown".into());
                condition.message = Some("Kubelet stopped posting node status.".into());
                condition.last_transition_time = Some(now.clone());
            }
            Some(_) => {}
        }
    }
    conditions
}

/// The taints that the node should have. `evict`: those that drive pods away are allowed.
fn taints(node: &Node, evict: bool, now: &Time) -> Vec<Taint> {
    let spec = node.spec.clone().unwrap_or_default();
    let is = spec.taints.unwrap_or_default();
    let conditions = conditions(node);
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for (kind, status, taint) in BY_CONDITION {
        if status_of(&conditions, kind) == Some(status) {
            wanted.push((taint, "NoSchedule"));
            if evict && kind == "Ready" {
                wanted.push((taint, "NoExecute"));
            }
        }
    }
    if spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let ours = |taint: &Taint| {
        let known = BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key) || taint.key == UNSCHEDULABLE;
        let evicts = matches!(taint.key.as_str(), NOT_READY | UNREACHABLE) && taint.effect == "NoExecute";
        (known && taint.effect == "NoSchedule") || evicts
    };
    let mut all: Vec<Taint> = is
        .into_iter()
        .filter(|taint| !ours(taint) || wanted.contains(&(taint.key.as_str(), taint.effect.as_str())))
        .collect();
    for (key, effect) in wanted {
        if !all.iter().any(|taint| taint.key == key && taint.effect == effect) {
            all.push(Taint {
                key: key.into(),
                effect: effect.into(),
                time_added: Some(now.clone()),
                value: None,
            });
        }
    }
    all
}

impl Lifecycle {
    async fn lost(&self, object: &Arc<Object>, node: &Node, new: &[NodeCondition]) -> Result<(), Error> {
        let mut status = node.status.clone().unwrap_or_default();
        let was_ready = status_of(status.conditions.as_deref().unwrap_or(&[]), "Ready") == Some("True");
        let version = node.metadata.resource_version.as_deref().unwrap_or_default();
        status.conditions = Some(new.to_vec());
        let body = json!({
            "metadata": { "resourceVersion": version },
            "status": { "conditions": status.conditions },
        });
        self.context.writer.patch(&object.key, "status", Patch::Merge(&body)).await?;
        if was_ready {
            let text = format!("Node {} status is now: NodeNotReady", object.key.name());
            let regarding = Regarding { resource_version: String::new(), ..Regarding::typed(node) };
            self.context.recorder.normal(&regarding, "NodeNotReady", text);
        }
        Ok(())
    }

    async fn taint(&self, object: &Arc<Object>, node: &Node, now: &Time) -> Result<(), Error> {
        let mine = status_of(&conditions(node), "Ready") == Some("True");
        let anyone = mine || {
            let nodes = self.nodes.snapshot();
            let mut others = nodes.iter().filter_map(client::decode::<Node>);
            others.any(|other| status_of(&conditions(&other), "Ready") == Some("True"))
        };
        let is = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        let wanted = taints(node, anyone, now);
        if wanted == is {
            return Ok(());
        }
        let version = node.metadata.resource_version.as_deref().unwrap_or_default();
        let body = json!({
            "metadata": { "resourceVersion": version },
            "spec": { "taints": (!wanted.is_empty()).then_some(wanted) },
        });
        self.context.writer.patch(&object.key, "", Patch::Merge(&body)).await?;
        Ok(())
    }

    /// Nobody speaks for the pods of such a node: they count as not ready, so that Services leave them out.
    async fn unready_pods(&self, node: &str) -> Result<(), Error> {
        for object in self.pods.by_field("spec.nodeName", node) {
            let Some(pod) = client::decode::<Pod>(&object).filter(pods::ready) else { continue };
            let body = json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [
                { "type": "Ready", "status": "False", "lastTransitionTime": second(self.context.clock.now()) },
            ] } });
            let patched = self.context.writer.patch(&object.key, "status", Patch::Strategic(&body)).await;
            client::writer::gone_is_fine(patched)?;
            let text = "Node is not ready";
            self.context.recorder.warning(&Regarding::typed(&pod), "NodeNotReady", text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str, taints: serde_json::Value) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": "n1" }, "spec": { "taints": taints },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    #[test]
    fn taints_follow_conditions() {
        let now = Time("2026-01-01T00:00:00Z".parse().unwrap());
        let show = |node: &Node, evict| {
            let all = taints(node, evict, &now);
            all.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect::<Vec<_>>().join(" ")
        };
        let own = json!([{ "key": "mine", "effect": "NoSchedule" }]);
        assert_eq!(show(&node("True", own.clone()), true), "mine:NoSchedule");
        let lost = format!("mine:NoSchedule {UNREACHABLE}:NoSchedule {UNREACHABLE}:NoExecute");
        assert_eq!(show(&node("Unknown", own.clone()), true), lost);
        let alone = format!("mine:NoSchedule {NOT_READY}:NoSchedule");
        assert_eq!(show(&node("False", own), false), alone);
        let was = json!([{ "key": UNREACHABLE, "effect": "NoExecute" }, { "key": NOT_READY, "effect": "NoSchedule" }]);
        assert_eq!(show(&node("True", was), true), "");
    }

    #[test]
    fn a_silent_node_is_unknown_once() {
        let at = |time: &str| Time(time.parse().unwrap());
        let first = node("True", json!([]));
        let lost = silent(&first, conditions(&first), &at("2026-01-01T00:00:00Z"));
        let names: Vec<_> = lost.iter().map(|one| (one.type_.as_str(), one.status.as_str())).collect();
        assert_eq!(names.len(), 4);
        assert!(names.iter().all(|(_, status)| *status == "Unknown"));
        assert_eq!(silent(&first, lost.clone(), &at("2026-01-01T00:01:00Z")), lost);
    }
}
