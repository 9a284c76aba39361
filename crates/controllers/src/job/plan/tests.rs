//! Rounds of a Job: what its pods are, and what the plan makes of them.

use super::*;

fn at(time: &str) -> Time {
    Time(time.parse().unwrap())
}

fn job(spec: Value, status: JobStatus) -> View {
    let mut value = json!({
        "metadata": { "name": "j", "namespace": "ns", "uid": "j", "generation": 1 },
        "spec": { "parallelism": 2, "completions": 3, "backoffLimit": 1,
                  "template": { "metadata": { "labels": { "app": "j" } },
                                "spec": { "restartPolicy": "Never", "containers": [{ "name": "c" }] } } },
    });
    for (field, extra) in spec.as_object().unwrap() {
        value["spec"][field] = extra.clone();
    }
    View { status, ..serde_json::from_value(value).unwrap() }
}

fn pod(name: &str, phase: &str, held: bool, index: &str) -> Pod {
    let annotations = if index.is_empty() { json!({}) } else { json!({ INDEX: index }) };
    serde_json::from_value(json!({
        "metadata": { "name": name, "uid": name, "annotations": annotations,
                      "finalizers": if held { json!([FINALIZER]) } else { json!([]) } },
        "status": { "phase": phase },
    }))
    .unwrap()
}

/// Runs a Job whose pods end as `ends` says, in order, and gives the phases of its life.
fn run(spec: Value, ends: &[&str]) -> (Vec<String>, JobStatus) {
    let (mut status, mut pods, mut log) = (JobStatus::default(), Vec::<Pod>::new(), Vec::new());
    let mut ends = ends.iter();
    for round in 0..40 {
        let now = at("2026-01-01T00:00:00Z");
        status = note(&job(spec.clone(), status), &pods);
        for pod in pods.iter_mut().filter(|pod| noted(&status, pod)) {
            pod.metadata.finalizers = None;
        }
        let view = job(spec.clone(), status);
        let planned = plan(&view, &pods, &now);
        for index in &planned.create {
            let text = index.map(|index| index.to_string()).unwrap_or_default();
            let mut made = pod(&format!("p{}", pods.len()), "Running", true, &text);
            let whole = super::pod(&view, *index, &pods);
            made.metadata.annotations =
                serde_json::from_value(whole["metadata"]["annotations"].clone()).unwrap();
            pods.push(made);
        }
        pods.retain(|pod| !planned.delete.iter().any(|(name, _)| Some(name) == pod.metadata.name.as_ref()));
        log.push(format!("+{} -{}", planned.create.len(), planned.delete.len()));
        status = super::status(&view, &pods, &now);
        if finished(&status).is_some() {
            return (log, status);
        }
        if let Some(running) = pods.iter_mut().find(|pod| pods::phase(pod) == "Running") {
            let end = ends.next().expect("the test says how each pod ends");
            running.status.as_mut().unwrap().phase = Some((*end).into());
        }
        assert!(round < 39, "never finishes: {log:?}");
    }
    unreachable!()
}

#[test]
fn runs_to_completion_and_counts_once() {
    let (log, status) = run(json!({}), &["Succeeded", "Failed", "Succeeded", "Succeeded"]);
    assert_eq!(log[0], "+2 -0");
    assert_eq!((status.succeeded, status.failed, status.active), (Some(3), Some(1), None));
    assert_eq!(finished(&status).unwrap().type_, "Complete");
    assert!(find(&status, "SuccessCriteriaMet").is_some() && status.completion_time.is_some());
}

#[test]
fn gives_up_after_the_limit() {
    let (_, status) = run(json!({}), &["Failed", "Failed"]);
    let end = finished(&status).unwrap();
    assert_eq!((end.type_.as_str(), end.reason.as_deref()), ("Failed", Some("BackoffLimitExceeded")));
    assert_eq!(status.failed, Some(2));
}

#[test]
fn indexes_are_each_done_once() {
    let spec = json!({ "completionMode": "Indexed" });
    let (_, status) = run(spec.clone(), &["Succeeded", "Failed", "Succeeded", "Succeeded"]);
    assert_eq!((status.completed_indexes.as_deref(), status.succeeded), (Some("0-2"), Some(3)));
    let made = super::pod(&job(spec, JobStatus::default()), Some(2), &[]);
    assert_eq!(made["metadata"]["generateName"], "j-2-");
    assert_eq!(made["spec"]["hostname"], "j-2");
    assert_eq!(made["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
}

#[test]
fn an_index_is_given_up_after_its_own_limit() {
    let spec = json!({ "completionMode": "Indexed", "backoffLimit": 100, "backoffLimitPerIndex": 1,
        "parallelism": 1, "completions": 2 });
    let (_, status) = run(spec.clone(), &["Failed", "Failed", "Succeeded"]);
    let end = finished(&status).unwrap();
    assert_eq!((end.type_.as_str(), end.reason.as_deref()), ("Failed", Some("FailedIndexes")));
    assert_eq!(
        (status.failed_indexes.as_deref(), status.completed_indexes.as_deref()),
        (Some("0"), Some("1"))
    );
    assert_eq!((status.succeeded, status.failed), (Some(1), Some(2)));
    let mut few = spec;
    few["maxFailedIndexes"] = json!(0);
    let (_, status) = run(few, &["Failed", "Failed"]);
    assert_eq!(finished(&status).unwrap().reason.as_deref(), Some("MaxFailedIndexesExceeded"));
}

#[test]
fn enough_is_enough() {
    let spec = json!({ "completionMode": "Indexed", "parallelism": 1,
        "successPolicy": { "rules": [{ "succeededIndexes": "2" }, { "succeededIndexes": "0-1", "succeededCount": 1 }] } });
    let (_, status) = run(spec, &["Succeeded"]);
    let end = finished(&status).unwrap();
    assert_eq!((end.type_.as_str(), end.reason.as_deref()), ("Complete", Some("SuccessPolicy")));
    assert_eq!(end.message.as_deref(), Some("Matched rules at index 1"));
    assert_eq!(status.completed_indexes.as_deref(), Some("0"));
}

#[test]
fn rules_judge_failures() {
    let ended = |code: i32| -> Pod {
        let mut ended = pod("p", "Failed", true, "");
        ended.metadata.namespace = Some("ns".into());
        ended.status.as_mut().unwrap().container_statuses = serde_json::from_value(json!([{ "name": "c", "image": "i",
            "imageID": "", "ready": false, "restartCount": 0, "state": { "terminated": { "exitCode": code } } }]))
        .unwrap();
        ended
    };
    let view = job(
        json!({ "podFailurePolicy": { "rules": [
            { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            { "action": "FailJob", "onExitCodes": { "operator": "In", "values": [3] } },
            { "action": "Count", "onExitCodes": { "operator": "NotIn", "values": [4] } }] } }),
        JobStatus::default(),
    );
    let mut moved = ended(3);
    moved.status.as_mut().unwrap().conditions =
        serde_json::from_value(json!([{ "type": "DisruptionTarget", "status": "True" }])).unwrap();
    assert_eq!(policy::verdict(&view, &moved), policy::Verdict::Ignore);
    assert_eq!(policy::verdict(&view, &ended(4)), policy::Verdict::Count);
    let text = "Container c for pod ns/p failed with exit code 3 matching FailJob rule at index 1";
    assert_eq!(policy::verdict(&view, &ended(3)), policy::Verdict::FailJob(text.into()));
    // One that is ignored is let go and not counted.
    let noted = note(&view, std::slice::from_ref(&moved));
    assert_eq!(uncounted(&noted), (Vec::new(), Vec::new()));
    assert_eq!(to_release(&view, &noted, &[moved]).len(), 1);
    let now = at("2026-01-01T00:00:00Z");
    let (kind, reason, _) = end(&view, &[ended(3)], &now).unwrap();
    assert_eq!((kind, reason.as_str()), ("FailureTarget", "PodFailurePolicy"));
    let mut going = pod("g", "Running", true, "");
    going.metadata.deletion_timestamp = Some(now.clone());
    going.spec = serde_json::from_value(json!({ "nodeName": "n", "containers": [] })).unwrap();
    assert!(!failed(&view, &going), "how it ends is yet to be told");
    assert_eq!(plan(&view, &[going], &now).create.len(), 1, "its place is taken until then");
}

#[test]
fn ranges_read_as_they_are_written() {
    for text in ["", "3", "0,1", "1,3-5,9"] {
        assert_eq!(ranges_text(&ranges(text)), text);
    }
}

#[test]
fn a_suspended_job_has_no_pods_and_no_start() {
    let running = [pod("a", "Running", true, "")];
    let view = job(json!({ "suspend": true }), JobStatus::default());
    let now = at("2026-01-01T00:00:00Z");
    assert_eq!(plan(&view, &running, &now).delete.len(), 1);
    let suspended = status(&view, &[], &now);
    assert!(find(&suspended, "Suspended").is_some() && suspended.start_time.is_none());
    let resumed = status(&job(json!({}), suspended), &[], &now);
    assert!(find(&resumed, "Suspended").is_none() && resumed.start_time.is_some());
}
