//! Keeps a StatefulSet's pods: each with its ordinal, name and claims, made and replaced in order.
//!
//! One step is planned at a time (OrderedReady), or one for every pod (Parallel); the plan is pure ([`plan`]). Claims
//! are made, never deleted: `persistentVolumeClaimRetentionPolicy: Delete` is not carried out.

mod plan;

use std::sync::Arc;

use api::{Key, Resource};
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::Regarding;
use client::{Action, Cache, Delete, Meta, Reconciler, Watch};
use k8s_openapi::api::apps::v1::{
    ControllerRevision, StatefulSet, StatefulSetOrdinals, StatefulSetStatus, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

use crate::owned::{self, Parent};
use crate::{Context, Controller, history};
use plan::{Revision, Step};

pub const CONTROLLER: Controller = Controller {
    name: "statefulset",
    account: "statefulset-controller",
    workers: 5,
    make: |context| {
        Some(Arc::new(StatefulSets {
            sets: context.cache::<StatefulSet>()?,
            pods: context.cache::<Pod>()?,
            claims: context.cache::<PersistentVolumeClaim>()?,
            revisions: context.cache::<ControllerRevision>()?,
            context,
        }))
    },
};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct View {
    pub metadata: Meta,
    pub spec: Spec,
    #[serde(default)]
    pub status: StatefulSetStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub replicas: Option<i32>,
    #[serde(default)]
    pub selector: LabelSelector,
    pub template: Value,
    #[serde(default)]
    pub volume_claim_templates: Vec<Value>,
    #[serde(default)]
    pub service_name: String,
    #[serde(default)]
    pub pod_management_policy: String,
    #[serde(default)]
    pub update_strategy: StatefulSetUpdateStrategy,
    #[serde(default)]
    pub min_ready_seconds: i32,
    pub ordinals: Option<StatefulSetOrdinals>,
    pub revision_history_limit: Option<i32>,
}

struct StatefulSets {
    sets: Arc<Cache>,
    pods: Arc<Cache>,
    claims: Arc<Cache>,
    revisions: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for StatefulSets {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::own(&self.sets),
            Watch::controlled(&self.pods, &self.sets),
            Watch::controlled(&self.revisions, &self.sets),
            owned::orphan_watch(&self.pods, &self.sets),
        ]
    }
    fn reads(&self) -> Vec<Arc<Cache>> {
        vec![self.claims.clone()]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.sets.get_key(key) else { return Ok(Action::Done) };
        let Some(set) = client::decode::<View>(&object) else { return Ok(Action::Done) };
        let parent = Parent {
            api_version: "apps/v1",
            kind: "StatefulSet",
            key,
            uid: &set.metadata.uid,
            deleting: object.deleting,
        };
        let (writer, selector) = (&self.context.writer, &set.spec.selector);
        owned::claim(writer, &self.pods, &parent, selector).await?;
        if object.deleting {
            return Ok(Action::Done);
        }
        let revisions = history::sync(
            writer,
            &self.revisions,
            &parent,
            selector,
            &set.spec.template,
            &set.metadata.annotations,
        )
        .await?;
        let (current, update) = self.revisions_of(&set, &revisions);
        let read = || {
            let all = owned::children(&self.pods, &set.metadata.uid, selector);
            all.iter().filter_map(client::decode::<Pod>).collect::<Vec<_>>()
        };
        let now = self.context.clock.now();
        let steps = plan::plan(&set, &read(), &current, &update, now);
        let mut failure = None;
        for step in steps {
            if let Err(error) = self.take(&set, &parent, step).await {
                failure = Some(error);
                break;
            }
        }
        let pods = read();
        let status = plan::status(&set, &pods, &current, &update, now);
        writer.status(&object, &set.status, &status).await?;
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        let live: Vec<String> = pods.iter().map(plan::revision).map(String::from).collect();
        let prefix = format!("{}-", key.name());
        let mut hashes: Vec<String> =
            live.iter().filter_map(|name| name.strip_prefix(&prefix)).map(String::from).collect();
        hashes.extend(current.name.strip_prefix(&prefix).map(String::from));
        let limit = set.spec.revision_history_limit.unwrap_or(10);
        history::truncate(writer, key.namespace(), &revisions, &hashes, limit).await?;
        Ok(plan::next_available(&pods, set.spec.min_ready_seconds, now).map_or(Action::Done, Action::After))
    }
}

impl StatefulSets {
    /// The revision that the set comes from and the one that it goes to.
    fn revisions_of(&self, set: &View, revisions: &history::Revisions) -> (Revision, Revision) {
        let update = Revision { name: revisions.name.clone(), template: set.spec.template.clone() };
        let wanted = set.status.current_revision.as_deref();
        let current = revisions.all.iter().find(|one| one.metadata.name.as_deref() == wanted);
        let current = current.and_then(|one| {
            let template = one.data.as_ref()?.0.pointer("/spec/template")?.clone();
            Some(Revision { name: one.metadata.name.clone()?, template })
        });
        (current.unwrap_or_else(|| update.clone()), update)
    }

    async fn take(&self, set: &View, parent: &Parent<'_>, step: Step) -> Result<(), client::writer::Error> {
        let writer = &self.context.writer;
        let namespace = parent.key.namespace();
        let regarding = Regarding::of("apps/v1", "StatefulSet", &set.metadata);
        let set_name = parent.key.name();
        match step {
            Step::Create { pod, claims } => {
                let resource = Resource::new("", "persistentvolumeclaims");
                for claim in claims {
                    let name = claim["metadata"]["name"].as_str().unwrap_or_default().to_string();
                    if self.claims.get(namespace, &name).is_some() {
                        continue;
                    }
                    match writer.create(&resource, namespace, &claim).await {
                        Err(error) if !error.already_exists() => return Err(error),
                        _ => {}
                    }
                }
                let mut pod = pod;
                pod["metadata"]["ownerReferences"] = serde_json::json!([parent.reference()]);
                let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_string();
                match writer.create(&Resource::new("", "pods"), namespace, &pod).await {
                    Ok(_) => {
                        let text = format!("create Pod {name} in StatefulSet {set_name} successful");
                        self.context.recorder.normal(&regarding, "SuccessfulCreate", text);
                        Ok(())
                    }
                    Err(error) if error.namespace_terminating() => Ok(()),
                    Err(error) => {
                        let why = error.message();
                        let text = format!("create Pod {name} in StatefulSet {set_name} failed error: {why}");
                        self.context.recorder.warning(&regarding, "FailedCreate", text);
                        Err(error)
                    }
                }
            }
            Step::Delete { name, uid } => {
                let key = Key::new(self.pods.resource(), namespace, &name);
                let options = Delete { uid: Some(&uid), ..Delete::default() };
                client::writer::gone_is_fine(writer.delete(&key, options).await)?;
                let text = format!("delete Pod {name} in StatefulSet {set_name} successful");
                self.context.recorder.normal(&regarding, "SuccessfulDelete", text);
                Ok(())
            }
        }
    }
}
