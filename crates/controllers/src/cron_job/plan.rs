//! When a CronJob is due, what its list of running Jobs should say, and which old Jobs go. Pure.

use api::cron::Schedule;
use client::recorder::Severity;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJobStatus, Job};
use serde_json::{Value, json};

use super::{Spec, View, owner};
use crate::job;

/// A start that is due.
#[derive(Debug, PartialEq, Eq)]
pub struct Missed {
    /// The latest time that it was due at.
    pub last: Timestamp,
    /// More than a hundred were missed: a clock is wrong, or nobody looked for long.
    pub many: bool,
}

const MANY: i64 = 100;

/// The start that is due now, if one is. Nothing before the last start, the creation or the deadline counts.
pub fn due(
    schedule: &Schedule,
    created: Timestamp,
    last: Option<Timestamp>,
    deadline: Option<i64>,
    now: Timestamp,
) -> Option<Missed> {
    let mut from = last.unwrap_or(created);
    if let Some(seconds) = deadline {
        from = from.max(now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN));
    }
    let first = schedule.next(from).filter(|first| *first <= now)?;
    let Some(second) = schedule.next(first).filter(|second| *second <= now) else {
        return Some(Missed { last: first, many: false });
    };
    let apart = (second.as_second() - first.as_second()).max(1);
    let missed = (now.as_second() - first.as_second()) / apart + 1;
    // Jump near to now by the first distance, then walk: a schedule is not always even.
    let near = SignedDuration::from_secs(apart.saturating_mul((missed - 2).max(0)));
    let near = first.checked_add(near).unwrap_or(first);
    // A jump beyond the last one finds nothing: then the walk is from the second in whole.
    let last = latest(schedule, near, now).or_else(|| latest(schedule, second, now)).unwrap_or(second);
    Some(Missed { last, many: missed > MANY })
}

/// The latest time after `from` and up to `now`.
fn latest(schedule: &Schedule, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let next = |from: &Timestamp| schedule.next(*from).filter(|next| *next <= now);
    std::iter::successors(next(&from), next).last()
}

/// When the next start is due, seen from `now`.
pub fn next(
    schedule: &Schedule,
    created: Timestamp,
    last: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let from = due(schedule, created, last, None, now).map_or(last.unwrap_or(created), |missed| missed.last);
    schedule.next(from)
}

/// Brings the list of running Jobs to what the Jobs say; gives the events to tell.
pub fn follow(status: &mut CronJobStatus, jobs: &[Job]) -> Vec<(&'static str, Severity, String)> {
    let mut told = Vec::new();
    let active = status.active.get_or_insert_default();
    for job in jobs {
        let (name, uid) = (job.metadata.name.as_deref().unwrap_or_default(), &job.metadata.uid);
        let listed = active.iter().any(|one| one.uid == *uid);
        let end = job.status.as_ref().and_then(job::finished);
        match end {
            None if !listed => {
                let text = format!("Saw a job that the controller did not create or forgot: {name}");
                told.push(("UnexpectedJob", Severity::Warning, text));
            }
            Some(end) if listed => {
                active.retain(|one| one.uid != *uid);
                let text = format!("Saw completed job: {name}, condition: {}", end.type_);
                told.push(("SawCompletedJob", Severity::Normal, text));
            }
            _ => {}
        }
        if end.is_some_and(|end| end.type_ == "Complete") {
            let at = job.status.as_ref().and_then(|status| status.completion_time.clone());
            let later = match (&at, &status.last_successful_time) {
                (Some(at), Some(old)) => at.0 > old.0,
                (at, None) => at.is_some(),
                (None, Some(_)) => false,
            };
            if later {
                status.last_successful_time = at;
            }
        }
    }
    active.retain(|one| {
        let there = jobs.iter().any(|job| job.metadata.uid == one.uid);
        if !there {
            let text = format!("Active job went missing: {}", one.name.as_deref().unwrap_or_default());
            told.push(("MissingJob", Severity::Normal, text));
        }
        there
    });
    if active.is_empty() {
        status.active = None;
    }
    told
}

/// Names of the finished Jobs beyond the limits, oldest first.
pub fn too_many(spec: &Spec, jobs: &[Job]) -> Vec<String> {
    let mut names = Vec::new();
    for (kind, limit) in
        [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)]
    {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
        let ended =
            |job: &&Job| job.status.as_ref().and_then(job::finished).is_some_and(|end| end.type_ == kind);
        let mut all: Vec<&Job> = jobs.iter().filter(ended).collect();
        all.sort_by_key(|job| {
            let start = job.status.as_ref().and_then(|status| status.start_time.as_ref());
            (start.map_or(Timestamp::MAX, |time| time.0), job.metadata.name.clone())
        });
        let over = all.len().saturating_sub(limit);
        names.extend(all[..over].iter().filter_map(|job| job.metadata.name.clone()));
    }
    names
}

/// The Job for the start at `due`.
pub fn make(cron: &View, name: &str, due: Timestamp, zone: Option<&str>) -> Value {
    let template = &cron.spec.job_template;
    let mut annotations = template.pointer("/metadata/annotations").cloned().unwrap_or_else(|| json!({}));
    annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] = stamp(due, zone).into();
    let mut metadata = json!({ "name": name, "annotations": annotations, "ownerReferences": [owner(cron)] });
    if let Some(labels) = template.pointer("/metadata/labels") {
        metadata["labels"] = labels.clone();
    }
    json!({ "kind": "Job", "apiVersion": "batch/v1", "metadata": metadata, "spec": template["spec"] })
}

/// RFC 3339 in the CronJob's time zone, as Go writes it.
fn stamp(at: Timestamp, zone: Option<&str>) -> String {
    let zone = zone.filter(|zone| *zone != "Local").and_then(|zone| jiff::tz::TimeZone::get(zone).ok());
    let zoned = at.to_zoned(zone.unwrap_or(jiff::tz::TimeZone::UTC));
    match zoned.offset().seconds() {
        0 => zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        _ => zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn due_once_however_much_was_missed() {
        let hourly = Schedule::parse("0 * * * *", None).unwrap();
        let created = at("2026-01-01T00:30:00Z");
        let due = |last: Option<&str>, deadline, now: &str| {
            let missed = due(&hourly, created, last.map(at), deadline, at(now));
            missed.map(|missed| (missed.last.to_string(), missed.many))
        };
        let some = |text: &str, many| Some((text.to_string(), many));
        assert_eq!(due(None, None, "2026-01-01T00:59:59Z"), None);
        assert_eq!(due(None, None, "2026-01-01T01:00:00Z"), some("2026-01-01T01:00:00Z", false));
        assert_eq!(due(Some("2026-01-01T01:00:00Z"), None, "2026-01-01T01:30:00Z"), None);
        assert_eq!(due(None, None, "2026-01-01T05:10:00Z"), some("2026-01-01T05:00:00Z", false));
        assert_eq!(due(None, None, "2026-03-01T05:10:00Z"), some("2026-03-01T05:00:00Z", true));
        // The deadline hides what is older.
        assert_eq!(due(None, Some(60), "2026-01-01T05:10:00Z"), None);
        // Uneven: four times between six and sixteen on workdays.
        let uneven = Schedule::parse("30 6-16/4 * * 1-5", None).unwrap();
        let last = super::due(&uneven, created, None, None, at("2026-01-06T03:00:00Z")).unwrap().last;
        assert_eq!(last, at("2026-01-05T14:30:00Z"));
    }

    #[test]
    fn the_next_look_is_at_the_next_start() {
        let hourly = Schedule::parse("0 * * * *", None).unwrap();
        let next = |last: Option<&str>, now: &str| {
            next(&hourly, at("2026-01-01T00:30:00Z"), last.map(at), at(now)).unwrap().to_string()
        };
        assert_eq!(next(None, "2026-01-01T00:31:00Z"), "2026-01-01T01:00:00Z");
        assert_eq!(next(None, "2026-01-01T05:10:00Z"), "2026-01-01T06:00:00Z");
        assert_eq!(next(Some("2026-01-01T05:00:00Z"), "2026-01-01T05:00:01Z"), "2026-01-01T06:00:00Z");
    }

    fn job_of(name: &str, uid: &str, end: &str, start: &str) -> Job {
        let conditions = match end {
            "" => json!([]),
            end => json!([{ "type": end, "status": "True" }]),
        };
        let job = json!({ "metadata": { "name": name, "uid": uid },
            "status": { "conditions": conditions, "startTime": start, "completionTime": start } });
        serde_json::from_value(job).unwrap()
    }

    #[test]
    fn the_list_follows_the_jobs() {
        let mut status: CronJobStatus = serde_json::from_value(json!({ "active": [
            { "name": "done", "uid": "1" }, { "name": "runs", "uid": "2" }, { "name": "gone", "uid": "3" } ] }))
        .unwrap();
        let time = "2026-01-01T00:00:00Z";
        let jobs = [
            job_of("done", "1", "Complete", time),
            job_of("runs", "2", "", time),
            job_of("strange", "4", "", time),
        ];
        let reasons: Vec<&str> = follow(&mut status, &jobs).into_iter().map(|(reason, ..)| reason).collect();
        assert_eq!(reasons, ["SawCompletedJob", "UnexpectedJob", "MissingJob"]);
        let left: Vec<_> = status.active.iter().flatten().map(|one| one.name.as_deref().unwrap()).collect();
        assert_eq!(left, ["runs"]);
        assert_eq!(status.last_successful_time.unwrap().0, at(time));
    }

    #[test]
    fn the_oldest_go_first() {
        let spec: Spec = serde_json::from_value(json!({ "schedule": "", "jobTemplate": {},
            "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0 }))
        .unwrap();
        let jobs = [
            job_of("c", "1", "Complete", "2026-01-03T00:00:00Z"),
            job_of("a", "2", "Complete", "2026-01-01T00:00:00Z"),
            job_of("b", "3", "Complete", "2026-01-02T00:00:00Z"),
            job_of("f", "4", "Failed", "2026-01-01T00:00:00Z"),
            job_of("r", "5", "", "2026-01-01T00:00:00Z"),
        ];
        assert_eq!(too_many(&spec, &jobs), ["a", "b", "f"]);
    }

    #[test]
    fn a_job_tells_when_it_was_due() {
        assert_eq!(stamp(at("2026-01-01T00:00:00Z"), None), "2026-01-01T00:00:00Z");
        assert_eq!(stamp(at("2026-01-01T00:00:00Z"), Some("Asia/Seoul")), "2026-01-01T09:00:00+09:00");
    }
}
