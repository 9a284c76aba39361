//! Rolls a Deployment's template out over ReplicaSets. The planning is pure and lives in [`plan`].
//!
//! Each step plans from the cache, does what is planned, and plans again, since every write shows in the cache once it
//! is answered; when nothing is left to do the status is written.

mod plan;
mod progress;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::object::Change;
use api::{Key, Object, Resource};
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::Regarding;
use client::{Action, Cache, Delete, Meta, OwnerReference, Patch, Reconciler, Watch};
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentStatus, DeploymentStrategy, ReplicaSet, ReplicaSetStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::owned::{self, Parent};
use crate::{Context, Controller, pods};
use plan::Step;
pub(crate) use plan::hash as template_hash;

pub const CONTROLLER: Controller = Controller {
    name: "deployment",
    account: "deployment-controller",
    workers: 5,
    make: |context| {
        let deployments = context.cache::<Deployment>()?;
        let (sets, pods) = (context.cache::<ReplicaSet>()?, context.cache::<Pod>()?);
        Some(Arc::new(Deployments { deployments, sets, pods, context }))
    },
};

/// A Deployment as planning reads it; the template is kept as it is written.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct View {
    pub metadata: Meta,
    pub spec: Spec,
    #[serde(default)]
    pub status: DeploymentStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub replicas: Option<i32>,
    #[serde(default)]
    pub selector: LabelSelector,
    pub template: Value,
    #[serde(default)]
    pub strategy: DeploymentStrategy,
    #[serde(default)]
    pub min_ready_seconds: i32,
    pub revision_history_limit: Option<i32>,
    #[serde(default)]
    pub paused: bool,
    pub progress_deadline_seconds: Option<i32>,
}

/// A ReplicaSet as planning reads it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Set {
    pub metadata: Meta,
    pub spec: SetSpec,
    #[serde(default)]
    pub status: ReplicaSetStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SetSpec {
    pub replicas: Option<i32>,
    #[serde(default)]
    pub min_ready_seconds: i32,
    pub template: Value,
}

struct Deployments {
    deployments: Arc<Cache>,
    sets: Arc<Cache>,
    pods: Arc<Cache>,
    context: Context,
}

/// Steps that one reconcile takes, at most: each changes the cluster, and none is ever undone by the next.
const STEPS: usize = 16;

#[async_trait]
impl Reconciler for Deployments {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }

    fn watches(&self) -> Vec<Watch> {
        let (sets, deployments) = (self.sets.clone(), self.deployments.clone());
        // Recreate waits for the last old pod to be gone, which shows in no ReplicaSet's replicas.
        let last_pod = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let (Change::Delete { object, .. } | Change::Put { object, before: Some(_) }) = change else {
                return;
            };
            let finished = || client::decode::<Pod>(object).is_some_and(|pod| pods::finished(&pod));
            if matches!(change, Change::Put { .. }) && !finished() {
                return;
            }
            let set = client::informer::controller(object).filter(|owner| owner.kind == "ReplicaSet");
            let set = set.and_then(|owner| sets.get(object.key.namespace(), &owner.name));
            let owner = set.and_then(|set| client::informer::controller(&set));
            if let Some(owner) = owner.filter(|owner| owner.kind == "Deployment") {
                add(Key::new(deployments.resource(), object.key.namespace(), &owner.name));
            }
        };
        vec![
            Watch::own(&self.deployments),
            Watch::controlled(&self.sets, &self.deployments),
            owned::orphan_watch(&self.sets, &self.deployments),
            Watch::by(&self.pods, last_pod),
        ]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let mut created = None;
        for _ in 0..STEPS {
            let Some(object) = self.deployments.get_key(key) else { return Ok(Action::Done) };
            let Some(deployment) = client::decode::<View>(&object) else { return Ok(Action::Done) };
            let parent = Parent {
                api_version: "apps/v1",
                kind: "Deployment",
                key,
                uid: &deployment.metadata.uid,
                deleting: object.deleting,
            };
            let claimed =
                owned::claim(&self.context.writer, &self.sets, &parent, &deployment.spec.selector).await?;
            let sets: Vec<Set> = claimed.iter().filter_map(client::decode).collect();
            let old_pods = || self.old_pods(&deployment, &sets);
            let step = plan::next(&deployment, &sets, object.deleting, &old_pods);
            let regarding = Regarding::of("apps/v1", "Deployment", &deployment.metadata);
            match step {
                Some(Step::Create { replicas, revision }) => {
                    created =
                        self.create(&object, &deployment, &parent, replicas, revision, &regarding).await?;
                }
                Some(step) => self.take(&object, &sets, step, &deployment, &regarding).await?,
                None => return self.finish(&object, &deployment, &sets, created.as_deref()).await,
            }
        }
        // Somebody else writes against us: start over after the others had their turn.
        Ok(Action::After(std::time::Duration::from_millis(100)))
    }
}

impl Deployments {
    /// Whether a pod of another ReplicaSet than the new one still runs or may run.
    fn old_pods(&self, deployment: &View, sets: &[Set]) -> bool {
        let new = plan::find_new(deployment, sets).map(|set| set.metadata.uid.clone());
        let old = sets.iter().filter(|set| Some(&set.metadata.uid) != new.as_ref());
        let uids = old.map(|set| api::Uid(set.metadata.uid.as_str().into()));
        let pods = uids.flat_map(|uid| self.pods.by_owner(&uid));
        let mut running =
            pods.filter_map(|pod| client::decode::<Pod>(&pod)).filter(|pod| !pods::finished(pod));
        running.next().is_some()
    }

    async fn create(
        &self,
        object: &Arc<Object>,
        deployment: &View,
        parent: &Parent<'_>,
        replicas: i32,
        revision: i64,
        regarding: &Regarding,
    ) -> Result<Option<String>, Error> {
        let body = plan::new_set(deployment, parent.reference(), replicas, revision);
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_string();
        let resource = Resource::new("apps", "replicasets");
        let namespace = object.key.namespace();
        match self.context.writer.create(&resource, namespace, &body).await {
            Ok(_) => {
                if replicas > 0 {
                    let text = format!("Scaled up replica set {name} from 0 to {replicas}");
                    self.context.recorder.normal(regarding, "ScalingReplicaSet", text);
                }
                Ok(Some(name))
            }
            Err(error) if error.already_exists() => {
                self.collided(object, deployment, parent, &name).await?;
                Ok(None)
            }
            Err(error) if error.namespace_terminating() => Ok(None),
            Err(error) => {
                let text = format!("Failed to create new replica set {name:?}: {}", error.message());
                self.context.recorder.warning(regarding, "ReplicaSetCreateError", text.clone());
                let mut status = deployment.status.clone();
                if progress::has_deadline(deployment) {
                    let now = self.context.now();
                    let condition =
                        progress::condition("Progressing", "False", "ReplicaSetCreateError", text, &now);
                    progress::set(&mut status, condition);
                }
                self.context.writer.status(object, &deployment.status, &status).await?;
                Err(error.into())
            }
        }
    }

    /// The name is taken. By our own set with the same template: fine, it only was not seen yet. By another: count the
    /// collision, which changes the hash.
    async fn collided(
        &self,
        object: &Arc<Object>,
        deployment: &View,
        parent: &Parent<'_>,
        name: &str,
    ) -> Result<(), Error> {
        if let Some(set) = self.sets.get(object.key.namespace(), name) {
            let mine = client::informer::controller(&set).is_some_and(|owner| owner.uid == parent.uid);
            let same = client::decode::<Set>(&set)
                .is_some_and(|set| plan::same_template(&deployment.spec.template, &set.spec.template));
            if mine && same {
                return Ok(());
            }
        }
        let mut status = deployment.status.clone();
        status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        self.context.writer.status(object, &deployment.status, &status).await?;
        Ok(())
    }

    async fn take(
        &self,
        object: &Arc<Object>,
        sets: &[Set],
        step: Step,
        deployment: &View,
        regarding: &Regarding,
    ) -> Result<(), Error> {
        let writer = &self.context.writer;
        let set = |name: &str| Key::new(self.sets.resource(), object.key.namespace(), name);
        let version = |name: &str| {
            let found = sets.iter().find(|set| set.metadata.name == name);
            found.map(|set| set.metadata.resource_version.clone()).unwrap_or_default()
        };
        match step {
            // The caller creates: it must remember that it did.
            Step::Create { .. } => Ok(()),
            Step::Annotate { name, annotations, min_ready_seconds } => {
                let body = json!({
                    "metadata": { "resourceVersion": version(&name), "annotations": annotations },
                    "spec": { "minReadySeconds": min_ready_seconds },
                });
                Ok(writer.patch(&set(&name), "", Patch::Merge(&body)).await.map(drop)?)
            }
            Step::Revision(revision) => {
                // Through status, which for Deployments takes annotations: so it makes no new generation.
                let body = json!({ "metadata": { "annotations": { plan::REVISION: revision } } });
                Ok(writer.update(object, "status", &body).await.map(drop)?)
            }
            Step::Scale { name, from, to } => {
                let body = json!({
                    "metadata": {
                        "resourceVersion": version(&name),
                        "annotations": plan::size_annotations(deployment),
                    },
                    "spec": { "replicas": to },
                });
                writer.patch(&set(&name), "", Patch::Merge(&body)).await?;
                if from != to {
                    let way = if to > from { "up" } else { "down" };
                    let text = format!("Scaled {way} replica set {name} from {from} to {to}");
                    self.context.recorder.normal(regarding, "ScalingReplicaSet", text);
                }
                Ok(())
            }
            Step::Forget { name, uid } => {
                let options = Delete { uid: Some(&uid), ..Delete::default() };
                Ok(client::writer::gone_is_fine(writer.delete(&set(&name), options).await)?)
            }
        }
    }

    async fn finish(
        &self,
        object: &Arc<Object>,
        deployment: &View,
        sets: &[Set],
        created: Option<&str>,
    ) -> Result<Action, Error> {
        let now = self.context.now();
        let status = progress::status(deployment, sets, created, &now);
        self.context.writer.status(object, &deployment.status, &status).await?;
        Ok(match progress::next_look(deployment, &status, &now) {
            Some(delay) => Action::After(delay),
            None => Action::Done,
        })
    }
}

impl Set {
    pub(crate) fn name(&self) -> &str {
        &self.metadata.name
    }
    pub(crate) fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }
    pub(crate) fn available(&self) -> i32 {
        self.status.available_replicas.unwrap_or(0)
    }
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.get(name).map(String::as_str)
    }
}

impl View {
    pub(crate) fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }
    pub(crate) fn rolling(&self) -> bool {
        self.spec.strategy.type_.as_deref() != Some("Recreate")
    }
}

/// Named here for [`plan::new_set`].
pub(crate) type Reference = OwnerReference;
