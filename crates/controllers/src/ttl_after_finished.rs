//! Deletes Jobs that finished longer ago than their `ttlSecondsAfterFinished` (KEP-592).

use std::sync::Arc;

use api::Key;
use async_trait::async_trait;
use client::reconcile::Error;
use client::{Action, Cache, Delete, Propagation, Reconciler, Watch};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;

use crate::{Context, Controller, job};

pub const CONTROLLER: Controller = Controller {
    name: "ttl-after-finished",
    account: "ttl-after-finished-controller",
    workers: 2,
    make: |context| Some(Arc::new(Cleaner { jobs: context.cache::<Job>()?, context })),
};

struct Cleaner {
    jobs: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Cleaner {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.jobs)]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.jobs.get_key(key).filter(|job| !job.deleting) else {
            return Ok(Action::Done);
        };
        let Some(job) = client::decode::<Job>(&object) else { return Ok(Action::Done) };
        let Some(end) = expires(&job) else { return Ok(Action::Done) };
        if let Some(left) = self.context.until(end) {
            return Ok(Action::After(left));
        }
        let version = object.revision.to_string();
        let options = Delete {
            uid: job.metadata.uid.as_deref(),
            // Its owner may have given it more time since.
            resource_version: Some(&version),
            propagation: Some(Propagation::Foreground),
            ..Delete::default()
        };
        client::writer::gone_is_fine(self.context.writer.delete(key, options).await)?;
        Ok(Action::Done)
    }
}

/// When the Job's time is over; `None` if it has not finished or may stay.
fn expires(job: &Job) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let end = job::finished(job.status.as_ref()?)?.last_transition_time.as_ref()?.0;
    end.checked_add(SignedDuration::from_secs(seconds.into())).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_finished_expires() {
        let end = |ttl: Option<i32>, kind: &str, status: &str| {
            let job = json!({ "metadata": {}, "spec": { "template": {}, "ttlSecondsAfterFinished": ttl },
                "status": { "conditions": [{ "type": kind, "status": status,
                    "lastTransitionTime": "2026-01-01T00:00:00Z" }] } });
            expires(&serde_json::from_value(job).unwrap()).map(|end| end.to_string())
        };
        assert_eq!(end(Some(30), "Complete", "True").as_deref(), Some("2026-01-01T00:00:30Z"));
        assert_eq!(end(Some(0), "Failed", "True").as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(end(None, "Complete", "True"), None);
        assert_eq!(end(Some(30), "Complete", "False"), None);
        assert_eq!(end(Some(30), "Suspended", "True"), None);
    }
}
