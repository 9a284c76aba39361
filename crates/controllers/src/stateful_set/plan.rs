//! The next steps of a StatefulSet, in order of ordinals. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSetStatus;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::View;
use crate::{history, pods};

/// A template and the name of its ControllerRevision, which its pods carry as a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    pub name: String,
    pub template: Value,
}

#[derive(Debug, PartialEq)]
pub enum Step {
    Create { pod: Value, claims: Vec<Value> },
    Delete { name: String, uid: String },
}

pub fn revision(pod: &Pod) -> &str {
    let labels = pod.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(history::HASH)).map(String::as_str).unwrap_or_default()
}

fn ordinal(set: &View, pod: &Pod) -> Option<i64> {
    let name = pod.metadata.name.as_deref()?;
    let number = name.strip_prefix(&set.metadata.name)?.strip_prefix('-')?;
    number.parse().ok().filter(|number| *number >= 0)
}

fn start(set: &View) -> i64 {
    set.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0).into()
}

fn replicas(set: &View) -> i64 {
    set.spec.replicas.unwrap_or(1).into()
}

fn partition(set: &View) -> i64 {
    let rolling = set.spec.update_strategy.rolling_update.as_ref();
    rolling.and_then(|rolling| rolling.partition).unwrap_or(0).into()
}

fn delete(pod: &Pod) -> Step {
    Step::Delete {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
    }
}

pub fn plan(set: &View, all: &[Pod], current: &Revision, update: &Revision, now: Timestamp) -> Vec<Step> {
    let (start, count) = (start(set), replicas(set));
    let ordered = set.spec.pod_management_policy != "Parallel";
    let minimum = set.spec.min_ready_seconds;
    let healthy = |pod: &Pod| {
        pods::phase(pod) == "Running" && !pods::terminating(pod) && pods::available(pod, minimum, now)
    };
    let mut wanted: BTreeMap<i64, &Pod> = BTreeMap::new();
    let mut condemned: BTreeMap<i64, &Pod> = BTreeMap::new();
    for pod in all {
        let Some(ordinal) = ordinal(set, pod) else { continue };
        let side = if (start..start + count).contains(&ordinal) { &mut wanted } else { &mut condemned };
        side.insert(ordinal, pod);
    }
    let mut steps = Vec::new();
    for ordinal in start..start + count {
        match wanted.get(&ordinal) {
            None => {
                let of = if ordinal < start + partition(set) { current } else { update };
                steps.push(Step::Create { pod: pod(set, of, ordinal), claims: claims(set, ordinal) });
            }
            Some(pod) if pods::finished(pod) => {
                if !pods::terminating(pod) {
                    steps.push(delete(pod));
                }
            }
            Some(pod) if healthy(pod) => continue,
            Some(_) => {}
        }
        // In order: nothing further until this one is there and well.
        if ordered {
            return steps;
        }
    }
    // The highest goes first, and in order only one at a time, while its predecessors are well.
    for pod in condemned.values().rev() {
        if !pods::terminating(pod) {
            let sick_below =
                condemned.values().any(|other| !healthy(other) && ordinal(set, other) < ordinal(set, pod));
            if ordered && sick_below && !healthy(pod) {
                return steps;
            }
            steps.push(delete(pod));
        }
        if ordered {
            return steps;
        }
    }
    if set.spec.update_strategy.type_.as_deref() == Some("OnDelete") {
        return steps;
    }
    for ordinal in (start + partition(set)..start + count).rev() {
        let Some(pod) = wanted.get(&ordinal) else { continue };
        if revision(pod) != update.name && !pods::terminating(pod) {
            steps.push(delete(pod));
            return steps;
        }
        if !healthy(pod) {
            return steps;
        }
    }
    steps
}

fn claim_name(set: &View, template: &Value, ordinal: i64) -> String {
    let claim = template["metadata"]["name"].as_str().unwrap_or_default();
    format!("{claim}-{}-{ordinal}", set.metadata.name)
}

fn claims(set: &View, ordinal: i64) -> Vec<Value> {
    let claim = |template: &Value| {
        let mut claim = template.clone();
        claim["kind"] = "PersistentVolumeClaim".into();
        claim["apiVersion"] = "v1".into();
        claim["metadata"]["name"] = claim_name(set, template, ordinal).into();
        for (key, value) in set.spec.selector.match_labels.iter().flatten() {
            claim["metadata"]["labels"][key] = value.as_str().into();
        }
        if let Some(fields) = claim.as_object_mut() {
            fields.shift_remove("status");
        }
        claim
    };
    set.spec.volume_claim_templates.iter().map(claim).collect()
}

fn pod(set: &View, of: &Revision, ordinal: i64) -> Value {
    let name = format!("{}-{ordinal}", set.metadata.name);
    let mut metadata = json!({ "name": name });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = of.template.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    metadata["labels"]["statefulset.kubernetes.io/pod-name"] = name.as_str().into();
    metadata["labels"]["apps.kubernetes.io/pod-index"] = ordinal.to_string().into();
    metadata["labels"][history::HASH] = of.name.as_str().into();
    let mut spec = of.template["spec"].clone();
    spec["hostname"] = name.into();
    spec["subdomain"] = set.spec.service_name.as_str().into();
    if !set.spec.volume_claim_templates.is_empty() {
        let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
        for template in &set.spec.volume_claim_templates {
            let volume = template["metadata"]["name"].clone();
            // A claim goes before a volume of the template with the same name.
            volumes.retain(|other| other["name"] != volume);
            let claim = claim_name(set, template, ordinal);
            volumes.push(json!({ "name": volume, "persistentVolumeClaim": { "claimName": claim } }));
        }
        spec["volumes"] = volumes.into();
    }
    json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec })
}

pub fn status(
    set: &View,
    all: &[Pod],
    current: &Revision,
    update: &Revision,
    now: Timestamp,
) -> StatefulSetStatus {
    let count = |passes: &dyn Fn(&Pod) -> bool| {
        let passing = all.iter().filter(|pod| ordinal(set, pod).is_some() && passes(pod));
        i32::try_from(passing.count()).unwrap_or(i32::MAX)
    };
    let running = |pod: &Pod| pods::phase(pod) == "Running" && pods::ready(pod);
    let of = |pod: &Pod, wanted: &Revision| !pods::terminating(pod) && revision(pod) == wanted.name;
    let (total, ready) = (count(&|_| true), count(&running));
    let updated = count(&|pod| of(pod, update));
    let on_delete = set.spec.update_strategy.type_.as_deref() == Some("OnDelete");
    let wanted = i64::from(total) == replicas(set);
    let done = !on_delete && wanted && updated == total && ready == total;
    // The rollout is over: what was the goal is what there is.
    let current = if done { update } else { current };
    let some = |number: i32| (number != 0).then_some(number);
    StatefulSetStatus {
        replicas: total,
        ready_replicas: some(ready),
        available_replicas: Some(count(&|pod| {
            running(pod) && pods::available(pod, set.spec.min_ready_seconds, now)
        })),
        current_replicas: some(count(&|pod| of(pod, current))),
        updated_replicas: some(updated),
        current_revision: Some(current.name.clone()),
        update_revision: Some(update.name.clone()),
        observed_generation: Some(set.metadata.generation),
        collision_count: Some(set.status.collision_count.unwrap_or(0)),
        conditions: set.status.conditions.clone(),
    }
}

/// When the first of the ready pods that are not available yet will be.
pub fn next_available(all: &[Pod], minimum: i32, now: Timestamp) -> Option<Duration> {
    let left = all.iter().filter_map(|pod| pods::until_available(pod, minimum, now));
    left.filter(|left| !left.is_zero()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(extra: Value) -> View {
        let mut value = json!({
            "metadata": { "name": "db", "namespace": "ns", "uid": "s", "generation": 1 },
            "spec": {
                "replicas": 3, "serviceName": "db", "selector": { "matchLabels": { "app": "db" } },
                "template": { "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [] } },
                "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }],
            },
        });
        for (field, extra) in extra.as_object().unwrap() {
            value["spec"][field] = extra.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn at(name: &str) -> Revision {
        Revision {
            name: name.into(),
            template: json!({ "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [] } }),
        }
    }

    fn there(ordinal: i64, revision: &str, ready: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": format!("db-{ordinal}"), "uid": "u", "labels": { "controller-revision-hash": revision } },
            "status": { "phase": "Running", "conditions": [
                { "type": "Ready", "status": if ready { "True" } else { "False" } } ] },
        }))
        .unwrap()
    }

    fn show(set: &View, pods: &[Pod]) -> String {
        let steps = plan(set, pods, &at("db-old"), &at("db-new"), Timestamp::UNIX_EPOCH);
        let steps = steps.iter().map(|step| match step {
            Step::Create { pod, .. } => {
                let labels = &pod["metadata"]["labels"];
                format!(
                    "+{}@{}",
                    labels["apps.kubernetes.io/pod-index"].as_str().unwrap(),
                    labels[history::HASH].as_str().unwrap()
                )
            }
            Step::Delete { name, .. } => format!("-{name}"),
        });
        steps.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn in_order() {
        let plain = set(json!({}));
        let (new, sick) = (|at| there(at, "db-new", true), |at| there(at, "db-new", false));
        for (what, pods, expected) in [
            ("the first first", vec![], "+0@db-new"),
            ("waits for it", vec![sick(0)], ""),
            ("then the second", vec![new(0)], "+1@db-new"),
            ("a gap is filled", vec![new(0), new(2)], "+1@db-new"),
            ("all are there", vec![new(0), new(1), new(2)], ""),
            ("scales down from the top", vec![new(0), new(1), new(2), new(3), new(4)], "-db-4"),
            (
                "rolls from the top",
                vec![there(0, "db-old", true), there(1, "db-old", true), there(2, "db-old", true)],
                "-db-2",
            ),
            ("one at a time", vec![there(0, "db-old", true), there(1, "db-old", true), sick(2)], ""),
            ("then the next", vec![there(0, "db-old", true), there(1, "db-old", true), new(2)], "-db-1"),
        ] {
            assert_eq!(show(&plain, &pods), expected, "{what}");
        }
        let parallel = set(json!({ "podManagementPolicy": "Parallel" }));
        assert_eq!(show(&parallel, &[]), "+0@db-new +1@db-new +2@db-new");
        let partition =
            json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } });
        assert_eq!(show(&set(partition.clone()), &[]), "+0@db-old");
        let pods = [there(0, "db-old", true), there(1, "db-old", true), new(2)];
        assert_eq!(show(&set(partition), &pods), "");
        let on_delete = set(json!({ "updateStrategy": { "type": "OnDelete" } }));
        assert_eq!(show(&on_delete, &pods), "");
    }

    #[test]
    fn a_pod_has_a_name_and_claims_of_its_own() {
        let steps = plan(&set(json!({})), &[], &at("db-old"), &at("db-new"), Timestamp::UNIX_EPOCH);
        let Step::Create { pod, claims } = &steps[0] else { panic!("the first is made") };
        assert_eq!(pod["spec"]["hostname"], "db-0");
        assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-0");
        assert_eq!(claims[0]["metadata"]["name"], "data-db-0");
        assert_eq!(claims[0]["metadata"]["labels"]["app"], "db");
    }

    #[test]
    fn the_goal_becomes_the_present_when_all_are_there() {
        let pods: Vec<Pod> = (0..3).map(|ordinal| there(ordinal, "db-new", true)).collect();
        let of = |pods: &[Pod]| {
            let status = status(&set(json!({})), pods, &at("db-old"), &at("db-new"), Timestamp::UNIX_EPOCH);
            (status.current_revision.unwrap(), status.current_replicas, status.updated_replicas)
        };
        assert_eq!(of(&pods), ("db-new".into(), Some(3), Some(3)));
        assert_eq!(of(&pods[..2]), ("db-old".into(), None, Some(2)));
    }
}
