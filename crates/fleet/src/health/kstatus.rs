//! kstatus' rules (sigs.k8s.io/cli-utils/pkg/kstatus), with which Flux judges: conventions that every kind may follow,
//! and rules of its own for kinds that came before them. A Job counts when it is complete, as in Flux.

use api::Value;

use super::{Health, Status};

type Rule = (&'static str, &'static str, fn(&Value) -> Health);

const RULES: &[Rule] = &[
    ("apps", "Deployment", deployment),
    ("apps", "StatefulSet", stateful_set),
    ("apps", "ReplicaSet", replica_set),
    ("apps", "DaemonSet", daemon_set),
    ("", "Service", service),
    ("", "Pod", pod),
    ("", "PersistentVolumeClaim", claim),
    ("batch", "Job", job),
    ("policy", "PodDisruptionBudget", budget),
    ("apiextensions.k8s.io", "CustomResourceDefinition", definition),
];

/// The health of a live object: every kind has one.
pub(super) fn of(live: &Value) -> Health {
    if live.at(&["metadata", "deletionTimestamp"]).is_some() {
        return progressing("Resource scheduled for deletion");
    }
    let generation = number(live, &["metadata", "generation"]);
    let observed = live.at(&["status", "observedGeneration"]).and_then(Value::as_int);
    if let Some(observed) = observed.filter(|observed| *observed != generation) {
        return progressing(format!(
            "{} generation is {generation}, but latest observed generation is {observed}",
            live.str_at(&["kind"])
        ));
    }
    if let Some(one) = holds(live, "Reconciling") {
        return progressing(one.str_at(&["message"]));
    }
    if let Some(one) = holds(live, "Stalled") {
        return Health { status: Status::Degraded, message: one.str_at(&["message"]).into() };
    }
    let api_version = live.str_at(&["apiVersion"]);
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if let Some(rule) = RULES.iter().find(|rule| rule.0 == group && rule.1 == live.str_at(&["kind"])) {
        return (rule.2)(live);
    }
    match condition(live, "Ready") {
        Some(ready) if ready.str_at(&["status"]) != "True" => progressing(ready.str_at(&["message"])),
        _ => healthy("Resource is current"),
    }
}

fn healthy(message: impl Into<String>) -> Health {
    Health { status: Status::Healthy, message: message.into() }
}

fn progressing(message: impl Into<String>) -> Health {
    Health { status: Status::Progressing, message: message.into() }
}

fn failed(message: impl Into<String>) -> Health {
    Health { status: Status::Degraded, message: message.into() }
}

fn number(live: &Value, path: &[&str]) -> i64 {
    live.at(path).and_then(Value::as_int).unwrap_or_default()
}

fn wanted(live: &Value) -> i64 {
    live.at(&["spec", "replicas"]).and_then(Value::as_int).unwrap_or(1)
}

fn condition<'a>(live: &'a Value, kind: &str) -> Option<&'a Value> {
    let all = live.at(&["status", "conditions"]).and_then(Value::as_array)?;
    all.iter().find(|one| one.str_at(&["type"]) == kind)
}

fn holds<'a>(live: &'a Value, kind: &str) -> Option<&'a Value> {
    condition(live, kind).filter(|one| one.str_at(&["status"]) == "True")
}

/// The first count that is not reached, in words.
fn short_of(counts: &[(&str, i64, i64)]) -> Option<Health> {
    let (what, have, need) = counts.iter().find(|(_, have, need)| have < need)?;
    Some(progressing(format!("{what}: {have}/{need}")))
}

fn deployment(live: &Value) -> Health {
    let progress = condition(live, "Progressing");
    if progress.is_some_and(|one| one.str_at(&["reason"]) == "ProgressDeadlineExceeded") {
        return failed("Progress deadline exceeded");
    }
    let wanted = wanted(live);
    let count = |field: &str| number(live, &["status", field]);
    let (all, updated, available, ready) =
        (count("replicas"), count("updatedReplicas"), count("availableReplicas"), count("readyReplicas"));
    if let Some(short) = short_of(&[("Replicas", all, wanted), ("Updated", updated, wanted)]) {
        return short;
    }
    if all > wanted {
        return progressing(format!("Pending termination: {}", all - wanted));
    }
    if let Some(short) = short_of(&[("Available", available, updated), ("Ready", ready, wanted)]) {
        return short;
    }
    if condition(live, "Available").is_some_and(|one| one.str_at(&["status"]) != "True") {
        return progressing("Deployment does not have minimum availability");
    }
    healthy(format!("Deployment is available. Replicas: {all}"))
}

fn stateful_set(live: &Value) -> Health {
    if live.str_at(&["spec", "updateStrategy", "type"]) == "OnDelete" {
        return healthy("StatefulSet is using the ondelete update strategy");
    }
    let wanted = wanted(live);
    let count = |field: &str| number(live, &["status", field]);
    let (all, ready, current, updated) =
        (count("replicas"), count("readyReplicas"), count("currentReplicas"), count("updatedReplicas"));
    if let Some(short) = short_of(&[("Replicas", all, wanted), ("Ready", ready, wanted)]) {
        return short;
    }
    if all > wanted {
        return progressing(format!("Pending termination: {}", all - wanted));
    }
    let partition =
        live.at(&["spec", "updateStrategy", "rollingUpdate", "partition"]).and_then(Value::as_int);
    if let Some(partition) = partition.filter(|partition| *partition > 0) {
        if updated < wanted - partition {
            return progressing(format!("updated: {updated}/{}", wanted - partition));
        }
        return healthy(format!("Partition rollout complete. updated: {updated}"));
    }
    if current < wanted {
        return progressing(format!("current: {current}/{wanted}"));
    }
    if live.str_at(&["status", "currentRevision"]) != live.str_at(&["status", "updateRevision"]) {
        return progressing("Waiting for updated revision to match current");
    }
    healthy(format!("All replicas scheduled as expected. Replicas: {all}"))
}

fn replica_set(live: &Value) -> Health {
    if let Some(one) = holds(live, "ReplicaFailure") {
        return progressing(format!("Replica Failure condition: {}", one.str_at(&["message"])));
    }
    let wanted = wanted(live);
    let count = |field: &str| number(live, &["status", field]);
    let all = count("replicas");
    let counts = [
        ("Labelled", count("fullyLabeledReplicas"), wanted),
        ("Available", count("availableReplicas"), wanted),
        ("Ready", count("readyReplicas"), wanted),
    ];
    if let Some(short) = short_of(&counts) {
        return short;
    }
    if all > wanted {
        return progressing(format!("Pending termination: {}", all - wanted));
    }
    healthy(format!("ReplicaSet is available. Replicas: {all}"))
}

fn daemon_set(live: &Value) -> Health {
    if live.at(&["status", "observedGeneration"]).is_none() {
        return progressing("DaemonSet's controller has not seen it yet");
    }
    let count = |field: &str| number(live, &["status", field]);
    let wanted = count("desiredNumberScheduled");
    let counts = [
        ("Current", count("currentNumberScheduled"), wanted),
        ("Updated", count("updatedNumberScheduled"), wanted),
        ("Available", count("numberAvailable"), wanted),
        ("Ready", count("numberReady"), wanted),
    ];
    short_of(&counts)
        .unwrap_or_else(|| healthy(format!("All replicas scheduled as expected. Replicas: {wanted}")))
}

fn service(live: &Value) -> Health {
    if live.str_at(&["spec", "type"]) == "LoadBalancer" {
        let entries = live.at(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array);
        if live.str_at(&["spec", "clusterIP"]).is_empty() || entries.unwrap_or_default().is_empty() {
            return progressing("NoIPAssigned");
        }
    }
    healthy("Service is ready")
}

fn pod(live: &Value) -> Health {
    match live.str_at(&["status", "phase"]) {
        "Succeeded" => healthy("Pod has completed successfully"),
        "Failed" => failed("Pod has completed, but not successfully"),
        "Running" => {
            if holds(live, "Ready").is_some() {
                return healthy("Pod is Ready");
            }
            let statuses =
                live.at(&["status", "containerStatuses"]).and_then(Value::as_array).unwrap_or_default();
            let crashing: Vec<&str> = statuses
                .iter()
                .filter(|one| one.str_at(&["state", "waiting", "reason"]) == "CrashLoopBackOff")
                .map(|one| one.str_at(&["name"]))
                .collect();
            if crashing.is_empty() {
                return progressing("Pod is running but is not Ready");
            }
            failed(format!("Containers in CrashLoop state: {}", crashing.join(",")))
        }
        "Pending" => progressing("Pod is in the Pending phase"),
        phase => progressing(format!("Pod is in the {phase} phase")),
    }
}

fn claim(live: &Value) -> Health {
    match live.str_at(&["status", "phase"]) {
        "Bound" => healthy("PVC is Bound"),
        phase => progressing(format!("PVC is not Bound. phase: {phase}")),
    }
}

fn job(live: &Value) -> Health {
    if let Some(one) = holds(live, "Failed") {
        return failed(format!("Job Failed. {}", one.str_at(&["message"])));
    }
    if holds(live, "Complete").is_some() {
        return healthy("Job Completed");
    }
    progressing("Job in progress")
}

fn budget(live: &Value) -> Health {
    let (have, need) =
        (number(live, &["status", "currentHealthy"]), number(live, &["status", "desiredHealthy"]));
    if live.at(&["status", "observedGeneration"]).is_none() || have < need {
        return progressing(format!("Budget not met: {have}/{need}"));
    }
    healthy(format!("AllowedDisruptions: {}", number(live, &["status", "disruptionsAllowed"])))
}

fn definition(live: &Value) -> Health {
    if let Some(one) = condition(live, "NamesAccepted").filter(|one| one.str_at(&["status"]) == "False") {
        return failed(one.str_at(&["message"]));
    }
    match holds(live, "Established") {
        Some(_) => healthy("CRD is established"),
        None => progressing("Install in progress"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rules, Status, of};

    fn check(object: &str, expected: Status, part: &str) {
        let live = serde_json::from_str(object).unwrap();
        let health = of(Rules::Kstatus, &live).unwrap();
        assert_eq!(health.status, expected, "{object}: {health:?}");
        assert!(health.message.contains(part), "{object}: {health:?}");
    }

    #[test]
    fn rules() {
        let head = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":2},"spec":{"replicas":2},"status":"#;
        for (status, expected, part) in [
            (r#"{"observedGeneration":1}"#, Status::Progressing, "latest observed generation is 1"),
            (r#"{"observedGeneration":2,"replicas":1}"#, Status::Progressing, "Replicas: 1/2"),
            (
                r#"{"observedGeneration":2,"replicas":3,"updatedReplicas":2,"availableReplicas":2,"readyReplicas":2}"#,
                Status::Progressing,
                "Pending termination: 1",
            ),
            (
                r#"{"observedGeneration":2,"replicas":2,"updatedReplicas":2,"availableReplicas":2,"readyReplicas":2}"#,
                Status::Healthy,
                "",
            ),
            (
                r#"{"observedGeneration":2,"conditions":[{"type":"Progressing","reason":"ProgressDeadlineExceeded"}]}"#,
                Status::Degraded,
                "deadline",
            ),
        ] {
            check(&format!("{head}{status}}}"), expected, part);
        }
        check(r#"{"apiVersion":"v1","kind":"ConfigMap"}"#, Status::Healthy, "current");
        check(r#"{"apiVersion":"batch/v1","kind":"Job","status":{"active":1}}"#, Status::Progressing, "");
        check(
            r#"{"apiVersion":"x/v1","kind":"Own","status":{"conditions":[{"type":"Ready","status":"False","message":"why"}]}}"#,
            Status::Progressing,
            "why",
        );
        check(
            r#"{"apiVersion":"x/v1","kind":"Own","status":{"conditions":[{"type":"Stalled","status":"True","message":"stuck"}]}}"#,
            Status::Degraded,
            "stuck",
        );
        check(
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"deletionTimestamp":"x"}}"#,
            Status::Progressing,
            "deletion",
        );
    }
}
