//! Rollouts as data: a small cluster in which pods become available at once or never, stepped until nothing is left.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::plan::{self, Step};
use super::*;

fn deployment(replicas: i32, image: &str, extra: Value) -> View {
    let mut value = json!({
        "metadata": { "name": "web", "namespace": "ns", "uid": "d", "generation": 1 },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                          "spec": { "containers": [{ "name": "c", "image": image }] } },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
            "revisionHistoryLimit": 2, "progressDeadlineSeconds": 600,
        },
    });
    for (field, extra) in extra.as_object().unwrap() {
        value["spec"][field] = extra.clone();
    }
    serde_json::from_value(value).unwrap()
}

/// Applies steps to sets the way the server and the ReplicaSet controller would.
struct World {
    sets: Vec<Set>,
    made: usize,
    log: Vec<String>,
}

impl World {
    fn new() -> World {
        World { sets: Vec::new(), made: 0, log: Vec::new() }
    }

    /// One plan until nothing is left; `works(image)` tells which pods become available, and after each round they do.
    fn settle(&mut self, deployment: &mut View, works: &dyn Fn(&str) -> bool) {
        for _ in 0..100 {
            let mut quiet = true;
            while let Some(step) = plan::next(deployment, &self.sets, false, &|| false) {
                quiet = false;
                self.apply(deployment, step);
                assert!(self.log.len() < 200, "does not settle: {:?}", self.log);
            }
            self.pods(works);
            if quiet {
                return;
            }
        }
        panic!("does not settle: {:?}", self.log);
    }

    fn pods(&mut self, works: &dyn Fn(&str) -> bool) {
        for set in &mut self.sets {
            let image = set.spec.template["spec"]["containers"][0]["image"].as_str().unwrap().to_string();
            set.status.replicas = set.spec.replicas.unwrap();
            let available = if works(&image) { set.status.replicas } else { 0 };
            set.status.available_replicas = Some(available);
            set.status.ready_replicas = Some(available);
        }
    }

    fn apply(&mut self, deployment: &mut View, step: Step) {
        match step {
            Step::Create { replicas, revision } => {
                let owner: OwnerReference = serde_json::from_value(json!({ "uid": "d" })).unwrap();
                let mut body = plan::new_set(deployment, owner, replicas, revision);
                self.made += 1;
                body["metadata"]["creationTimestamp"] = format!("2026-01-01T00:00:{:02}Z", self.made).into();
                body["metadata"]["uid"] = format!("set{}", self.made).into();
                self.log.push(format!("create {} at {replicas}", self.made));
                self.sets.push(serde_json::from_value(body).unwrap());
            }
            Step::Annotate { name, annotations, min_ready_seconds } => {
                let set = self.set(&name);
                set.metadata.annotations = annotations;
                set.spec.min_ready_seconds = min_ready_seconds;
            }
            Step::Revision(revision) => {
                deployment.metadata.annotations.insert(plan::REVISION.into(), revision);
            }
            Step::Scale { name, from, to } => {
                let sizes = plan::size_annotations(deployment);
                let set = self.set(&name);
                assert_eq!(set.spec.replicas, Some(from));
                set.spec.replicas = Some(to);
                let annotations = &mut set.metadata.annotations;
                annotations.extend(sizes.into_iter().map(|(name, value)| (name.to_string(), value)));
                let uid = set.metadata.uid.clone();
                if from != to {
                    self.log.push(format!("{uid} {from}→{to}"));
                }
            }
            Step::Forget { name, uid } => {
                self.log.push(format!("forget {uid}"));
                self.sets.retain(|set| set.name() != name);
            }
        }
    }

    fn set(&mut self, name: &str) -> &mut Set {
        self.sets.iter_mut().find(|set| set.name() == name).unwrap()
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets.iter().map(Set::replicas).collect()
    }
    fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

#[test]
fn a_rolling_update_keeps_enough_pods() {
    let mut world = World::new();
    let mut first = deployment(4, "one", json!({}));
    world.settle(&mut first, &|_| true);
    assert_eq!(world.take_log(), ["create 1 at 4"]);
    assert_eq!(first.metadata.annotations[plan::REVISION], "1");
    let mut second = deployment(4, "two", json!({}));
    second.metadata.annotations = first.metadata.annotations.clone();
    world.settle(&mut second, &|_| true);
    assert_eq!(world.sizes(), [0, 4]);
    let log = ["create 2 at 1", "set1 4→3", "set2 1→2", "set1 3→1", "set2 2→4", "set1 1→0"];
    assert_eq!(world.take_log(), log);
    assert_eq!(second.metadata.annotations[plan::REVISION], "2");
    // Back to the first template: its set is found, gets the next revision, and remembers the old one.
    let mut third = deployment(4, "one", json!({}));
    third.metadata.annotations = second.metadata.annotations.clone();
    world.settle(&mut third, &|_| true);
    assert_eq!(world.sizes(), [4, 0]);
    assert_eq!(third.metadata.annotations[plan::REVISION], "3");
    assert_eq!(world.sets[0].annotation("deployment.kubernetes.io/revision-history"), Some("1"));
}

#[test]
fn a_bad_image_stops_the_rollout_and_an_undo_cleans_it_up() {
    let mut world = World::new();
    world.settle(&mut deployment(4, "one", json!({})), &|_| true);
    world.take_log();
    world.settle(&mut deployment(4, "bad", json!({})), &|image| image != "bad");
    assert_eq!(world.sizes(), [3, 2], "three of four stay available, and one surges");
    world.settle(&mut deployment(4, "one", json!({})), &|image| image != "bad");
    assert_eq!(world.sizes(), [4, 0]);
}

#[test]
fn recreate_takes_all_down_first() {
    let mut world = World::new();
    let recreate = json!({ "strategy": { "type": "Recreate" } });
    world.settle(&mut deployment(3, "one", recreate.clone()), &|_| true);
    world.take_log();
    world.settle(&mut deployment(3, "two", recreate.clone()), &|_| true);
    assert_eq!(world.take_log(), ["set1 3→0", "create 2 at 3"]);
    let waiting = plan::next(&deployment(3, "three", recreate), &world.sets[..1], false, &|| true);
    assert_eq!(waiting, None, "an old pod is still there");
}

#[test]
fn a_paused_rollout_scales_in_proportion() {
    let mut world = World::new();
    world.settle(&mut deployment(10, "one", json!({})), &|_| true);
    world.settle(&mut deployment(10, "two", json!({})), &|image| image == "one");
    assert_eq!(world.sizes(), [8, 5]);
    world.settle(&mut deployment(20, "two", json!({ "paused": true })), &|image| image == "one");
    assert_eq!(world.sizes().iter().sum::<i32>(), 25, "20 and a surge of 5: {:?}", world.sizes());
    assert_eq!(world.sizes(), [15, 10]);
}

#[test]
fn scaling_is_not_a_rollout() {
    let mut world = World::new();
    world.settle(&mut deployment(2, "one", json!({})), &|_| true);
    world.take_log();
    world.settle(&mut deployment(5, "one", json!({})), &|_| true);
    world.settle(&mut deployment(0, "one", json!({})), &|_| true);
    assert_eq!(world.take_log(), ["set1 2→5", "set1 5→0"]);
}

#[test]
fn history_is_bounded() {
    let mut world = World::new();
    let mut annotations = std::collections::BTreeMap::new();
    for image in ["one", "two", "three", "four", "five"] {
        let mut next = deployment(1, image, json!({}));
        next.metadata.annotations = annotations.clone();
        world.settle(&mut next, &|_| true);
        annotations = next.metadata.annotations;
    }
    let uids: Vec<_> = world.sets.iter().map(|set| set.metadata.uid.as_str()).collect();
    assert_eq!(uids, ["set3", "set4", "set5"]);
}

#[test]
fn templates_are_compared_without_the_hash_and_defaults_of_nothing() {
    let plain =
        json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [], "x": null } });
    let hashed = json!({ "metadata": { "creationTimestamp": null, "labels": { "app": "web", "pod-template-hash": "x" } }, "spec": {} });
    assert!(plan::same_template(&plain, &hashed));
    let volume = json!({ "spec": { "volumes": [{ "name": "a", "emptyDir": {} }] } });
    let none = json!({ "spec": { "volumes": [{ "name": "a" }] } });
    assert!(!plan::same_template(&volume, &none));
}

fn reason(status: &DeploymentStatus, kind: &str) -> String {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    found.map_or_else(String::new, |found| {
        format!("{} {}", found.status, found.reason.clone().unwrap_or_default())
    })
}

#[test]
fn conditions_tell_progress_and_its_end() {
    let at = |time: &str| Time(time.parse().unwrap());
    let mut world = World::new();
    let mut deployment = deployment(2, "one", json!({}));
    while let Some(step) = plan::next(&deployment, &world.sets, false, &|| false) {
        world.apply(&mut deployment, step);
    }
    let now = at("2026-01-01T00:00:00Z");
    deployment.status = progress::status(&deployment, &world.sets, Some("web-x"), &now);
    assert_eq!(reason(&deployment.status, "Progressing"), "True NewReplicaSetCreated");
    assert_eq!(reason(&deployment.status, "Available"), "False MinimumReplicasUnavailable");
    assert_eq!(progress::next_look(&deployment, &deployment.status, &now).unwrap().as_secs(), 601);
    let late = at("2026-01-01T00:10:01Z");
    let timed_out = progress::status(&deployment, &world.sets, None, &late);
    assert_eq!(reason(&timed_out, "Progressing"), "False ProgressDeadlineExceeded");
    assert_eq!(progress::next_look(&deployment, &timed_out, &late), None);
    world.pods(&|_| true);
    deployment.status = progress::status(&deployment, &world.sets, None, &late);
    assert_eq!(reason(&deployment.status, "Progressing"), "True NewReplicaSetAvailable");
    assert_eq!(reason(&deployment.status, "Available"), "True MinimumReplicasAvailable");
    assert_eq!(progress::next_look(&deployment, &deployment.status, &late), None);
    let again = progress::status(&deployment, &world.sets, None, &at("2026-01-02T00:00:00Z"));
    assert_eq!(again, deployment.status, "a converged Deployment writes nothing");
}
