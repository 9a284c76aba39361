//! Removes requests that were answered an hour ago, that nobody answered for a day, or whose certificate is over.

use std::sync::Arc;

use api::Key;
use async_trait::async_trait;
use client::reconcile::Error;
use client::{Action, Cache, Delete, Reconciler, Watch};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

use super::{ACCOUNT, is_issued};
use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "certificatesigningrequest-cleaner",
    account: ACCOUNT,
    workers: 1,
    make: |context| {
        Some(Arc::new(Cleaner { requests: context.cache::<CertificateSigningRequest>()?, context }))
    },
};

/// Hours that a request is kept after it was answered, and where nobody does anything with it.
const ANSWERED: i64 = 1;
const PENDING: i64 = 24;

struct Cleaner {
    requests: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Cleaner {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::own(&self.requests)]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.requests.get_key(key).filter(|own| !own.deleting) else {
            return Ok(Action::Done);
        };
        let Some(request) = client::decode::<CertificateSigningRequest>(&object) else {
            return Ok(Action::Done);
        };
        let Some(end) = end(&request) else { return Ok(Action::Done) };
        if let Some(left) = self.context.until(end) {
            return Ok(Action::After(left));
        }
        let options = Delete { uid: request.metadata.uid.as_deref(), ..Delete::default() };
        client::writer::gone_is_fine(self.context.writer.delete(key, options).await)?;
        Ok(Action::Done)
    }
}

/// When a request is of no more use.
fn end(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let after = |at: Timestamp, hours: i64| at.checked_add(SignedDuration::from_hours(hours)).ok();
    let conditions: Vec<_> = request.status.iter().flat_map(|own| own.conditions.iter().flatten()).collect();
    if conditions.is_empty() {
        return after(request.metadata.creation_timestamp.as_ref()?.0, PENDING);
    }
    let ends = conditions.iter().filter_map(|condition| {
        let at = condition.last_update_time.as_ref()?.0;
        match condition.type_.as_str() {
            "Denied" | "Failed" => after(at, ANSWERED),
            "Approved" if is_issued(request) => after(at, ANSWERED),
            "Approved" => after(at, PENDING),
            _ => None,
        }
    });
    ends.min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_end_an_hour_after_their_answer_or_a_day_after_they_came() {
        let check = |status: serde_json::Value, expected: Option<&str>| {
            let request = json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
                "spec": {"request": "", "signerName": "x/y"}, "status": status});
            let request: CertificateSigningRequest = serde_json::from_value(request).unwrap();
            assert_eq!(end(&request).map(|end| end.to_string()).as_deref(), expected, "{request:?}");
        };
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "lastUpdateTime": "2026-01-01T10:00:00Z"});
        check(json!({}), Some("2026-01-02T00:00:00Z"));
        check(json!({"conditions": [condition("Denied")]}), Some("2026-01-01T11:00:00Z"));
        check(json!({"conditions": [condition("Approved")]}), Some("2026-01-02T10:00:00Z"));
        check(
            json!({"conditions": [condition("Approved")], "certificate": "eA=="}),
            Some("2026-01-01T11:00:00Z"),
        );
        check(
            json!({"conditions": [condition("Approved"), condition("Failed")]}),
            Some("2026-01-01T11:00:00Z"),
        );
        check(json!({"conditions": [condition("Other")]}), None);
    }
}
