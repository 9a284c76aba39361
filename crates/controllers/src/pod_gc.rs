//! Removes pods that nobody else will: those of nodes that are gone, those deleted before they had a node, and the
//! oldest finished ones beyond a limit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::object::Change;
use api::{Key, Object, Uid};
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::second;
use client::{Action, Cache, Delete, Patch, Reconciler, Watch};
use k8s_openapi::api::core::v1::{Node, Pod};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

use crate::{Context, Controller, pods};

pub const CONTROLLER: Controller = Controller {
    name: "pod-garbage-collector",
    account: "pod-garbage-collector",
    workers: 2,
    make: |context| {
        let (pods, nodes) = (context.cache::<Pod>()?, context.cache::<Node>()?);
        Some(Arc::new(Collector { pods, nodes, context, quarantine: Mutex::default() }))
    },
};

/// How long a node may be gone before its pods are: it may only be registering anew.
const QUARANTINE: Duration = Duration::from_secs(40);
/// Finished pods that are kept, upstream's default.
const FINISHED: usize = 12_500;

struct Collector {
    pods: Arc<Cache>,
    nodes: Arc<Cache>,
    context: Context,
    /// Since when pods were seen without their node.
    quarantine: Mutex<HashMap<Uid, Instant>>,
}

#[async_trait]
impl Reconciler for Collector {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }

    fn watches(&self) -> Vec<Watch> {
        let (pods, nodes) = (self.pods.clone(), self.nodes.clone());
        let candidates = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let Change::Put { object, before } = change else { return };
            let node = pods.field(object, "spec.nodeName");
            let lost = !node.is_empty() && before.is_none() && nodes.get("", node).is_none();
            let finished =
                |object: &Object| matches!(pods.field(object, "status.phase"), "Succeeded" | "Failed");
            let over = finished(object) && !before.as_ref().is_some_and(|before| finished(before));
            if lost || (object.deleting && node.is_empty()) {
                add(object.key.clone());
            }
            if over && let Some(oldest) = oldest_beyond_limit(&pods) {
                add(oldest);
            }
        };
        let pods = self.pods.clone();
        let left_behind = move |change: &Change, add: &mut dyn FnMut(Key)| {
            if let Change::Delete { object, .. } = change {
                let left = pods.by_field("spec.nodeName", object.key.name());
                left.iter().for_each(|pod| add(pod.key.clone()));
            }
        };
        vec![Watch::by(&self.pods, candidates), Watch::by(&self.nodes, left_behind)]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.pods.get_key(key) else { return Ok(Action::Done) };
        let Some(pod) = client::decode::<Pod>(&object) else { return Ok(Action::Done) };
        let node = pods::node(&pod);
        let too_many = || pods::finished(&pod) && oldest_beyond_limit(&self.pods).as_ref() == Some(key);
        if (node.is_empty() && object.deleting) || too_many() {
            self.delete(&object, &pod, None).await?;
            return Ok(Action::Done);
        }
        if node.is_empty() || self.nodes.get("", node).is_some() {
            self.released(&object);
            return Ok(Action::Done);
        }
        // The first look starts the quarantine; a pod that is looked at again after it goes.
        let seen = self.quarantined(&object);
        match QUARANTINE.checked_sub(seen) {
            Some(left) if !left.is_zero() => Ok(Action::After(left)),
            _ => {
                let node_key = Key::new(self.nodes.resource(), "", node);
                if self.context.writer.get(&node_key).await?.is_none() {
                    let why = ("DeletionByPodGC", "PodGC: node no longer exists");
                    self.delete(&object, &pod, Some(why)).await?;
                }
                self.released(&object);
                Ok(Action::Done)
            }
        }
    }
}

fn oldest_beyond_limit(pods: &Cache) -> Option<Key> {
    let snapshot = pods.snapshot();
    if snapshot.len() <= FINISHED {
        return None;
    }
    let finished: Vec<&Arc<Object>> = snapshot
        .iter()
        .filter(|pod| matches!(pods.field(pod, "status.phase"), "Succeeded" | "Failed"))
        .collect();
    let oldest = finished.iter().min_by_key(|pod| pod.revision)?;
    (finished.len() > FINISHED).then(|| oldest.key.clone())
}

impl Collector {
    fn quarantined(&self, object: &Object) -> Duration {
        let now = Instant::now();
        now - *self.quarantine.lock().entry(object.uid.clone()).or_insert(now)
    }
    fn released(&self, object: &Object) {
        self.quarantine.lock().remove(&object.uid);
    }

    /// Says why in the pod's conditions, calls it failed if it was not finished, and takes it away without grace.
    async fn delete(
        &self,
        object: &Object,
        pod: &Pod,
        why: Option<(&str, &str)>,
    ) -> Result<(), client::writer::Error> {
        let writer = &self.context.writer;
        if !pods::finished(pod) {
            let mut status = json!({ "phase": "Failed" });
            if let Some((reason, message)) = why {
                status["conditions"] = json!([{
                    "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
                    "lastTransitionTime": second(self.context.clock.now()),
                }]);
            }
            let body = json!({ "metadata": { "uid": object.uid.0 }, "status": status });
            let patched = writer.patch(&object.key, "status", Patch::Strategic(&body)).await;
            client::writer::gone_is_fine(patched)?;
        }
        let options = Delete { uid: Some(&object.uid.0), grace: Some(0), ..Delete::default() };
        client::writer::gone_is_fine(writer.delete(&object.key, options).await)
    }
}
