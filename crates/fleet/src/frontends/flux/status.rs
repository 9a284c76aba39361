//! The status of a `Kustomization`, with upstream's conditions, reasons and texts.

use api::{Map, Value};
use jiff::Timestamp;

use super::conditions::{self, Condition};
use super::{REQUESTED, entry_id, parse_entry};
use crate::app::{App, FaultKind, State, SyncPhase};
use crate::health::{Health, Status};
use crate::inventory::Id;

/// Snapshots that `status.history` keeps.
const HISTORY: usize = 5;

/// How it stands: the condition `Ready`, and what goes with it.
struct Judged {
    status: &'static str,
    reason: &'static str,
    message: String,
    stalled: bool,
}

fn judge(app: &App, state: &State, revision: &str) -> Judged {
    let no =
        |reason: &'static str, message: String| Judged { status: "False", reason, message, stalled: false };
    let wait = |message: String| Judged { status: "Unknown", reason: "Progressing", message, stalled: false };
    if let Some(fault) = state.faults.iter().find(|fault| match fault.kind {
        FaultKind::Odd | FaultKind::Warning => false,
        // What failed once and is in step now is over.
        FaultKind::Sync | FaultKind::Held => !state.synced,
        _ => true,
    }) {
        let (reason, stalled) = match fault.kind {
            FaultKind::Spec => ("InvalidConfiguration", true),
            FaultKind::Expression => ("InvalidCELExpression", true),
            FaultKind::Dependency => ("DependencyNotReady", false),
            FaultKind::Artifact | FaultKind::Offline | FaultKind::Unsigned(_) => ("ArtifactFailed", false),
            FaultKind::Compare => ("BuildFailed", false),
            FaultKind::Health => ("HealthCheckFailed", false),
            FaultKind::Held => ("Held", false),
            _ => ("ReconciliationFailed", false),
        };
        return Judged { stalled, ..no(reason, fault.text.clone()) };
    }
    match &state.sync {
        Some(sync) if sync.phase == SyncPhase::Failed && !state.synced => {
            return no("ReconciliationFailed", sync.message.clone());
        }
        _ if !state.compared || !state.synced => return wait("Reconciliation in progress".into()),
        _ => {}
    }
    let unhealthy = unhealthy(app, state);
    if state.overdue && !unhealthy.is_empty() {
        let text = format!(
            "health check failed after {}: timeout waiting for: [{}]",
            api::time::duration::text(app.policy.timeout),
            unhealthy.join(", ")
        );
        return no("HealthCheckFailed", text);
    }
    if !unhealthy.is_empty() {
        return wait("Reconciliation in progress".into());
    }
    Judged {
        status: "True",
        reason: "ReconciliationSucceeded",
        message: format!("Applied revision: {revision}"),
        stalled: false,
    }
}

/// What must be healthy and is not, as upstream names it.
fn unhealthy(app: &App, state: &State) -> Vec<String> {
    let own = state.objects.iter().filter(|object| app.policy.wait && object.standing.is_some());
    let own = own.map(|object| (&object.id, object.health.as_ref()));
    let others = state.watched.iter().map(|one| (&one.id, one.health.as_ref()));
    let bad = own.chain(others).filter_map(|(id, health): (&Id, Option<&Health>)| {
        let word = match health.map(|health| health.status) {
            Some(Status::Healthy | Status::Suspended) => return None,
            Some(Status::Degraded) => "Failed",
            Some(Status::Progressing) => "InProgress",
            None | Some(Status::Missing) => "NotFound",
            Some(Status::Unknown) => "Unknown",
        };
        Some(format!("{}/{}/{} status: '{word}'", id.kind, id.namespace, id.name))
    });
    bad.collect()
}

/// See [`crate::frontends::FrontEnd::show`].
pub(super) fn show(app: &App, object: &Value, state: &State, now: Timestamp) -> Option<Value> {
    let mut new = object.get("status").cloned().unwrap_or_else(Value::object);
    let revision = match &app.shown_revision {
        Some(revision) => revision.clone(),
        None => new.str_at(&["lastAttemptedRevision"]).to_string(),
    };
    let judged = judge(app, state, &revision);
    let mut all = vec![Condition::new("Ready", judged.status, judged.reason, judged.message.clone())];
    if judged.stalled {
        all.push(Condition::new("Stalled", "True", judged.reason, judged.message.clone()));
    }
    let timeout = api::time::duration::text(app.policy.timeout);
    let checks = app.policy.wait || !app.health_checks.is_empty();
    if judged.status == "Unknown" {
        let text = match checks && state.synced {
            true => format!("Running health checks for revision {revision} with a timeout of {timeout}"),
            false => format!("Detecting drift for revision {revision} with a timeout of {timeout}"),
        };
        all.push(Condition::new("Reconciling", "True", "Progressing", text));
    }
    if checks {
        let failed = judged.reason == "HealthCheckFailed";
        let (status, reason, text) = match judged.status {
            "True" => ("True", "Succeeded", format!("Health check passed for revision {revision}")),
            "False" if failed => ("False", "HealthCheckFailed", judged.message.clone()),
            _ => (
                "Unknown",
                "Progressing",
                format!("Running health checks for revision {revision} with a timeout of {timeout}"),
            ),
        };
        all.push(Condition::new("Healthy", status, reason, text));
    }
    new.set(&["conditions"], conditions::list(object, &all, now));
    let attempted = app.shown_revision.is_some() && state.artifact.is_some();
    if attempted {
        new.set(&["lastAttemptedRevision"], revision.as_str());
    }
    if judged.status == "True" {
        new.set(&["lastAppliedRevision"], revision.as_str());
    }
    // A generation counts as seen when it was carried out, or cannot be.
    if judged.status != "Unknown" {
        let generation = object.at(&["metadata", "generation"]).cloned().unwrap_or_default();
        if judged.status == "True" || judged.stalled {
            new.set(&["observedGeneration"], generation);
        }
        let asked = object.str_at(&["metadata", "annotations", REQUESTED]);
        if !asked.is_empty() {
            new.set(&["lastHandledReconcileAt"], asked);
        }
    }
    if attempted || !state.inventory.is_empty() {
        let entries = state.inventory.iter().map(|(id, version)| {
            Value::Object(Map::from_iter([("id", Value::from(entry_id(id))), ("v", version.as_str().into())]))
        });
        new.set(&["inventory", "entries"], Value::Array(entries.collect()));
    }
    history(&mut new, state, &judged, &revision, now);
    conditions::patch(object, new)
}

/// One entry for what was rendered and what became of it; the newest first.
fn history(new: &mut Value, state: &State, judged: &Judged, revision: &str, now: Timestamp) {
    let Some(sync) = state.sync.as_ref().filter(|_| judged.status != "Unknown") else { return };
    let finished = conditions::time(sync.finished.unwrap_or(now));
    let mut all = new.get("history").and_then(Value::as_array).unwrap_or_default().to_vec();
    let took = sync.finished.map_or(0, |finished| finished.as_nanosecond() - sync.started.as_nanosecond());
    let took = api::time::duration::format(i64::try_from(took).unwrap_or_default());
    match all.iter().position(|one| one.str_at(&["digest"]) == sync.digest) {
        Some(at) => {
            let mut entry = all.remove(at);
            let same_run = entry.str_at(&["lastReconciled"]) == finished;
            if !same_run {
                let total = entry.get("totalReconciliations").and_then(Value::as_int).unwrap_or_default();
                entry.set(&["totalReconciliations"], total + 1);
                entry.set(&["lastReconciledDuration"], took);
            }
            entry.set(&["lastReconciled"], finished);
            entry.set(&["lastReconciledStatus"], judged.reason);
            entry.set(&["metadata", "revision"], revision);
            all.insert(0, entry);
        }
        None => {
            let entry = Value::Object(Map::from_iter([
                ("digest", Value::from(sync.digest.as_str())),
                ("firstReconciled", finished.as_str().into()),
                ("lastReconciled", finished.as_str().into()),
                ("lastReconciledDuration", took.into()),
                ("lastReconciledStatus", judged.reason.into()),
                ("totalReconciliations", 1i64.into()),
                ("metadata", Value::Object(Map::from_iter([("revision", Value::from(revision))]))),
            ]));
            all.insert(0, entry);
        }
    }
    all.truncate(HISTORY);
    new.set(&["history"], Value::Array(all));
}

/// The objects of the inventory.
pub(super) fn listed(object: &Value) -> Vec<(Id, String)> {
    let all = object.at(&["status", "inventory", "entries"]).and_then(Value::as_array).unwrap_or_default();
    all.iter()
        .filter_map(|one| Some((parse_entry(one.str_at(&["id"]))?, one.str_at(&["v"]).into())))
        .collect()
}
