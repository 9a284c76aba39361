//! Keeps as many pods as a ReplicaSet, or a ReplicationController, asks for. One reconciler serves both kinds.
//!
//! Pods are created in batches that double while they succeed, so that a thousand pods that a quota refuses cost one
//! request and one event. The pod's spec is the template's JSON, untouched: fields unknown here survive.

use std::sync::Arc;
use std::time::Duration;

use api::{Key, Object};
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::Regarding;
use client::{Action, Cache, Meta, Reconciler, Watch, labels};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::context::whole;
use crate::owned::{self, Parent};
use crate::pod_control::PodControl;
use crate::{Context, Controller, pods};

pub const CONTROLLER: Controller = Controller {
    name: "replicaset",
    account: "replicaset-controller",
    workers: 5,
    make: |context| {
        let (sets, pods) = (context.cache::<ReplicaSet>()?, context.cache::<Pod>()?);
        Some(Arc::new(Sets { name: CONTROLLER.name, sets, pods, context }))
    },
};

pub const REPLICATION: Controller = Controller {
    name: "replicationcontroller",
    account: "replication-controller",
    workers: 5,
    make: |context| {
        let (sets, pods) = (context.cache::<ReplicationController>()?, context.cache::<Pod>()?);
        Some(Arc::new(Sets { name: REPLICATION.name, sets, pods, context }))
    },
};

/// Pods that one reconcile creates or deletes, at most.
const BURST: usize = 500;

struct Sets {
    name: &'static str,
    sets: Arc<Cache>,
    pods: Arc<Cache>,
    context: Context,
}

/// What both kinds have.
#[derive(Deserialize)]
struct Set {
    metadata: Meta,
    spec: Spec,
    #[serde(default)]
    status: ReplicaSetStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    replicas: Option<i32>,
    #[serde(default)]
    min_ready_seconds: i32,
    #[serde(default)]
    selector: Value,
    template: Option<Template>,
}

/// A pod template whose spec is kept as it is written.
#[derive(Clone, Debug, Deserialize)]
pub struct Template {
    #[serde(default)]
    pub metadata: Meta,
    pub spec: Value,
}

impl Set {
    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// A ReplicationController's selector is only labels, and by default those of its template.
    fn selector(&self, kind: &str) -> LabelSelector {
        if kind == "ReplicaSet" {
            return serde_json::from_value(self.spec.selector.clone()).unwrap_or_default();
        }
        let labels = serde_json::from_value(self.spec.selector.clone()).ok();
        let template = self.spec.template.as_ref().map(|template| template.metadata.labels.clone());
        LabelSelector { match_labels: labels.or(template), match_expressions: None }
    }
}

#[async_trait]
impl Reconciler for Sets {
    fn name(&self) -> &'static str {
        self.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::own(&self.sets),
            Watch::controlled(&self.pods, &self.sets),
            owned::orphan_watch(&self.pods, &self.sets),
        ]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.sets.get_key(key) else { return Ok(Action::Done) };
        let Some(set) = client::decode::<Set>(&object) else { return Ok(Action::Done) };
        let about = self.sets.about();
        let selector = set.selector(&about.kind);
        let (api_version, uid) = (about.api_version(), set.metadata.uid.clone());
        let parent = Parent {
            api_version: &api_version,
            kind: &about.kind,
            key,
            uid: &uid,
            deleting: object.deleting,
        };
        let claimed = owned::claim(&self.context.writer, &self.pods, &parent, &selector).await?;
        let mut pods: Vec<Pod> = claimed.iter().filter_map(client::decode).collect();
        let mut failure = None;
        let active = pods.iter().filter(|pod| pods::active(pod)).count();
        let diff = i64::try_from(active)? - i64::from(set.replicas());
        if !object.deleting && diff != 0 {
            failure = self.scale(&set, &parent, &pods, diff).await.err();
            // Writes are in the cache once they are answered: the status tells of them at once.
            let after = owned::children(&self.pods, &uid, &selector);
            pods = after.iter().filter_map(client::decode).collect();
        }
        let now = self.context.clock.now();
        let status = status(&set, &pods, failure.as_ref().map(|failure| (failure, diff)), now);
        self.write_status(&object, &set, status).await?;
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        Ok(match next_available(&pods, set.spec.min_ready_seconds, now) {
            Some(delay) => Action::After(delay),
            None => Action::Done,
        })
    }
}

impl Sets {
    async fn write_status(
        &self,
        object: &Arc<Object>,
        set: &Set,
        mut new: ReplicaSetStatus,
    ) -> Result<(), Error> {
        if self.sets.about().kind != "ReplicaSet" {
            new.terminating_replicas = None;
        }
        // A new generation alone is worth a write, or `kubectl rollout status` would wait for ever.
        new.observed_generation = Some(set.metadata.generation);
        Ok(self.context.writer.status(object, &set.status, &new).await.map(drop)?)
    }

    /// Creates (`diff` negative) or deletes pods.
    async fn scale(
        &self,
        set: &Set,
        parent: &Parent<'_>,
        pods: &[Pod],
        diff: i64,
    ) -> Result<(), client::writer::Error> {
        let count = usize::try_from(diff.unsigned_abs()).unwrap_or(BURST).min(BURST);
        let regarding = Regarding::of(parent.api_version, parent.kind, &set.metadata);
        let control = PodControl { context: &self.context, namespace: parent.key.namespace(), regarding };
        if diff < 0 {
            let Some(template) = &set.spec.template else { return Ok(()) };
            return create(&control, count, &pod(template, parent)).await;
        }
        let related = self.related(set, parent);
        let mut doomed: Vec<Pod> = pods.iter().filter(|pod| pods::active(pod)).cloned().collect();
        pods::sort_for_deletion(&mut doomed, &related, self.context.clock.now());
        doomed.truncate(count);
        let deletes = doomed.iter().map(|pod| {
            let text = |field: &'_ Option<String>| field.clone().unwrap_or_default();
            let (name, uid) = (text(&pod.metadata.name), text(&pod.metadata.uid));
            let control = &control;
            async move { control.delete(&name, &uid).await }
        });
        futures_util::future::join_all(deletes).await.into_iter().collect()
    }

    /// The pods of every set with the same controller, which crowd the same nodes: a rollout's old and new ones.
    fn related(&self, set: &Set, parent: &Parent<'_>) -> Vec<Pod> {
        let owner = set.metadata.owner_references.iter().find(|owner| owner.controller == Some(true));
        let siblings = match owner {
            Some(owner) => self.sets.by_owner(&api::Uid(owner.uid.clone())),
            None => self.sets.get_key(parent.key).into_iter().collect(),
        };
        let pods = siblings.iter().flat_map(|sibling| self.pods.by_owner(&sibling.uid));
        pods.filter_map(|pod| client::decode(&pod)).collect()
    }
}

/// Creates pods in batches that double while they succeed.
async fn create(control: &PodControl<'_>, count: usize, body: &Value) -> Result<(), client::writer::Error> {
    let (mut left, mut batch) = (count, 1);
    while left > 0 {
        let size = batch.min(left);
        let results = futures_util::future::join_all((0..size).map(|_| control.create(body))).await;
        results.into_iter().collect::<Result<(), _>>()?;
        left -= size;
        batch *= 2;
    }
    Ok(())
}

/// The pod that `template` asks for. Its name is the set's with five characters that the server draws.
fn pod(template: &Template, parent: &Parent<'_>) -> Value {
    let mut metadata = json!({
        "generateName": format!("{}-", parent.key.name()),
        "labels": template.metadata.labels,
        "ownerReferences": [parent.reference()],
    });
    if !template.metadata.annotations.is_empty() {
        metadata["annotations"] = json!(template.metadata.annotations);
    }
    if !template.metadata.finalizers.is_empty() {
        metadata["finalizers"] = json!(template.metadata.finalizers);
    }
    json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": template.spec })
}

fn status(
    set: &Set,
    pods: &[Pod],
    failure: Option<(&client::writer::Error, i64)>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let template = set.spec.template.as_ref();
    let count = |passes: &dyn Fn(&Pod) -> bool| {
        let passing = pods.iter().filter(|pod| pods::active(pod) && passes(pod)).count();
        i32::try_from(passing).unwrap_or(i32::MAX)
    };
    let full = |pod: &Pod| {
        let wanted = template.iter().flat_map(|template| &template.metadata.labels);
        labels::contains(&pod.metadata.labels, wanted)
    };
    let minimum = set.spec.min_ready_seconds;
    let terminating = pods.iter().filter(|pod| pods::terminating(pod) && !pods::finished(pod)).count();
    let mut conditions = set.status.conditions.clone().unwrap_or_default();
    let failed = |condition: &ReplicaSetCondition| condition.type_ == "ReplicaFailure";
    match failure {
        None => conditions.retain(|condition| !failed(condition)),
        Some(_) if conditions.iter().any(failed) => {}
        Some((error, diff)) => conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".into(),
            status: "True".into(),
            reason: Some(if diff < 0 { "FailedCreate" } else { "FailedDelete" }.into()),
            message: Some(error.message()),
            last_transition_time: Some(whole(now)),
        }),
    }
    // Upstream's Go leaves zeros out of its JSON; written here they would be a difference for ever.
    let some = |number: i32| (number != 0).then_some(number);
    ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: some(count(&full)),
        ready_replicas: some(count(&pods::ready)),
        available_replicas: some(count(&|pod| pods::available(pod, minimum, now))),
        terminating_replicas: Some(i32::try_from(terminating).unwrap_or(i32::MAX)),
        observed_generation: set.status.observed_generation,
        conditions: (!conditions.is_empty()).then_some(conditions),
    }
}

/// When the first of the ready pods that are not available yet will be.
fn next_available(pods: &[Pod], minimum: i32, now: Timestamp) -> Option<Duration> {
    let active = pods.iter().filter(|pod| pods::active(pod));
    active.filter_map(|pod| pods::until_available(pod, minimum, now)).filter(|left| !left.is_zero()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Set {
        serde_json::from_value(json!({
            "metadata": { "name": "web", "namespace": "ns", "uid": "u", "generation": 2 },
            "spec": {
                "replicas": 3, "minReadySeconds": 10, "selector": { "matchLabels": { "app": "web" } },
                "template": {
                    "metadata": { "labels": { "app": "web", "tier": "front" }, "annotations": { "a": "b" } },
                    "spec": { "containers": [{ "name": "c", "fieldOfTomorrow": 7 }] },
                },
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_the_template_with_an_owner() {
        let key: Key = "apps/replicasets/ns/web".parse().unwrap();
        let parent =
            Parent { api_version: "apps/v1", kind: "ReplicaSet", key: &key, uid: "u", deleting: false };
        let made = pod(set().spec.template.as_ref().unwrap(), &parent);
        let expected = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {
                "generateName": "web-", "labels": { "app": "web", "tier": "front" }, "annotations": { "a": "b" },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u",
                    "controller": true, "blockOwnerDeletion": true,
                }],
            },
            "spec": { "containers": [{ "name": "c", "fieldOfTomorrow": 7 }] },
        });
        assert_eq!(made, expected);
    }

    #[test]
    fn the_status_counts_active_pods() {
        let pod = |labels: Value, phase: &str, ready: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": { "labels": labels },
                "status": { "phase": phase, "conditions": [
                    { "type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z" } ] },
            }))
            .unwrap()
        };
        let full = json!({ "app": "web", "tier": "front" });
        let pods = [
            pod(full.clone(), "Running", "True"),
            pod(json!({ "app": "web" }), "Running", "False"),
            pod(full, "Failed", "False"),
        ];
        let at = |time: &str| {
            let now = time.parse().unwrap();
            let status = status(&set(), &pods, None, now);
            let wait = next_available(&pods, 10, now).map(|wait| wait.as_secs());
            (
                status.replicas,
                status.fully_labeled_replicas,
                status.ready_replicas,
                status.available_replicas,
                wait,
            )
        };
        assert_eq!(at("2026-01-01T00:00:04Z"), (2, Some(1), Some(1), None, Some(6)));
        assert_eq!(at("2026-01-01T00:00:10Z"), (2, Some(1), Some(1), Some(1), None));
    }
}
