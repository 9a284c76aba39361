//! A Deployment's status: its counts, and the conditions Available, Progressing and ReplicaFailure. Pure.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Set, View, plan};

const PROGRESSING: &str = "Progressing";
const FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

pub fn has_deadline(deployment: &View) -> bool {
    deployment.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
}

pub fn condition(kind: &str, status: &str, reason: &str, message: String, now: &Time) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    }
}

fn find<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn drop_condition(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

/// Puts a condition in, unless one with the same status and reason is there; keeps the time of the last transition if
/// the status stays.
pub fn set(status: &mut DeploymentStatus, mut new: DeploymentCondition) {
    if let Some(is) = find(status, &new.type_) {
        if is.status == new.status && is.reason == new.reason {
            return;
        }
        if is.status == new.status {
            new.last_transition_time = is.last_transition_time.clone();
        }
    }
    drop_condition(status, &new.type_);
    status.conditions.get_or_insert_default().push(new);
}

/// The numbers alone, with the conditions that are there.
pub fn counts(deployment: &View, all: &[&Set], new: Option<&Set>) -> DeploymentStatus {
    // Upstream's Go leaves zeros out of its JSON; written here they would be a difference for ever.
    let some = |number: i32| (number != 0).then_some(number);
    let sum = |of: &dyn Fn(&Set) -> i32| all.iter().map(|set| of(set)).sum::<i32>();
    let available = sum(&Set::available);
    let wanted = sum(&Set::replicas);
    let terminating: Vec<i32> = all.iter().filter_map(|set| set.status.terminating_replicas).collect();
    DeploymentStatus {
        observed_generation: Some(deployment.metadata.generation),
        replicas: some(sum(&|set| set.status.replicas)),
        updated_replicas: some(new.map_or(0, |new| new.status.replicas)),
        ready_replicas: some(sum(&|set| set.status.ready_replicas.unwrap_or(0))),
        available_replicas: some(available),
        unavailable_replicas: some((wanted - available).max(0)),
        terminating_replicas: (terminating.len() == all.len()).then(|| terminating.iter().sum()),
        collision_count: deployment.status.collision_count,
        conditions: deployment.status.conditions.clone(),
    }
}

/// The rollout is done: every replica is new and available, and no other is left.
pub fn complete(deployment: &View, status: &DeploymentStatus) -> bool {
    let wanted = deployment.replicas();
    status.updated_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
        && status.available_replicas.unwrap_or(0) == wanted
        && status.observed_generation.unwrap_or(0) >= deployment.metadata.generation
}

fn progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let replicas = |status: &DeploymentStatus| status.replicas.unwrap_or(0);
    let updated = |status: &DeploymentStatus| status.updated_replicas.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| replicas(status) - updated(status);
    let ready = |status: &DeploymentStatus| status.ready_replicas.unwrap_or(0);
    let available = |status: &DeploymentStatus| status.available_replicas.unwrap_or(0);
    updated(new) > updated(old)
        || outdated(new) < outdated(old)
        || ready(new) > ready(old)
        || available(new) > available(old)
}

fn timed_out(deployment: &View, status: &DeploymentStatus, now: &Time) -> bool {
    let Some(condition) = find(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(COMPLETE) => false,
        Some(TIMED_OUT) => true,
        _ => deadline(deployment, condition).is_some_and(|at| at < now.0),
    }
}

fn deadline(deployment: &View, condition: &DeploymentCondition) -> Option<jiff::Timestamp> {
    let seconds = deployment.spec.progress_deadline_seconds?;
    let since = condition.last_update_time.as_ref()?.0;
    since.checked_add(SignedDuration::from_secs(seconds.into())).ok()
}

/// The status to write. `created`: the name of the ReplicaSet that this reconcile made.
pub fn status(deployment: &View, sets: &[Set], created: Option<&str>, now: &Time) -> DeploymentStatus {
    let new = plan::find_new(deployment, sets);
    let all: Vec<&Set> = sets.iter().collect();
    let mut status = counts(deployment, &all, new);
    let enough = deployment.replicas() - plan::max_unavailable(deployment);
    let available = if status.available_replicas.unwrap_or(0) >= enough {
        let text = "Deployment has minimum availability.";
        condition("Available", "True", "MinimumReplicasAvailable", text.into(), now)
    } else {
        let text = "Deployment does not have minimum availability.";
        condition("Available", "False", "MinimumReplicasUnavailable", text.into(), now)
    };
    set(&mut status, available);
    if has_deadline(deployment) {
        pausing(deployment, &mut status, now);
        if let Some(name) = created {
            let text = format!("Created new replica set {name:?}");
            set(&mut status, condition(PROGRESSING, "True", "NewReplicaSetCreated", text, now));
        } else if let Some(new) = new.filter(|_| find(&status, PROGRESSING).is_none()) {
            let text = format!("Found new replica set {:?}", new.name());
            set(&mut status, condition(PROGRESSING, "True", "FoundNewReplicaSet", text, now));
        }
        if !deployment.spec.paused {
            progressing(deployment, new, &mut status, now);
        }
    } else {
        drop_condition(&mut status, PROGRESSING);
    }
    failures(&all, new, &mut status);
    if status.conditions.as_ref().is_some_and(Vec::is_empty) {
        status.conditions = None;
    }
    status
}

/// A pause stops the clock of the deadline; what had timed out before stays so.
fn pausing(deployment: &View, status: &mut DeploymentStatus, now: &Time) {
    let reason = find(status, PROGRESSING).and_then(|condition| condition.reason.clone());
    match (deployment.spec.paused, reason.as_deref()) {
        (_, Some(TIMED_OUT)) | (true, Some(PAUSED)) => {}
        (true, _) => {
            set(status, condition(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".into(), now))
        }
        (false, Some(PAUSED)) => {
            let text = "Deployment is resumed".into();
            set(status, condition(PROGRESSING, "Unknown", "DeploymentResumed", text, now));
        }
        (false, _) => {}
    }
}

fn progressing(deployment: &View, new: Option<&Set>, status: &mut DeploymentStatus, now: &Time) {
    let current = find(status, PROGRESSING).cloned();
    let settled = status.replicas == status.updated_replicas
        && current.as_ref().is_some_and(|condition| condition.reason.as_deref() == Some(COMPLETE));
    if settled {
        return;
    }
    let who = match new {
        Some(new) => format!("ReplicaSet {:?}", new.name()),
        None => format!("Deployment {:?}", deployment.metadata.name),
    };
    if complete(deployment, status) {
        let text = format!("{who} has successfully progressed.");
        set(status, condition(PROGRESSING, "True", COMPLETE, text, now));
    } else if progressed(&deployment.status, status) {
        let text = format!("{who} is progressing.");
        let mut new = condition(PROGRESSING, "True", "ReplicaSetUpdated", text, now);
        if let Some(current) = current.filter(|current| current.status == "True") {
            new.last_transition_time = current.last_transition_time;
        }
        // Progress alone renews the time, even with the same reason.
        drop_condition(status, PROGRESSING);
        set(status, new);
    } else if timed_out(deployment, status, now) {
        let text = format!("{who} has timed out progressing.");
        set(status, condition(PROGRESSING, "False", TIMED_OUT, text, now));
    }
}

/// The failure of the new set, or else of any.
fn failures(all: &[&Set], new: Option<&Set>, status: &mut DeploymentStatus) {
    let sets = new.into_iter().chain(all.iter().copied());
    let mut conditions = sets.flat_map(|set| set.status.conditions.iter().flatten());
    match conditions.find(|condition| condition.type_ == FAILURE) {
        None => drop_condition(status, FAILURE),
        Some(failure) => set(
            status,
            DeploymentCondition {
                type_: FAILURE.into(),
                status: failure.status.clone(),
                reason: failure.reason.clone(),
                message: failure.message.clone(),
                last_transition_time: failure.last_transition_time.clone(),
                last_update_time: failure.last_transition_time.clone(),
            },
        ),
    }
}

/// When to look again for a missed deadline.
pub fn next_look(deployment: &View, status: &DeploymentStatus, now: &Time) -> Option<Duration> {
    if !has_deadline(deployment) || deployment.spec.paused || complete(deployment, status) {
        return None;
    }
    let condition = find(status, PROGRESSING)?;
    if matches!(condition.reason.as_deref(), Some(TIMED_OUT)) {
        return None;
    }
    let left = deadline(deployment, condition)?.duration_since(now.0);
    // A second more: times in conditions are cut to whole seconds.
    Some(Duration::try_from(left).unwrap_or_default() + Duration::from_secs(1))
}
