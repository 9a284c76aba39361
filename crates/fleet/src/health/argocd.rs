//! Argo CD's rules for built-in kinds. Texts are upstream's, because people search for them.

use api::Value;

use super::{Health, Status};

type Rule = (&'static str, &'static str, fn(&Value) -> Health);

pub(super) const RULES: &[Rule] = &[
    ("apps", "Deployment", deployment),
    ("apps", "StatefulSet", stateful_set),
    ("apps", "ReplicaSet", replica_set),
    ("apps", "DaemonSet", daemon_set),
    ("", "Service", service),
    ("", "PersistentVolumeClaim", claim),
    ("", "Pod", pod),
    ("batch", "Job", job),
    ("networking.k8s.io", "Ingress", ingress),
    ("autoscaling", "HorizontalPodAutoscaler", autoscaler),
    ("apiregistration.k8s.io", "APIService", api_service),
    ("apiextensions.k8s.io", "CustomResourceDefinition", definition),
    ("argoproj.io", "Application", application),
];

fn is(status: Status, message: impl Into<String>) -> Health {
    Health { status, message: message.into() }
}

fn number(live: &Value, path: &[&str]) -> i64 {
    live.at(path).and_then(Value::as_int).unwrap_or_default()
}

fn observed(live: &Value) -> bool {
    number(live, &["metadata", "generation"]) <= number(live, &["status", "observedGeneration"])
}

fn condition<'a>(live: &'a Value, kind: &str) -> Option<&'a Value> {
    let all = live.at(&["status", "conditions"]).and_then(Value::as_array)?;
    all.iter().find(|condition| condition.str_at(&["type"]) == kind)
}

fn deployment(live: &Value) -> Health {
    if live.at(&["spec", "paused"]).and_then(Value::as_bool) == Some(true) {
        return is(Status::Suspended, "Deployment is paused");
    }
    if !observed(live) {
        return is(
            Status::Progressing,
            "Waiting for rollout to finish: observed deployment generation less than desired generation",
        );
    }
    let name = live.str_at(&["metadata", "name"]);
    let wanted = live.at(&["spec", "replicas"]).and_then(Value::as_int).unwrap_or(1);
    let updated = number(live, &["status", "updatedReplicas"]);
    let all = number(live, &["status", "replicas"]);
    let available = number(live, &["status", "availableReplicas"]);
    if condition(live, "Progressing").is_some_and(|one| one.str_at(&["reason"]) == "ProgressDeadlineExceeded")
    {
        return is(Status::Degraded, format!("Deployment \"{name}\" exceeded its progress deadline"));
    }
    if updated < wanted {
        let text = format!(
            "Waiting for rollout to finish: {updated} out of {wanted} new replicas have been updated..."
        );
        return is(Status::Progressing, text);
    }
    if all > updated {
        let text = format!(
            "Waiting for rollout to finish: {} old replicas are pending termination...",
            all - updated
        );
        return is(Status::Progressing, text);
    }
    if available < updated {
        let text = format!(
            "Waiting for rollout to finish: {available} of {updated} updated replicas are available..."
        );
        return is(Status::Progressing, text);
    }
    is(Status::Healthy, "")
}

fn stateful_set(live: &Value) -> Health {
    if !observed(live) || live.get("status").is_none() {
        return is(Status::Progressing, "Waiting for statefulset spec update to be observed...");
    }
    let wanted = live.at(&["spec", "replicas"]).and_then(Value::as_int).unwrap_or(1);
    let ready = number(live, &["status", "readyReplicas"]);
    if ready < wanted {
        return is(Status::Progressing, format!("Waiting for {} pods to be ready...", wanted - ready));
    }
    let updated = number(live, &["status", "updatedReplicas"]);
    if live.str_at(&["spec", "updateStrategy", "type"]) == "OnDelete" {
        return is(Status::Healthy, format!("statefulset has {ready} ready pods"));
    }
    let partition =
        live.at(&["spec", "updateStrategy", "rollingUpdate", "partition"]).and_then(Value::as_int);
    if let Some(partition) = partition.filter(|partition| *partition > 0) {
        if updated < wanted - partition {
            let of = wanted - partition;
            let text = format!(
                "Waiting for partitioned roll out to finish: {updated} out of {of} new pods have been updated..."
            );
            return is(Status::Progressing, text);
        }
        return is(
            Status::Healthy,
            format!("partitioned roll out complete: {updated} new pods have been updated..."),
        );
    }
    let (update, current) =
        (live.str_at(&["status", "updateRevision"]), live.str_at(&["status", "currentRevision"]));
    if update != current {
        let text = format!(
            "waiting for statefulset rolling update to complete {updated} pods at revision {update}..."
        );
        return is(Status::Progressing, text);
    }
    is(Status::Healthy, format!("statefulset rolling update complete {wanted} pods at revision {current}..."))
}

fn replica_set(live: &Value) -> Health {
    if !observed(live) {
        return is(
            Status::Progressing,
            "Waiting for rollout to finish: observed replica set generation less than desired generation",
        );
    }
    if let Some(failure) = condition(live, "ReplicaFailure").filter(|one| one.str_at(&["status"]) == "True") {
        return is(Status::Degraded, failure.str_at(&["message"]));
    }
    let wanted = live.at(&["spec", "replicas"]).and_then(Value::as_int).unwrap_or(1);
    let available = number(live, &["status", "availableReplicas"]);
    if available < wanted {
        let text = format!(
            "Waiting for rollout to finish: {available} out of {wanted} new replicas are available..."
        );
        return is(Status::Progressing, text);
    }
    is(Status::Healthy, "")
}

fn daemon_set(live: &Value) -> Health {
    if !observed(live) {
        return is(
            Status::Progressing,
            "Waiting for rollout to finish: observed daemon set generation less than desired generation",
        );
    }
    if live.str_at(&["spec", "updateStrategy", "type"]) == "OnDelete" {
        return is(Status::Healthy, "");
    }
    let name = live.str_at(&["metadata", "name"]);
    let wanted = number(live, &["status", "desiredNumberScheduled"]);
    let updated = number(live, &["status", "updatedNumberScheduled"]);
    if updated < wanted {
        let text = format!(
            "Waiting for daemon set \"{name}\" rollout to finish: {updated} out of {wanted} new pods have been updated..."
        );
        return is(Status::Progressing, text);
    }
    let available = number(live, &["status", "numberAvailable"]);
    if available < wanted {
        let text = format!(
            "Waiting for daemon set \"{name}\" rollout to finish: {available} of {wanted} updated pods are available..."
        );
        return is(Status::Progressing, text);
    }
    is(Status::Healthy, "")
}

fn service(live: &Value) -> Health {
    let entries =
        live.at(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array).unwrap_or_default();
    if live.str_at(&["spec", "type"]) == "LoadBalancer" && entries.is_empty() {
        return is(Status::Progressing, "");
    }
    is(Status::Healthy, "")
}

fn claim(live: &Value) -> Health {
    match live.str_at(&["status", "phase"]) {
        "Lost" => is(Status::Degraded, ""),
        "Pending" => is(Status::Progressing, ""),
        "Bound" => is(Status::Healthy, ""),
        _ => is(Status::Unknown, ""),
    }
}

fn pod(live: &Value) -> Health {
    let statuses = live.at(&["status", "containerStatuses"]).and_then(Value::as_array).unwrap_or_default();
    if live.str_at(&["spec", "restartPolicy"]) == "Always" {
        for status in statuses {
            let reason = status.str_at(&["state", "waiting", "reason"]);
            if reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff") {
                return is(Status::Degraded, status.str_at(&["state", "waiting", "message"]));
            }
        }
    }
    let message = live.str_at(&["status", "message"]);
    match live.str_at(&["status", "phase"]) {
        "Succeeded" => is(Status::Healthy, message),
        "Failed" => is(Status::Degraded, message),
        "Running" if condition(live, "Ready").is_some_and(|one| one.str_at(&["status"]) == "True") => {
            is(Status::Healthy, message)
        }
        "Running" | "Pending" => is(Status::Progressing, message),
        _ => is(Status::Unknown, message),
    }
}

fn job(live: &Value) -> Health {
    let holds = |kind: &str| condition(live, kind).filter(|one| one.str_at(&["status"]) == "True");
    if let Some(failed) = holds("Failed") {
        return is(Status::Degraded, failed.str_at(&["message"]));
    }
    if holds("Suspended").is_some() {
        return is(Status::Suspended, "Job is suspended");
    }
    match holds("Complete") {
        Some(complete) => is(Status::Healthy, complete.str_at(&["message"])),
        None => is(Status::Progressing, ""),
    }
}

fn ingress(live: &Value) -> Health {
    let entries =
        live.at(&["status", "loadBalancer", "ingress"]).and_then(Value::as_array).unwrap_or_default();
    is(if entries.is_empty() { Status::Progressing } else { Status::Healthy }, "")
}

fn autoscaler(live: &Value) -> Health {
    for kind in ["AbleToScale", "ScalingActive"] {
        let failed = condition(live, kind).filter(|one| {
            one.str_at(&["status"]) == "False" && one.str_at(&["reason"]).starts_with("Failed")
        });
        if let Some(failed) = failed {
            return is(Status::Degraded, failed.str_at(&["message"]));
        }
    }
    match condition(live, "AbleToScale") {
        Some(able) if able.str_at(&["status"]) == "True" => is(Status::Healthy, able.str_at(&["message"])),
        _ => is(Status::Progressing, "Waiting to Autoscale"),
    }
}

fn api_service(live: &Value) -> Health {
    match condition(live, "Available") {
        Some(one) if one.str_at(&["status"]) == "True" => is(Status::Healthy, ""),
        Some(one) => is(Status::Progressing, one.str_at(&["message"])),
        None => is(Status::Progressing, "Waiting to be processed"),
    }
}

fn definition(live: &Value) -> Health {
    match condition(live, "Established") {
        Some(one) if one.str_at(&["status"]) == "True" => is(Status::Healthy, "CRD is healthy"),
        _ => is(Status::Progressing, "CRD is not established"),
    }
}

fn application(live: &Value) -> Health {
    match live.str_at(&["status", "health", "status"]) {
        "Healthy" => is(Status::Healthy, ""),
        "Degraded" => is(Status::Degraded, ""),
        "Suspended" => is(Status::Suspended, ""),
        _ => is(Status::Progressing, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rules, Status, of};

    fn check(object: &str, expected: Option<Status>) {
        let live = serde_json::from_str(object).unwrap();
        assert_eq!(of(Rules::ArgoCd, &live).map(|health| health.status), expected, "{object}");
    }

    #[test]
    fn rules() {
        let head = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"generation":2},"spec":{"replicas":2},"status":"#;
        check(&format!(r#"{head}{{"observedGeneration":1}}}}"#), Some(Status::Progressing));
        check(
            &format!(
                r#"{head}{{"observedGeneration":2,"replicas":2,"updatedReplicas":2,"availableReplicas":1}}}}"#
            ),
            Some(Status::Progressing),
        );
        check(
            &format!(
                r#"{head}{{"observedGeneration":2,"replicas":2,"updatedReplicas":2,"availableReplicas":2}}}}"#
            ),
            Some(Status::Healthy),
        );
        check(
            &format!(
                r#"{head}{{"observedGeneration":2,"conditions":[{{"type":"Progressing","reason":"ProgressDeadlineExceeded"}}]}}}}"#
            ),
            Some(Status::Degraded),
        );
        check(r#"{"apiVersion":"v1","kind":"ConfigMap"}"#, None);
        check(
            r#"{"apiVersion":"batch/v1","kind":"Job","status":{"conditions":[{"type":"Failed","status":"True"}]}}"#,
            Some(Status::Degraded),
        );
        check(
            r#"{"apiVersion":"v1","kind":"Service","spec":{"type":"LoadBalancer"}}"#,
            Some(Status::Progressing),
        );
        check(
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"deletionTimestamp":"x"}}"#,
            Some(Status::Progressing),
        );
    }
}
