//! Runs Jobs to completion, plain and indexed, and counts each finished pod exactly once.
//!
//! A finished pod is noted by uid in the status before its finalizer goes, and counted after (KEP-2307), so that a
//! crash between any two writes neither loses nor doubles it. Not here: ttlSecondsAfterFinished.

mod plan;
mod policy;
pub use plan::finished;

use std::sync::Arc;

use api::{Key, Object};
use async_trait::async_trait;
use client::labels::Labels;
use client::reconcile::Error;
use client::recorder::Regarding;
use client::{Action, Cache, Meta, Patch, Reconciler, Watch};
use k8s_openapi::api::batch::v1::{Job, JobStatus, PodFailurePolicy, SuccessPolicy};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::owned::{self, Parent};
use crate::pod_control::PodControl;
use crate::{Context, Controller};
use plan::FINALIZER;

pub const CONTROLLER: Controller = Controller {
    name: "job",
    account: "job-controller",
    workers: 5,
    make: |context| {
        let (jobs, pods) = (context.cache::<Job>()?, context.cache::<Pod>()?);
        Some(Arc::new(Jobs { jobs, pods, context }))
    },
};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct View {
    pub metadata: Meta,
    pub spec: Spec,
    #[serde(default)]
    pub status: JobStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub parallelism: Option<i32>,
    pub completions: Option<i32>,
    pub active_deadline_seconds: Option<i64>,
    pub backoff_limit: Option<i32>,
    pub selector: Option<LabelSelector>,
    pub completion_mode: Option<String>,
    #[serde(default)]
    pub suspend: bool,
    pub template: Value,
    pub managed_by: Option<String>,
    pub pod_failure_policy: Option<PodFailurePolicy>,
    pub pod_replacement_policy: Option<String>,
    pub backoff_limit_per_index: Option<i32>,
    pub max_failed_indexes: Option<i32>,
    pub success_policy: Option<SuccessPolicy>,
}

const JOB_NAME: &str = "batch.kubernetes.io/job-name";

struct Jobs {
    jobs: Arc<Cache>,
    pods: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Jobs {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::own(&self.jobs),
            Watch::controlled(&self.pods, &self.jobs),
            owned::orphan_watch(&self.pods, &self.jobs),
            self.named(),
        ]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let found = self.read(key);
        self.release_orphans(key, found.as_ref().map(|(_, job)| job.metadata.uid.as_str())).await?;
        let Some((object, job)) = found else { return Ok(Action::Done) };
        let other = job.spec.managed_by.as_deref().is_some_and(|by| by != "kubernetes.io/job-controller");
        if other {
            return Ok(Action::Done);
        }
        let parent = Parent {
            api_version: "batch/v1",
            kind: "Job",
            key,
            uid: &job.metadata.uid,
            deleting: object.deleting,
        };
        // Without a selector nothing is adopted: an empty one would select every pod of the namespace.
        if let Some(selector) = &job.spec.selector {
            owned::claim(&self.context.writer, &self.pods, &parent, selector).await?;
        }
        let pods = self.owned(&job);
        if plan::finished(&job.status).is_some() || object.deleting {
            self.release(&pods).await?;
            return Ok(Action::Done);
        }
        // First what finished is noted, then released, then counted.
        let noted = plan::note(&job, &pods);
        self.context.writer.status(&object, &job.status, &noted).await?;
        let released = plan::to_release(&job, &noted, &pods);
        self.release(&released).await?;

        let Some((_, job)) = self.read(key) else { return Ok(Action::Done) };
        let (pods, now) = (self.owned(&job), self.context.now());
        let planned = plan::plan(&job, &pods, &now);
        let failure = self.carry_out(&job, &parent, &planned, pods).await.err();
        let Some((object, job)) = self.read(key) else { return Ok(Action::Done) };
        let status = plan::status(&job, &self.owned(&job), &now);
        if self.context.writer.status(&object, &job.status, &status).await? {
            self.tell(&job, &status);
        }
        match failure {
            Some(failure) => Err(failure.into()),
            None => Ok(planned.again.map_or(Action::Done, Action::After)),
        }
    }
}

impl Jobs {
    fn read(&self, key: &Key) -> Option<(Arc<Object>, View)> {
        let object = self.jobs.get_key(key)?;
        let job = client::decode::<View>(&object)?;
        Some((object, job))
    }

    fn owned(&self, job: &View) -> Vec<Pod> {
        let uid = api::Uid(job.metadata.uid.as_str().into());
        let all = self.pods.by_owner(&uid);
        let mine =
            all.iter().filter(|pod| pod.owners.iter().any(|owner| owner.controller && owner.uid == uid));
        mine.filter_map(client::decode).collect()
    }

    /// Pods of a Job by the name in their label: it is all that leads from a pod to a Job that is gone.
    fn named(&self) -> Watch {
        let jobs = self.jobs.resource().clone();
        Watch::by(&self.pods, move |change, add| {
            let pod = change.object();
            if let Some(name) = Labels::label(&**pod, JOB_NAME) {
                add(Key::new(&jobs, pod.key.namespace(), name));
            }
        })
    }

    /// Lets go of pods whose Job of this name is gone, or is another by now: nobody counts them any more.
    async fn release_orphans(&self, key: &Key, uid: Option<&str>) -> Result<(), client::writer::Error> {
        let snapshot = self.pods.snapshot();
        let named = snapshot
            .range(key.namespace(), None)
            .filter(|pod| Labels::label(&***pod, JOB_NAME) == Some(key.name()));
        let orphaned = |pod: &Pod| {
            let mut owners = pod.metadata.owner_references.iter().flatten();
            let owner = owners.find(|owner| owner.controller == Some(true));
            owner.is_some_and(|owner| owner.kind == "Job" && Some(owner.uid.as_str()) != uid)
        };
        let pods: Vec<Pod> = named.filter_map(client::decode).filter(orphaned).collect();
        drop(snapshot);
        self.release(&pods).await
    }

    fn key(&self, pod: &Pod) -> Key {
        let metadata = &pod.metadata;
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Key::new(self.pods.resource(), &text(&metadata.namespace), &text(&metadata.name))
    }

    /// Takes the finalizer off pods, so that they may go.
    async fn release(&self, pods: &[Pod]) -> Result<(), client::writer::Error> {
        for pod in pods.iter().filter(|pod| plan::tracked(pod)) {
            let body = json!({ "metadata": {
                "uid": pod.metadata.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER] } });
            let patched = self.context.writer.patch(&self.key(pod), "", Patch::Strategic(&body)).await;
            client::writer::gone_is_fine(patched)?;
        }
        Ok(())
    }

    async fn carry_out(
        &self,
        job: &View,
        parent: &Parent<'_>,
        plan: &plan::Plan,
        pods: Vec<Pod>,
    ) -> Result<(), client::writer::Error> {
        let regarding = Regarding::of("batch/v1", "Job", &job.metadata);
        let control = PodControl { context: &self.context, namespace: parent.key.namespace(), regarding };
        for (name, uid) in &plan.delete {
            control.delete(name, uid).await?;
        }
        for index in &plan.create {
            let mut pod = plan::pod(job, *index, &pods);
            pod["metadata"]["ownerReferences"] = json!([parent.reference()]);
            control.create(&pod).await?;
        }
        Ok(())
    }

    fn tell(&self, job: &View, status: &JobStatus) {
        let regarding = Regarding::of("batch/v1", "Job", &job.metadata);
        match plan::finished(status) {
            Some(end) if end.type_ == "Complete" => {
                self.context.recorder.normal(&regarding, "Completed", "Job completed");
            }
            Some(end) => {
                let (reason, message) = (end.reason.clone(), end.message.clone());
                let (reason, message) = (reason.unwrap_or_default(), message.unwrap_or_default());
                self.context.recorder.warning(&regarding, &reason, message);
            }
            None => {}
        }
    }
}
