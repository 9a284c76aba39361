//! Makes Jobs when a CronJob's schedule says so, keeps the list of those that run, and removes old ones
//! (pkg/controller/cronjob of upstream).
//!
//! A Job's name is the minute that it was due in, so a crash between the Job and the status never makes it twice. What
//! was missed while nobody looked (a box that was off for weeks) starts once, not once a missed minute.

mod plan;

use std::sync::Arc;
use std::time::Duration;

use api::cron::Schedule;
use api::{Key, Object, Resource};
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::Regarding;
use client::{Action, Cache, Delete, Meta, OwnerReference, Propagation, Reconciler, Watch};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde_json::Value;

use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "cronjob",
    account: "cronjob-controller",
    workers: 5,
    make: |context| {
        let (crons, jobs) = (context.cache::<CronJob>()?, context.cache::<Job>()?);
        Some(Arc::new(Crons { crons, jobs, context }))
    },
};

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct View {
    pub metadata: Meta,
    pub spec: Spec,
    #[serde(default)]
    pub status: CronJobStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub schedule: String,
    pub time_zone: Option<String>,
    pub starting_deadline_seconds: Option<i64>,
    #[serde(default)]
    pub concurrency_policy: String,
    #[serde(default)]
    pub suspend: bool,
    pub job_template: Value,
    pub successful_jobs_history_limit: Option<i32>,
    pub failed_jobs_history_limit: Option<i32>,
}

/// Time given to clocks that are a little apart, as upstream does.
const SKEW: Duration = Duration::from_millis(100);

struct Crons {
    crons: Arc<Cache>,
    jobs: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Crons {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.crons), Watch::controlled(&self.jobs, &self.crons)]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.crons.get_key(key) else { return Ok(Action::Done) };
        let Some(cron) = client::decode::<View>(&object) else { return Ok(Action::Done) };
        let regarding = Regarding::of("batch/v1", "CronJob", &cron.metadata);
        let mut jobs = self.owned(&cron);
        self.remove_old(&cron, &mut jobs, &regarding).await;

        let mut status = cron.status.clone();
        for (reason, severity, text) in plan::follow(&mut status, &jobs) {
            self.context.recorder.record(&regarding, severity, reason, reason, text);
        }
        let started = self.start(&object, &cron, &mut status, &regarding).await;
        self.context.writer.status(&object, &cron.status, &status).await?;
        Ok(started?.map_or(Action::Done, Action::After))
    }
}

impl Crons {
    fn owned(&self, cron: &View) -> Vec<Job> {
        let uid = api::Uid(cron.metadata.uid.as_str().into());
        let all = self.jobs.by_owner(&uid);
        let mine = all.iter().filter(|job| job.owners.iter().any(|one| one.controller && one.uid == uid));
        mine.filter_map(client::decode).collect()
    }

    async fn remove_old(&self, cron: &View, jobs: &mut Vec<Job>, regarding: &Regarding) {
        for name in plan::too_many(&cron.spec, jobs) {
            if self.delete(cron, &name, regarding).await.is_ok() {
                jobs.retain(|job| job.metadata.name.as_deref() != Some(&name));
            }
        }
    }

    async fn delete(
        &self,
        cron: &View,
        name: &str,
        regarding: &Regarding,
    ) -> Result<(), client::writer::Error> {
        let key = Key::new(self.jobs.resource(), &cron.metadata.namespace, name);
        let options = Delete { propagation: Some(Propagation::Background), ..Delete::default() };
        let deleted = client::writer::gone_is_fine(self.context.writer.delete(&key, options).await);
        match &deleted {
            Ok(_) => {
                self.context.recorder.normal(regarding, "SuccessfulDelete", format!("Deleted job {name}"))
            }
            Err(error) => {
                let text = format!("Deleted job: {}", error.message());
                self.context.recorder.warning(regarding, "FailedDelete", text);
            }
        }
        deleted.map(drop)
    }

    /// Starts what is due; gives when to look again, `None` if only a change can make anything due.
    async fn start(
        &self,
        object: &Arc<Object>,
        cron: &View,
        status: &mut CronJobStatus,
        regarding: &Regarding,
    ) -> Result<Option<Duration>, Error> {
        let recorder = &self.context.recorder;
        if object.deleting {
            return Ok(None);
        }
        let zone = cron.spec.time_zone.as_deref();
        if let Some(zone) = zone.filter(|zone| !api::cron::knows_zone(zone)) {
            recorder.warning(
                regarding,
                "UnknownTimeZone",
                format!("invalid timeZone: {zone:?}: unknown time zone {zone}"),
            );
            return Ok(None);
        }
        if cron.spec.suspend {
            return Ok(None);
        }
        let schedule = match Schedule::parse(&cron.spec.schedule, zone) {
            Ok(schedule) => schedule,
            Err(error) => {
                let text = format!("unparseable schedule: {:?} : {error}", cron.spec.schedule);
                recorder.warning(regarding, "UnparseableSchedule", text);
                return Ok(None);
            }
        };
        let now = self.context.clock.now();
        let created = cron.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        let last = status.last_schedule_time.as_ref().map(|time| time.0);
        let missed = plan::due(&schedule, created, last, cron.spec.starting_deadline_seconds, now);
        let again = |last: Option<Timestamp>| {
            plan::next(&schedule, created, last, now).map(|next| until(next, now) + SKEW)
        };
        let Some(missed) = missed else { return Ok(again(last)) };
        if missed.many {
            let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            recorder.warning(regarding, "TooManyMissedTimes", text);
        }
        let due = missed.last;
        let deadline = cron.spec.starting_deadline_seconds.map(jiff::SignedDuration::from_secs);
        if deadline.and_then(|deadline| due.checked_add(deadline).ok()).is_some_and(|end| end < now) {
            let text = format!(
                "Missed scheduled time to start a job: {}",
                due.strftime("%a, %d %b %Y %H:%M:%S +0000")
            );
            recorder.warning(regarding, "MissSchedule", text);
            return Ok(again(last));
        }
        let name = format!("{}-{}", cron.metadata.name, due.as_second() / 60);
        let active = status.active.get_or_insert_default();
        if active.iter().any(|job| job.name.as_deref() == Some(&name)) || last == Some(due) {
            return Ok(again(last));
        }
        if !active.is_empty() && cron.spec.concurrency_policy == "Forbid" {
            let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
            recorder.normal(regarding, "JobAlreadyActive", text);
            return Ok(again(last));
        }
        if cron.spec.concurrency_policy == "Replace" {
            for old in std::mem::take(active) {
                self.delete(cron, old.name.as_deref().unwrap_or_default(), regarding).await?;
            }
        }
        let body = plan::make(cron, &name, due, zone);
        let made = match self
            .context
            .writer
            .create(&Resource::new("batch", "jobs"), &cron.metadata.namespace, &body)
            .await
        {
            Ok(made) => {
                recorder.normal(regarding, "SuccessfulCreate", format!("Created job {name}"));
                made
            }
            // Made before a crash, or by somebody else, whom it is left to.
            Err(error) if error.already_exists() => {
                let theirs = self.jobs.get(&cron.metadata.namespace, &name).map(|job| client::meta(&job));
                let ours = |meta: &Meta| {
                    let mut owners = meta.owner_references.iter();
                    owners.any(|owner| {
                        owner.controller == Some(true) && owner.uid == cron.metadata.uid.as_str()
                    })
                };
                match theirs.filter(ours) {
                    Some(meta) => meta,
                    None => return Ok(again(last)),
                }
            }
            Err(error) => {
                if !error.namespace_terminating() {
                    let text = format!("Error creating job: {}", error.message());
                    recorder.warning(regarding, "FailedCreate", text);
                }
                return Err(error.into());
            }
        };
        status.active.get_or_insert_default().push(ObjectReference {
            api_version: Some("batch/v1".into()),
            kind: Some("Job".into()),
            namespace: Some(made.namespace),
            name: Some(made.name),
            uid: Some(made.uid),
            resource_version: Some(made.resource_version),
            field_path: None,
        });
        status.last_schedule_time = Some(Time(due));
        Ok(again(Some(due)))
    }
}

fn until(next: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// The reference that a CronJob's Jobs carry.
fn owner(cron: &View) -> OwnerReference {
    OwnerReference {
        api_version: "batch/v1".into(),
        kind: "CronJob".into(),
        name: cron.metadata.name.as_str().into(),
        uid: cron.metadata.uid.as_str().into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}
