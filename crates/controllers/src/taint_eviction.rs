//! Deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer.
//!
//! The time that a pod is tolerated runs from when the taint was added, which the taint says; so a restart does not
//! begin it anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::Key;
use api::object::Change;
use async_trait::async_trait;
use client::placement::covers;
use client::reconcile::Error;
use client::recorder::{Regarding, second};
use client::{Action, Cache, Delete, Patch, Reconciler, Watch};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use parking_lot::RwLock;
use serde_json::json;

use crate::{Context, Controller, pods};

pub const CONTROLLER: Controller = Controller {
    name: "taint-eviction",
    account: "node-controller",
    workers: 4,
    make: |context| {
        let (pods, nodes) = (context.cache::<Pod>()?, context.cache::<Node>()?);
        Some(Arc::new(Eviction { pods, nodes, tainted: Arc::default(), context }))
    },
};

struct Eviction {
    pods: Arc<Cache>,
    nodes: Arc<Cache>,
    /// NoExecute taints by node; nodes without any are not there.
    tainted: Arc<RwLock<HashMap<String, Vec<Taint>>>>,
    context: Context,
}

#[async_trait]
impl Reconciler for Eviction {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }

    fn watches(&self) -> Vec<Watch> {
        let (tainted, pods) = (self.tainted.clone(), self.pods.clone());
        let of_node = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let name = change.object().key.name();
            let gone = matches!(change, Change::Delete { .. });
            let node = (!gone).then(|| client::decode::<Node>(change.object())).flatten();
            let mut taints = node.and_then(|node| node.spec).and_then(|spec| spec.taints).unwrap_or_default();
            taints.retain(|taint| taint.effect == "NoExecute");
            let before = match taints.is_empty() {
                true => tainted.write().remove(name),
                false => tainted.write().insert(name.into(), taints.clone()),
            };
            if before.unwrap_or_default() != taints {
                pods.by_field("spec.nodeName", name).iter().for_each(|pod| add(pod.key.clone()));
            }
        };
        let (tainted, pods) = (self.tainted.clone(), self.pods.clone());
        let own = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let node = pods.field(change.object(), "spec.nodeName");
            if !node.is_empty() && tainted.read().contains_key(node) {
                add(change.object().key.clone());
            }
        };
        vec![Watch::by(&self.nodes, of_node), Watch::by(&self.pods, own)]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.pods.get_key(key).filter(|pod| !pod.deleting) else {
            return Ok(Action::Done);
        };
        let Some(pod) = client::decode::<Pod>(&object) else { return Ok(Action::Done) };
        let taints = self.tainted.read().get(pods::node(&pod)).cloned().unwrap_or_default();
        let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or(&[]);
        let left = match tolerated(&taints, tolerations, self.context.clock.now()) {
            None => return Ok(Action::Done),
            Some(left) => left,
        };
        if !left.is_zero() {
            return Ok(Action::After(left));
        }
        let text = format!("Marking for deletion Pod {}/{}", key.namespace(), key.name());
        self.context.recorder.normal(&Regarding::typed(&pod), "TaintManagerEviction", text);
        let body = json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": second(self.context.clock.now()),
        }] } });
        let told = self.context.writer.patch(key, "status", Patch::Strategic(&body)).await;
        client::writer::gone_is_fine(told)?;
        let options = Delete { uid: pod.metadata.uid.as_deref(), ..Delete::default() };
        client::writer::gone_is_fine(self.context.writer.delete(key, options).await)?;
        Ok(Action::Done)
    }
}

/// How long the pod may stay: `None` for ever, zero not at all.
fn tolerated(taints: &[Taint], tolerations: &[Toleration], now: Timestamp) -> Option<Duration> {
    let mut least: Option<Duration> = None;
    for taint in taints {
        let matching: Vec<&Toleration> = tolerations.iter().filter(|one| covers(one, taint)).collect();
        if matching.is_empty() {
            return Some(Duration::ZERO);
        }
        let Some(seconds) = matching.iter().filter_map(|one| one.toleration_seconds).min() else { continue };
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let until = since.checked_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(Timestamp::MAX);
        let left = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
        least = Some(least.map_or(left, |other| other.min(left)));
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_ends() {
        let taints: Vec<Taint> = serde_json::from_value(json!([
            { "key": "k", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z" } ]))
        .unwrap();
        let check = |tolerations: serde_json::Value, now: &str| {
            let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).unwrap();
            tolerated(&taints, &tolerations, now.parse().unwrap()).map(|left| left.as_secs())
        };
        let some = |seconds: i64| json!([{ "key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds }]);
        assert_eq!(check(json!([]), "2026-01-01T00:00:00Z"), Some(0));
        assert_eq!(check(json!([{ "operator": "Exists" }]), "2026-01-01T00:00:00Z"), None);
        assert_eq!(check(some(300), "2026-01-01T00:01:00Z"), Some(240));
        assert_eq!(check(some(300), "2026-01-01T01:00:00Z"), Some(0));
        assert_eq!(check(some(-1), "2026-01-01T00:00:00Z"), Some(0));
    }
}
