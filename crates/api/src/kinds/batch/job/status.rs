//! What a job's status may become: only what changed is judged, so that an old status that breaks a rule can still be written.

use super::validate::{bare, indexes, intervals};
use crate::field::Error;
use crate::validation::Node;

fn is(job: &Node<'_>, kind: &str) -> bool {
    let conditions = job.at(&["status", "conditions"]).items();
    conditions
        .iter()
        .any(|condition| condition.get("type").text() == kind && condition.get("status").text() == "True")
}

fn finished(job: &Node<'_>) -> bool {
    is(job, "Complete") || is(job, "Failed")
}

pub fn check(job: &Node<'_>, old: &Node<'_>) {
    let (status, was, spec) = (job.get("status"), old.get("status"), job.get("spec"));
    let changed = |field: &str| !status.get(field).is_same(&was.get(field));
    let flipped = |kind: &str| is(job, kind) != is(old, kind);
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        status.get(field).nonnegative();
    }
    uncounted(&status.get("uncountedTerminatedPods"));
    let conditions = status.get("conditions");
    let (complete, failed) = (is(job, "Complete"), is(job, "Failed"));
    let (target, criteria) = (is(job, "FailureTarget"), is(job, "SuccessCriteriaMet"));
    if (flipped("Complete") || flipped("Failed")) && complete && failed {
        bare(&conditions, "cannot set Complete=True and Failed=true conditions");
    }
    if (flipped("Complete") || flipped("FailureTarget")) && complete && target {
        bare(&conditions, "cannot set Complete=True and FailureTarget=true conditions");
    }
    times(&status, flipped("Complete") || changed("completionTime"), complete);
    if changed("startTime") || changed("completionTime") {
        let time = |field: &str| crate::time::parse(status.get(field).text()).ok().map(|time| time.seconds);
        if let (Some(start), Some(end)) = (time("startTime"), time("completionTime"))
            && end < start
        {
            status.get("completionTime").invalid("must be equal to or after `startTime`");
        }
    }
    if (flipped("Failed") || changed("failedIndexes")) && failed && !target {
        bare(&conditions, "cannot set Failed=True condition without the FailureTarget=true condition");
    }
    if (flipped("Complete") || flipped("SuccessCriteriaMet")) && complete && !criteria {
        bare(&conditions, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    }
    let ended = finished(job);
    let just_ended = ended != finished(old);
    if (just_ended || changed("active")) && ended && status.get("active").int() > 0 {
        status.get("active").invalid("active>0 is invalid for finished job");
    }
    let empty_pause = spec.get("suspend").flag() && spec.get("completions").value().as_int() == Some(0);
    if (just_ended || changed("startTime")) && !empty_pause && ended {
        status.get("startTime").set("startTime is required for finished job");
    }
    let pods = status.get("uncountedTerminatedPods");
    if (just_ended || changed("uncountedTerminatedPods"))
        && ended
        && pods.get("failed").len() + pods.get("succeeded").len() > 0
    {
        pods.invalid("must be empty for finished job");
    }
    index_lists(&spec, &status, changed("completedIndexes"), changed("failedIndexes"));
    if (just_ended || changed("terminating")) && ended && status.get("terminating").int() > 0 {
        status.get("terminating").invalid("terminating>0 is invalid for finished job");
    }
    let ready = status.get("ready");
    if (changed("ready") || changed("active")) && ready.has() && ready.int() > status.get("active").int() {
        ready.invalid("cannot set more ready pods than active");
    }
    if criteria && failed {
        bare(&conditions, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if criteria && target {
        bare(&conditions, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    if spec.get("successPolicy").has() && !criteria && complete {
        bare(
            &conditions,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        );
    }
    transitions(job, old, &conditions);
}

fn uncounted(pods: &Node<'_>) {
    let all: Vec<Node<'_>> = ["succeeded", "failed"].iter().flat_map(|list| pods.get(list).items()).collect();
    for (at, uid) in all.iter().enumerate() {
        if uid.text().is_empty() {
            uid.invalid("must not be empty");
        } else if all[..at].iter().any(|other| other.text() == uid.text()) {
            uid.duplicate();
        }
    }
}

fn times(status: &Node<'_>, changed: bool, complete: bool) {
    let end = status.get("completionTime");
    if changed && end.has() && !complete {
        end.invalid("cannot set completionTime when there is no Complete=True condition");
    }
    if changed && complete {
        end.set("completionTime is required for Complete jobs");
    }
}

fn index_lists(spec: &Node<'_>, status: &Node<'_>, completed_changed: bool, failed_changed: bool) {
    let (completed, failed) = (status.get("completedIndexes"), status.get("failedIndexes"));
    let (completions, per_index) = (spec.get("completions"), spec.get("backoffLimitPerIndex"));
    let judge = |node: &Node<'_>, name: &str| {
        if let Err(text) = indexes(node.text(), completions.int()) {
            node.error(Error::invalid(
                node.path().clone(),
                node.text(),
                format!("error parsing {name}: {text}"),
            ));
        }
    };
    if completed_changed && completions.has() {
        judge(&completed, "completedIndexes");
    }
    if failed_changed && completions.has() && per_index.has() && failed.has() {
        judge(&failed, "failedIndexes");
    }
    if completed_changed && !completed.text().is_empty() && spec.get("completionMode").text() != "Indexed" {
        completed.invalid("cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && !per_index.has() && failed.has() {
        failed.invalid("cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (failed_changed || completed_changed) && completions.has() && failed.has() {
        let of = |node: &Node<'_>| intervals(node.text(), completions.int());
        let (done, bad) = (of(&completed), of(&failed));
        let shared = bad.iter().find_map(|bad| {
            done.iter()
                .map(|done| done.0.max(bad.0))
                .find(|first| *first <= bad.1 && done.iter().any(|done| (done.0..=done.1).contains(first)))
        });
        if let Some(index) = shared {
            failed.invalid(format!("failedIndexes and completedIndexes overlap at index: {index}"));
        }
    }
}

fn transitions(job: &Node<'_>, old: &Node<'_>, conditions: &Node<'_>) {
    let (status, was, spec) = (job.get("status"), old.get("status"), job.get("spec"));
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is(old, kind) && !is(job, kind) {
            bare(conditions, &format!("cannot disable the terminal {kind}=True condition"));
        }
    }
    let fewer = |field: &str| {
        if status.get(field).int() < was.get(field).int() {
            let value = status.get(field).int();
            let path = status.path().child(field);
            status.error(Error::invalid(path, value, format!("cannot decrease the {field} counter")));
        }
    };
    fewer("failed");
    let scales = spec.get("completionMode").text() == "Indexed"
        && spec.get("completions").is_same(&spec.get("parallelism"));
    if !scales {
        fewer("succeeded");
    }
    let (end, old_end) = (status.get("completionTime"), was.get("completionTime"));
    if end.has() && old_end.has() && !end.is_same(&old_end) {
        end.invalid("field is immutable");
    }
    let (start, old_start) = (status.get("startTime"), was.get("startTime"));
    let suspended = |node: &Node<'_>, with: &str| {
        let conditions = node.get("conditions").items();
        conditions.iter().any(|one| one.get("type").text() == "Suspended" && one.get("status").text() == with)
    };
    let resuming = suspended(&was, "True") && suspended(&status, "False");
    if old_start.has() && !start.is_same(&old_start) && !resuming && !spec.get("suspend").flag() {
        start.invalid("field is immutable for unsuspended job once set");
    }
    if is(old, "SuccessCriteriaMet") && !is(job, "SuccessCriteriaMet") {
        bare(conditions, "cannot disable the SuccessCriteriaMet=True condition");
    }
    if is(old, "Complete") && !is(old, "SuccessCriteriaMet") && is(job, "SuccessCriteriaMet") {
        bare(conditions, "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
    }
}
