//! What a Job's policies make of its pods: which failures count (KEP-3329), which indexes are given up (KEP-3850), and when
//! enough of it succeeded (KEP-3998). Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{JobStatus, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::View;
use super::plan::{index, ranges, succeeded, uid};
use crate::pods;

/// How often pods of an index failed before this one, counted and not.
pub const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// What a rule of `podFailurePolicy` does with a failed pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Count,
    Ignore,
    FailIndex,
    /// With the message of the Job's condition.
    FailJob(String),
}

/// The verdict of the first rule that matches; failures count where none does.
pub fn verdict(job: &View, pod: &Pod) -> Verdict {
    let rules = job.spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
    for (at, rule) in rules.enumerate() {
        let Some(what) = matches(rule, pod) else { continue };
        return match rule.action.as_str() {
            "Ignore" => Verdict::Ignore,
            "FailIndex" if per_index(job) => Verdict::FailIndex,
            "FailJob" => Verdict::FailJob(format!("{what} matching FailJob rule at index {at}")),
            _ => Verdict::Count,
        };
    }
    Verdict::Count
}

/// What of the pod the rule matches, in upstream's words.
fn matches(rule: &PodFailurePolicyRule, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let title = format!("{}/{}", text(&pod.metadata.namespace), text(&pod.metadata.name));
    if let Some(wanted) = &rule.on_exit_codes {
        let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        let of = |one: &ContainerStatus| one.state.as_ref()?.terminated.as_ref().map(|ended| ended.exit_code);
        let found = all
            .filter(|one| wanted.container_name.as_ref().is_none_or(|name| *name == one.name))
            .filter_map(|one| Some((one.name.as_str(), of(one)?)))
            .find(|(_, code)| *code != 0 && (wanted.operator == "In") == wanted.values.contains(code));
        let (name, code) = found?;
        return Some(format!("Container {name} for pod {title} failed with exit code {code}"));
    }
    let conditions = status.conditions.iter().flatten();
    let wanted = |type_: &str, status: &str| {
        rule.on_pod_conditions
            .iter()
            .flatten()
            .any(|pattern| pattern.type_ == type_ && pattern.status.as_deref().unwrap_or("True") == status)
    };
    let found = conditions.into_iter().find(|one| wanted(&one.type_, &one.status))?;
    Some(format!("Pod {title} has condition {}", found.type_))
}

pub fn per_index(job: &View) -> bool {
    job.spec.backoff_limit_per_index.is_some()
}

/// Whether a pod that is going is replaced only once it has ended.
pub fn waits_for_end(job: &View) -> bool {
    job.spec.pod_failure_policy.is_some() || job.spec.pod_replacement_policy.as_deref() == Some("Failed")
}

/// Failures of the pod's index before it: counted, ignored.
pub fn earlier(pod: &Pod) -> (i32, i32) {
    let read = |name: &str| {
        let annotations = pod.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(name)?.parse().ok()).unwrap_or(0)
    };
    (read(FAILURES), read(IGNORED))
}

/// The same after this pod, which failed.
pub fn after(job: &View, pod: &Pod) -> (i32, i32) {
    let (failures, ignored) = earlier(pod);
    match verdict(job, pod) {
        Verdict::Ignore => (failures, ignored + 1),
        _ => (failures + 1, ignored),
    }
}

/// Indexes that are given up, with those that already are.
pub fn failed_indexes(job: &View, status: &JobStatus, all: &[Pod]) -> BTreeSet<i32> {
    let mut failed = ranges(status.failed_indexes.as_deref().unwrap_or_default());
    let Some(limit) = job.spec.backoff_limit_per_index else { return failed };
    for pod in all.iter().filter(|pod| pods::phase(pod) == "Failed") {
        if verdict(job, pod) == Verdict::FailIndex || after(job, pod).0 > limit {
            failed.extend(index(pod));
        }
    }
    failed
}

/// The last failed pod of each index that is to be tried again. It keeps its finalizer until its successor is there: the
/// counts of the index are on it.
pub fn last_failures<'a>(job: &View, status: &JobStatus, all: &'a [Pod]) -> BTreeMap<i32, &'a Pod> {
    let mut last: BTreeMap<i32, &Pod> = BTreeMap::new();
    if !per_index(job) {
        return last;
    }
    let total = |pod: &Pod| {
        let (failures, ignored) = earlier(pod);
        failures + ignored
    };
    for pod in all {
        let Some(index) = index(pod) else { continue };
        if last.get(&index).is_none_or(|other| total(other) < total(pod)) {
            last.insert(index, pod);
        }
    }
    let mut over = failed_indexes(job, status, all);
    over.extend(ranges(status.completed_indexes.as_deref().unwrap_or_default()));
    last.retain(|index, pod| {
        let failed = pods::phase(pod) == "Failed" || (pods::terminating(pod) && !waits_for_end(job));
        !over.contains(index) && failed && !succeeded(pod)
    });
    last
}

/// Whether a finished pod is to be let go without being counted.
pub fn is_ignored(job: &View, pod: &Pod) -> bool {
    pods::phase(pod) == "Failed" && verdict(job, pod) == Verdict::Ignore
}

/// The rule of `successPolicy` that is met.
pub fn success(job: &View, completed: &BTreeSet<i32>) -> Option<usize> {
    job.spec.success_policy.as_ref()?.rules.iter().position(|rule| {
        let wanted = rule.succeeded_indexes.as_deref().map(ranges);
        let counted = match &wanted {
            Some(wanted) => completed.intersection(wanted).count(),
            None => completed.len(),
        };
        match (rule.succeeded_count, &wanted) {
            (Some(count), _) => counted >= usize::try_from(count).unwrap_or(usize::MAX),
            (None, Some(wanted)) => counted >= wanted.len(),
            (None, None) => false,
        }
    })
}

/// The message of the first failed pod that fails the Job.
pub fn fails_job(job: &View, all: &[Pod]) -> Option<String> {
    all.iter().filter(|pod| pods::phase(pod) == "Failed" && !uid(pod).is_empty()).find_map(
        |pod| match verdict(job, pod) {
            Verdict::FailJob(message) => Some(message),
            _ => None,
        },
    )
}
