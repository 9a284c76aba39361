//! What one object costs on its way through the server, in microseconds: `cargo bench -p api --profile quick`. Prints;
//! asserts nothing, because time is not to be tested.

use std::hint::black_box;
use std::time::Instant;

use api::apply::{self, Set, Subject};
use api::schema::{self, Schema};
use api::{Object, Revision, Value, decode, json, protobuf};

const DEPLOYMENT: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{"example.com/owner":"team-a"},"labels":{"app":"web","tier":"front"},"name":"web","namespace":"default"},"spec":{"progressDeadlineSeconds":600,"replicas":3,"revisionHistoryLimit":10,"selector":{"matchLabels":{"app":"web"}},"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"app":"web","tier":"front"}},"spec":{"containers":[{"env":[{"name":"MODE","value":"production"},{"name":"NODE","valueFrom":{"fieldRef":{"apiVersion":"v1","fieldPath":"spec.nodeName"}}}],"image":"registry.example/web:1.2.3","imagePullPolicy":"IfNotPresent","livenessProbe":{"failureThreshold":3,"httpGet":{"path":"/healthz","port":"http","scheme":"HTTP"},"periodSeconds":10,"successThreshold":1,"timeoutSeconds":1},"name":"web","ports":[{"containerPort":8080,"name":"http","protocol":"TCP"}],"resources":{"limits":{"cpu":"500m","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","volumeMounts":[{"mountPath":"/etc/web","name":"config"}]}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30,"volumes":[{"configMap":{"defaultMode":420,"name":"web"},"name":"config"}]}}}}"#;

fn measure(name: &str, mut run: impl FnMut()) {
    for _ in 0..200 {
        run();
    }
    // The best of many short batches: what the code costs when nobody else has the core.
    let best = (0..200)
        .map(|_| {
            let start = Instant::now();
            (0..25).for_each(|_| run());
            start.elapsed().as_secs_f64() / 25.0
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<34}{:>8.2} µs", best * 1e6);
}

fn main() {
    let of = schema::of_kind("apps", "v1", "Deployment").expect("because Deployment has a type");
    let kinds = api::kinds::builtin();
    let kind = kinds.resource("apps", "deployments").expect("because deployments are built in");
    let sent = json::parse(DEPLOYMENT.as_bytes()).expect("because it is JSON");
    println!("a Deployment of {} bytes", DEPLOYMENT.len());
    measure("parse", || drop(black_box(json::parse(DEPLOYMENT.as_bytes()))));
    measure("clone", || drop(black_box(sent.clone())));
    measure("normalize (with a clone)", || {
        let mut value = sent.clone();
        let _ = black_box(decode::normalize(of, &mut value));
    });
    let mut normal = sent.clone();
    decode::normalize(of, &mut normal).expect("because it is a Deployment");
    measure("default from facts (with a clone)", || {
        let mut value = normal.clone();
        decode::default_facts(of, &mut value);
        black_box(&value);
    });
    measure("write", || drop(black_box(json::to_vec(&normal))));
    let stored = api::object::stored(&normal);
    let key: api::Key = "apps/deployments/default/web".parse().expect("because it is a key");
    measure("object from stored bytes", || {
        drop(black_box(Object::from_stored(kind, &stored, key.clone(), Revision(7))));
    });
    measure("encode protobuf", || drop(black_box(protobuf::encode(of, &normal))));
    let body = protobuf::encode(of, &normal);
    measure("decode protobuf", || drop(black_box(protobuf::decode(&body))));

    let schema = Schema::Type(of);
    let subject = Subject {
        api_version: "apps/v1",
        kind: "Deployment",
        schema,
        subresource: "",
        reset: &Set::of_fields(&[&["status"]]),
        now: "2026-01-01T00:00:00Z",
        convert: &|_, _| None,
    };
    let applied = |live: Option<&Value>| {
        apply::apply(&subject, live, &sent, "kubectl", false).expect("because nobody else owns it")
    };
    measure("apply: create", || drop(black_box(applied(None))));
    let mut live = applied(None);
    live.set(&["metadata", "uid"], "u");
    decode::normalize(of, &mut live).expect("because it is a Deployment");
    measure("apply: nothing new", || drop(black_box(applied(Some(&live)))));
    measure("track a create", || {
        let mut new = normal.clone();
        apply::track_update(&subject, None, &mut new, "kubectl-create");
        black_box(&new);
    });
    measure("track a changed replica count", || {
        let mut new = live.clone();
        new.set(&["spec", "replicas"], 5i64);
        apply::track_update(&subject, Some(&live), &mut new, "kubectl-scale");
        black_box(&new);
    });
}
