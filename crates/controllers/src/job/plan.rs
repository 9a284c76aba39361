//! What a Job needs next, and what its status says. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::{JobCondition, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::{View, policy};
use crate::pods;

pub const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Back-off between failed pods: doubled each time, at most ten minutes.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// Pods that one reconcile makes, at most.
const BURST: usize = 500;

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Pods to make, each with its completion index if the Job is indexed.
    pub create: Vec<Option<i32>>,
    pub delete: Vec<(String, String)>,
    pub again: Option<Duration>,
}

pub fn finished(status: &JobStatus) -> Option<&JobCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|one| matches!(one.type_.as_str(), "Complete" | "Failed") && one.status == "True")
}

fn find<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|one| one.type_ == kind && one.status == "True")
}

pub fn tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

fn indexed(job: &View) -> bool {
    job.spec.completion_mode.as_deref() == Some("Indexed")
}

pub(super) fn index(pod: &Pod) -> Option<i32> {
    pod.metadata.annotations.as_ref()?.get(INDEX)?.parse().ok()
}

pub(super) fn succeeded(pod: &Pod) -> bool {
    pods::phase(pod) == "Succeeded"
}

/// A pod that is going without having succeeded will never report more than that, unless a policy waits for how it ends.
fn failed(job: &View, pod: &Pod) -> bool {
    let gives_no_end = !policy::waits_for_end(job) || pods::node(pod).is_empty();
    pods::phase(pod) == "Failed" || (pods::terminating(pod) && !succeeded(pod) && gives_no_end)
}

/// Finished pods that may go: those that are noted, and those whose failure does not count.
pub fn to_release(job: &View, status: &JobStatus, pods: &[Pod]) -> Vec<Pod> {
    let kept = kept(job, status, pods);
    let go = |pod: &&Pod| {
        let uncounted = policy::is_ignored(job, pod) || is_beyond(job, pod) && pods::finished(pod);
        tracked(pod) && !kept.contains(uid(pod)) && (noted(status, pod) || uncounted)
    };
    pods.iter().filter(go).cloned().collect()
}

/// Failed pods that wait for their successor.
fn kept<'a>(job: &View, status: &JobStatus, pods: &'a [Pod]) -> BTreeSet<&'a str> {
    if find(status, "FailureTarget").or_else(|| find(status, "SuccessCriteriaMet")).is_some() {
        return BTreeSet::new();
    }
    policy::last_failures(job, status, pods).into_values().map(uid).collect()
}

fn uncounted(status: &JobStatus) -> (Vec<String>, Vec<String>) {
    let lists = status.uncounted_terminated_pods.clone().unwrap_or_default();
    (lists.succeeded.unwrap_or_default(), lists.failed.unwrap_or_default())
}

pub fn noted(status: &JobStatus, pod: &Pod) -> bool {
    let (good, bad) = uncounted(status);
    let indexes = ranges(status.completed_indexes.as_deref().unwrap_or_default());
    let by_index = succeeded(pod) && index(pod).is_some_and(|index| indexes.contains(&index));
    by_index || good.iter().chain(&bad).any(|one| one == uid(pod))
}

/// `1,3-5` as a set.
pub(super) fn ranges(text: &str) -> BTreeSet<i32> {
    let parts = text.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    parts.flatten().collect()
}

fn ranges_text(set: &BTreeSet<i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for number in set {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let text = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    text.collect::<Vec<_>>().join(",")
}

/// A pod that the status does not tell of yet, and that counts.
fn is_new(job: &View, status: &JobStatus, kept: &BTreeSet<&str>, pod: &Pod) -> bool {
    let counts = !policy::is_ignored(job, pod) && !is_beyond(job, pod);
    tracked(pod) && !noted(status, pod) && !kept.contains(uid(pod)) && counts
}

/// A pod of an indexed Job that has no index, or one that the Job has no more.
fn is_beyond(job: &View, pod: &Pod) -> bool {
    indexed(job) && index(pod).is_none_or(|index| index >= job.spec.completions.unwrap_or(0))
}

/// The status with every finished pod noted that is not yet, and those counted that were released.
pub fn note(job: &View, pods: &[Pod]) -> JobStatus {
    let mut status = counted(&job.status, pods);
    let (mut good, mut bad) = uncounted(&status);
    let mut indexes = ranges(status.completed_indexes.as_deref().unwrap_or_default());
    if policy::per_index(job) {
        let given_up = policy::failed_indexes(job, &status, pods);
        status.failed_indexes = Some(ranges_text(&given_up));
    }
    let kept = kept(job, &status, pods);
    for pod in pods.iter().filter(|pod| is_new(job, &status, &kept, pod)) {
        if succeeded(pod) && indexed(job) {
            indexes.extend(index(pod));
        } else if succeeded(pod) {
            good.push(uid(pod).into());
        } else if failed(job, pod) {
            bad.push(uid(pod).into());
        }
    }
    if indexed(job) {
        status.succeeded = i32::try_from(indexes.len()).ok().filter(|number| *number != 0);
        status.completed_indexes = (!indexes.is_empty()).then(|| ranges_text(&indexes));
    }
    put(&mut status, good, bad);
    status
}

fn put(status: &mut JobStatus, good: Vec<String>, bad: Vec<String>) {
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let lists = UncountedTerminatedPods { succeeded: some(good), failed: some(bad) };
    status.uncounted_terminated_pods = Some(lists);
}

/// Moves noted pods that are released, or gone, into the counters.
fn counted(status: &JobStatus, pods: &[Pod]) -> JobStatus {
    let mut status = status.clone();
    let (mut good, mut bad) = uncounted(&status);
    let held = |one: &String| pods.iter().any(|pod| uid(pod) == one && tracked(pod));
    let (before, before_bad) = (good.len(), bad.len());
    good.retain(held);
    bad.retain(held);
    let add = |counter: &mut Option<i32>, number: usize| {
        let sum = counter.unwrap_or(0) + i32::try_from(number).unwrap_or(0);
        *counter = (sum != 0).then_some(sum);
    };
    add(&mut status.succeeded, before - good.len());
    add(&mut status.failed, before_bad - bad.len());
    put(&mut status, good, bad);
    status
}

/// Why the Job is over, if it is: type, reason and message of its interim condition.
fn end(job: &View, pods: &[Pod], now: &Time) -> Option<(&'static str, String, String)> {
    for kind in ["FailureTarget", "SuccessCriteriaMet"] {
        if let Some(is) = find(&job.status, kind) {
            return Some((
                kind,
                is.reason.clone().unwrap_or_default(),
                is.message.clone().unwrap_or_default(),
            ));
        }
    }
    if let Some(message) = policy::fails_job(job, pods) {
        return Some(("FailureTarget", "PodFailurePolicy".into(), message));
    }
    let status = counted(&job.status, pods);
    let (good, bad) = uncounted(&status);
    let limit = job.spec.backoff_limit.unwrap_or(6);
    let failures = status.failed.unwrap_or(0) + i32::try_from(bad.len()).unwrap_or(0);
    if failures > limit || restarts_exceed(job, pods, limit) {
        let text = "Job has reached the specified backoff limit";
        return Some(("FailureTarget", "BackoffLimitExceeded".into(), text.into()));
    }
    if deadline(job).is_some_and(|at| at <= now.0) {
        let text = "Job was active longer than specified deadline";
        return Some(("FailureTarget", "DeadlineExceeded".into(), text.into()));
    }
    let successes = status.succeeded.unwrap_or(0) + i32::try_from(good.len()).unwrap_or(0);
    let completed = ranges(status.completed_indexes.as_deref().unwrap_or_default());
    if let Some(rule) = policy::success(job, &completed) {
        let text = format!("Matched rules at index {rule}");
        return Some(("SuccessCriteriaMet", "SuccessPolicy".into(), text));
    }
    let given_up = i32::try_from(policy::failed_indexes(job, &status, pods).len()).unwrap_or(i32::MAX);
    if policy::per_index(job) && job.spec.max_failed_indexes.is_some_and(|most| given_up > most) {
        let text = "Job has exceeded the specified maximal number of failed indexes";
        return Some(("FailureTarget", "MaxFailedIndexesExceeded".into(), text.into()));
    }
    if given_up > 0 && job.spec.completions.is_some_and(|wanted| successes + given_up >= wanted) {
        let text = "Job has failed indexes";
        return Some(("FailureTarget", "FailedIndexes".into(), text.into()));
    }
    let complete = match job.spec.completions {
        // A work queue: over when one succeeded and the others are done.
        None => successes > 0 && !pods.iter().any(pods::active),
        Some(wanted) => successes >= wanted,
    };
    let text = "Reached expected number of succeeded pods";
    (complete && !job.spec.suspend).then(|| ("SuccessCriteriaMet", "CompletionsReached".into(), text.into()))
}

/// Pods that restart in place count their containers' restarts.
fn restarts_exceed(job: &View, pods: &[Pod], limit: i32) -> bool {
    if job.spec.template.pointer("/spec/restartPolicy").and_then(Value::as_str) != Some("OnFailure") {
        return false;
    }
    let running = pods.iter().filter(|pod| matches!(pods::phase(pod), "Running" | "Pending"));
    let statuses = running.filter_map(|pod| pod.status.as_ref());
    let containers = statuses.flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    });
    let restarts: i32 = containers.map(|container| container.restart_count).sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

fn deadline(job: &View) -> Option<jiff::Timestamp> {
    let seconds = job.spec.active_deadline_seconds.filter(|_| !job.spec.suspend)?;
    let since = job.status.start_time.as_ref()?.0;
    since.checked_add(SignedDuration::from_secs(seconds)).ok()
}

fn named(pod: &Pod) -> (String, String) {
    (pod.metadata.name.clone().unwrap_or_default(), uid(pod).into())
}

pub fn plan(job: &View, pods: &[Pod], now: &Time) -> Plan {
    let active: Vec<&Pod> = pods.iter().filter(|pod| pods::active(pod)).collect();
    let mut plan = Plan::default();
    if job.spec.suspend || end(job, pods, now).is_some() {
        plan.delete = active.into_iter().map(named).collect();
        return plan;
    }
    // What ended since the status was written is noted first: else its place would be filled once more.
    let kept = kept(job, &job.status, pods);
    if pods.iter().any(|pod| is_new(job, &job.status, &kept, pod) && (succeeded(pod) || failed(job, pod))) {
        return plan;
    }
    plan.again = deadline(job).map(|at| Duration::try_from(at.duration_since(now.0)).unwrap_or_default());
    let status = counted(&job.status, pods);
    let (good, _) = uncounted(&status);
    let successes = status.succeeded.unwrap_or(0) + i32::try_from(good.len()).unwrap_or(0);
    let given_up = policy::failed_indexes(job, &status, pods);
    let over = i32::try_from(given_up.len()).unwrap_or(i32::MAX);
    let parallelism = job.spec.parallelism.unwrap_or(1);
    let running = i32::try_from(active.len()).unwrap_or(i32::MAX);
    let wanted = match job.spec.completions {
        None if successes > 0 => running.min(parallelism),
        None => parallelism,
        Some(completions) => parallelism.min((completions - successes - over).max(0)),
    };
    if running > wanted {
        let mut excess: Vec<Pod> = active.into_iter().cloned().collect();
        pods::sort_for_deletion(&mut excess, &[], now.0);
        excess.truncate(usize::try_from(running - wanted).unwrap_or(0));
        plan.delete = excess.iter().map(named).collect();
        return plan;
    }
    // What is going still takes the place of its successor, where that is to wait for its end.
    let going: Vec<&Pod> = match policy::waits_for_end(job) {
        true => pods.iter().filter(|pod| pods::terminating(pod) && !pods::finished(pod)).collect(),
        false => Vec::new(),
    };
    let taken_up = running.saturating_add(i32::try_from(going.len()).unwrap_or(i32::MAX));
    let missing = usize::try_from(wanted - taken_up).unwrap_or(0).min(BURST);
    if missing == 0 {
        return plan;
    }
    if policy::per_index(job) {
        let mut taken = ranges(status.completed_indexes.as_deref().unwrap_or_default());
        taken.extend(given_up);
        taken.extend(active.iter().chain(&going).filter_map(|pod| index(pod)));
        let last = policy::last_failures(job, &status, pods);
        for index in (0..job.spec.completions.unwrap_or(0)).filter(|index| !taken.contains(index)) {
            match last.get(&index).and_then(|pod| index_back_off(job, pod, now)) {
                Some(wait) => plan.again = Some(plan.again.map_or(wait, |again| again.min(wait))),
                None if plan.create.len() < missing => plan.create.push(Some(index)),
                None => {}
            }
        }
        return plan;
    }
    if let Some(wait) = back_off(pods, now) {
        plan.again = Some(plan.again.map_or(wait, |again| again.min(wait)));
        return plan;
    }
    plan.create = if indexed(job) {
        let mut taken = ranges(status.completed_indexes.as_deref().unwrap_or_default());
        taken.extend(active.iter().chain(&going).filter_map(|pod| index(pod)));
        let free = (0..job.spec.completions.unwrap_or(0)).filter(|index| !taken.contains(index));
        free.take(missing).map(Some).collect()
    } else {
        vec![None; missing]
    };
    plan
}

/// When the last container of a pod ended.
fn ended(pod: &Pod) -> Option<jiff::Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let times =
        statuses.iter().filter_map(|one| one.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    times.map(|time| time.0).max()
}

/// How long an index waits after the failure of `pod`, its last.
fn index_back_off(job: &View, pod: &Pod, now: &Time) -> Option<Duration> {
    let failures = u32::try_from(policy::after(job, pod).0).unwrap_or(0);
    left(failures, ended(pod)?, now)
}

/// What is left to wait after so many failures in a row, the last of them at `last`.
fn left(failures: u32, last: jiff::Timestamp, now: &Time) -> Option<Duration> {
    let steps = failures.clamp(1, 7) - 1;
    let wait = FIRST.saturating_mul(1 << steps).min(LONGEST);
    let passed = Duration::try_from(now.0.duration_since(last)).unwrap_or_default();
    wait.checked_sub(passed).filter(|left| failures > 0 && !left.is_zero())
}

/// How long to wait after failures before the next pod.
fn back_off(pods: &[Pod], now: &Time) -> Option<Duration> {
    let last_good = pods.iter().filter(|pod| succeeded(pod)).filter_map(ended).max();
    let failures: Vec<jiff::Timestamp> = pods
        .iter()
        .filter(|pod| pods::phase(pod) == "Failed")
        .filter_map(ended)
        .filter(|at| last_good.is_none_or(|good| *at > good))
        .collect();
    let last = failures.iter().max()?;
    left(u32::try_from(failures.len()).unwrap_or(1), *last, now)
}

/// The pod to make, after those that there are.
pub fn pod(job: &View, index: Option<i32>, pods: &[Pod]) -> Value {
    let template = &job.spec.template;
    let name = &job.metadata.name;
    let mut metadata = json!({ "generateName": format!("{name}-"), "finalizers": [FINALIZER] });
    for field in ["labels", "annotations"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    for finalizer in template.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten()
    {
        if let Some(all) = metadata["finalizers"].as_array_mut() {
            all.push(finalizer.clone());
        }
    }
    let mut spec = template["spec"].clone();
    if let Some(index) = index {
        metadata["generateName"] = format!("{name}-{index}-").into();
        metadata["labels"][INDEX] = index.to_string().into();
        metadata["annotations"][INDEX] = index.to_string().into();
        if policy::per_index(job) {
            let last = policy::last_failures(job, &job.status, pods);
            let (failures, ignored) = last.get(&index).map_or((0, 0), |pod| policy::after(job, pod));
            metadata["annotations"][policy::FAILURES] = failures.to_string().into();
            if ignored > 0 {
                metadata["annotations"][policy::IGNORED] = ignored.to_string().into();
            }
        }
        if spec["hostname"].is_null() {
            spec["hostname"] = format!("{name}-{index}").into();
        }
        let variable = json!({ "name": "JOB_COMPLETION_INDEX", "valueFrom": { "fieldRef": {
            "apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']") } } });
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                let mut all = container["env"].as_array().cloned().unwrap_or_default();
                if !all.iter().any(|one| one["name"] == variable["name"]) {
                    all.push(variable.clone());
                    container["env"] = all.into();
                }
            }
        }
        if spec["initContainers"].is_null()
            && let Some(fields) = spec.as_object_mut()
        {
            fields.shift_remove("initContainers");
        }
    }
    json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec })
}

pub fn status(job: &View, pods: &[Pod], now: &Time) -> JobStatus {
    let mut status = counted(&job.status, pods);
    let count = |passes: &dyn Fn(&Pod) -> bool| {
        i32::try_from(pods.iter().filter(|pod| passes(pod)).count()).unwrap_or(i32::MAX)
    };
    let active = count(&pods::active);
    let terminating = count(&|pod| pods::terminating(pod) && !pods::finished(pod));
    status.active = (active != 0).then_some(active);
    status.ready = Some(count(&|pod| pods::active(pod) && pods::ready(pod)));
    status.terminating = Some(terminating);
    suspension(job, &mut status, now);
    let Some((kind, reason, message)) = end(job, pods, now) else { return status };
    let condition = |kind: &str| JobCondition {
        type_: kind.into(),
        status: "True".into(),
        reason: Some(reason.clone()),
        message: Some(message.clone()),
        last_probe_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    };
    let conditions = status.conditions.get_or_insert_default();
    if !conditions.iter().any(|one| one.type_ == kind) {
        conditions.push(condition(kind));
    }
    let (good, bad) = uncounted(&status);
    let held = pods.iter().any(|pod| tracked(pod) && (pods::finished(pod) || pods::active(pod)));
    // The last word is said when every pod is gone and counted.
    if active == 0 && terminating == 0 && good.is_empty() && bad.is_empty() && !held {
        let last = if kind == "SuccessCriteriaMet" { "Complete" } else { "Failed" };
        status.conditions.get_or_insert_default().push(condition(last));
        if last == "Complete" {
            status.completion_time = Some(now.clone());
        }
    }
    status
}

fn suspension(job: &View, status: &mut JobStatus, now: &Time) {
    let is = status.conditions.iter().flatten().find(|one| one.type_ == "Suspended").cloned();
    let was = is.as_ref().is_some_and(|one| one.status == "True");
    if job.spec.suspend != was && (job.spec.suspend || is.is_some()) {
        let (value, reason, message) = match job.spec.suspend {
            true => ("True", "JobSuspended", "Job suspended"),
            false => ("False", "JobResumed", "Job resumed"),
        };
        let conditions = status.conditions.get_or_insert_default();
        conditions.retain(|one| one.type_ != "Suspended");
        conditions.push(JobCondition {
            type_: "Suspended".into(),
            status: value.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: Some(now.clone()),
            last_transition_time: Some(now.clone()),
        });
    }
    status.start_time = match (job.spec.suspend, status.start_time.take()) {
        (true, _) => None,
        (false, Some(time)) => Some(time),
        (false, None) => Some(now.clone()),
    };
}

#[cfg(test)]
mod tests;
