//! Decisions as data: nodes and pods in, a node or upstream's words out.

use std::sync::Arc;

use api::{Key, Resource};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Happened, Node};
use crate::filter::Plugin;
use crate::pod::Pod;
use crate::queue::Queue;
use crate::schedule::{Decision, schedule};

fn pod(name: &str, spec: Value) -> Arc<Pod> {
    labelled(name, json!({}), spec)
}

fn labelled(name: &str, labels: Value, mut spec: Value) -> Arc<Pod> {
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{ "name": "c", "image": "img:1" }]);
    }
    let full = json!({
        "metadata": { "name": name, "namespace": "ns", "uid": name, "labels": labels,
                      "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": spec,
    });
    let key = Key::new(&Resource::new("", "pods"), "ns", name);
    Arc::new(Pod::of(key, serde_json::from_value(full).unwrap()))
}

fn asks(cpu: &str) -> Value {
    json!([{ "name": "c", "image": "img:1", "resources": { "requests": { "cpu": cpu } } }])
}

fn node(name: &str, spec: Value, labels: Value) -> Node {
    Node::of(
        serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels }, "spec": spec,
            "status": { "allocatable": { "cpu": "2", "memory": "4Gi", "pods": "3" } },
        }))
        .unwrap(),
    )
}

fn cluster(nodes: Vec<Node>, pods: &[Arc<Pod>]) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.put_node(node);
    }
    for pod in pods {
        cluster.put_pod(pod);
    }
    cluster
}

fn decide(cluster: &Cluster, pod: &Pod) -> String {
    match schedule(cluster, pod, 0) {
        Decision::Bind { node } => format!("→ {node}"),
        Decision::Wait { message, preemption: None, .. } => {
            message.split(" no new claims").next().unwrap().to_string()
        }
        Decision::Wait { preemption: Some(found), .. } => {
            let victims: Vec<_> = found.victims.iter().map(|victim| victim.key.name()).collect();
            format!("on {} instead of {}", found.node, victims.join(", "))
        }
    }
}

#[test]
fn one_node() {
    let plain = || node("n1", json!({}), json!({ "disk": "ssd", "kubernetes.io/hostname": "n1" }));
    let tainted = |effect: &str| {
        node("n1", json!({ "taints": [{ "key": "k", "value": "v", "effect": effect }] }), json!({}))
    };
    let affinity = |operator: &str, values: Value| {
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "disk", "operator": operator, "values": values } ] }] } } } })
    };
    let full: Vec<_> = ["a", "b", "c"].iter().map(|name| pod(name, json!({ "nodeName": "n1" }))).collect();
    let port = |number: u16| {
        json!({ "nodeName": "n1", "containers": [
            { "name": "c", "image": "i", "ports": [{ "containerPort": 80, "hostPort": number }] } ] })
    };
    let waiting_port = |number: u16| {
        let mut spec = port(number);
        spec["nodeName"] = Value::Null;
        spec
    };
    let not = |reason: &str| format!("0/1 nodes are available: 1 {reason}.");
    for (what, node, there, spec, expected) in [
        ("plain", plain(), vec![], json!({}), "→ n1".to_string()),
        ("cpu", plain(), vec![], json!({ "containers": asks("3") }), not("Insufficient cpu")),
        ("full", plain(), full, json!({}), not("Too many pods")),
        (
            "cordoned",
            self::node("n1", json!({ "unschedulable": true }), json!({})),
            vec![],
            json!({}),
            not("node(s) were unschedulable"),
        ),
        ("taint", tainted("NoSchedule"), vec![], json!({}), not("node(s) had untolerated taint(s)")),
        ("soft taint", tainted("PreferNoSchedule"), vec![], json!({}), "→ n1".into()),
        (
            "tolerated",
            tainted("NoExecute"),
            vec![],
            json!({ "tolerations": [{ "key": "k", "operator": "Exists" }] }),
            "→ n1".into(),
        ),
        ("selector", plain(), vec![], json!({ "nodeSelector": { "disk": "ssd" } }), "→ n1".into()),
        (
            "wrong selector",
            plain(),
            vec![],
            json!({ "nodeSelector": { "disk": "hdd" } }),
            not("node(s) didn't match Pod's node affinity/selector"),
        ),
        ("affinity", plain(), vec![], affinity("In", json!(["ssd", "nvme"])), "→ n1".into()),
        (
            "wrong affinity",
            plain(),
            vec![],
            affinity("NotIn", json!(["ssd"])),
            not("node(s) didn't match Pod's node affinity/selector"),
        ),
        (
            "port",
            plain(),
            vec![pod("a", port(80))],
            waiting_port(80),
            not("node(s) didn't have free ports for the requested pod ports"),
        ),
        ("other port", plain(), vec![pod("a", port(80))], waiting_port(81), "→ n1".into()),
    ] {
        let cluster = cluster(vec![node], &there);
        assert_eq!(decide(&cluster, &pod("new", spec)), expected, "{what}");
    }
    assert_eq!(decide(&Cluster::default(), &pod("new", json!({}))), "no nodes available to schedule pods");
}

#[test]
fn the_whole_message_is_upstreams() {
    let nodes =
        vec![node("n1", json!({}), json!({})), node("n2", json!({ "unschedulable": true }), json!({}))];
    let Decision::Wait { message, plugins, .. } =
        schedule(&cluster(nodes, &[]), &pod("new", json!({ "containers": asks("3") })), 0)
    else {
        panic!("it fits")
    };
    assert_eq!(
        message,
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. no new claims to deallocate, \
         preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
    assert_eq!(plugins, [Plugin::Fit, Plugin::Unschedulable]);
}

#[test]
fn between_pods() {
    let zone = |name: &str, zone: &str| node(name, json!({}), json!({ "zone": zone }));
    let term = |kind: &str, app: &str| {
        json!({ "affinity": { kind: { "requiredDuringSchedulingIgnoredDuringExecution": [
            { "topologyKey": "zone", "labelSelector": { "matchLabels": { "app": app } } } ] } } })
    };
    let on = |name: &str, app: &str, node: &str, extra: Value| {
        let mut spec = extra;
        spec["nodeName"] = node.into();
        labelled(name, json!({ "app": app }), spec)
    };
    let two = || vec![zone("n1", "a"), zone("n2", "b")];
    let web = |spec: Value| labelled("new", json!({ "app": "web" }), spec);
    for (what, there, pod, expected) in [
        ("near", vec![on("db", "db", "n2", json!({}))], web(term("podAffinity", "db")), "→ n2"),
        (
            "nowhere near",
            vec![],
            web(term("podAffinity", "db")),
            "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.",
        ),
        ("first of its kind", vec![on("x", "x", "n1", json!({}))], web(term("podAffinity", "web")), "→ n2"),
        ("away", vec![on("db", "db", "n2", json!({}))], web(term("podAntiAffinity", "db")), "→ n1"),
        ("kept off", vec![on("db", "db", "n1", term("podAntiAffinity", "web"))], web(json!({})), "→ n2"),
    ] {
        assert_eq!(decide(&cluster(two(), &there), &pod), expected, "{what}");
    }
    let spread = json!({ "topologySpreadConstraints": [{
        "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "web" } } }] });
    let there = [on("one", "web", "n1", json!({}))];
    assert_eq!(decide(&cluster(two(), &there), &web(spread.clone())), "→ n2");
    let there = [on("one", "web", "n1", json!({})), on("two", "web", "n1", json!({}))];
    let half_full = cluster(
        vec![zone("n1", "a"), node("n2", json!({ "unschedulable": true }), json!({ "zone": "b" }))],
        &there,
    );
    assert_eq!(
        decide(&half_full, &web(spread)),
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable."
    );
}

#[test]
fn the_emptier_node_is_better() {
    let nodes = vec![node("n1", json!({}), json!({})), node("n2", json!({}), json!({}))];
    let busy = pod("busy", json!({ "nodeName": "n1", "containers": asks("1") }));
    assert_eq!(decide(&cluster(nodes, &[busy]), &pod("new", json!({}))), "→ n2");
}

#[test]
fn the_important_pod_takes_the_least_important_place() {
    let on = |name: &str, node: &str, cpu: &str, priority: i32| {
        pod(name, json!({ "nodeName": node, "priority": priority, "containers": asks(cpu) }))
    };
    let nodes = || vec![node("n1", json!({}), json!({})), node("n2", json!({}), json!({}))];
    let there = [on("low", "n1", "1", 1), on("lower", "n1", "1", 0), on("mid", "n2", "2", 5)];
    let new = |priority: i32, policy: &str| {
        pod("new", json!({ "priority": priority, "preemptionPolicy": policy, "containers": asks("1") }))
    };
    let cluster = cluster(nodes(), &there);
    assert_eq!(decide(&cluster, &new(10, "PreemptLowerPriority")), "on n1 instead of lower");
    assert_eq!(
        decide(&cluster, &new(0, "PreemptLowerPriority")),
        "0/2 nodes are available: 2 Insufficient cpu."
    );
    assert_eq!(decide(&cluster, &new(10, "Never")), "0/2 nodes are available: 2 Insufficient cpu.");
    // Whoever was promised the room has it, against those who are not more important.
    let mut promised = cluster.clone();
    promised.remove_pod(&there[1].key);
    promised.nominated.insert(new(10, "").key.clone(), ("n1".into(), new(10, "PreemptLowerPriority")));
    let other = pod("other", json!({ "priority": 0, "containers": asks("1") }));
    assert_eq!(decide(&promised, &other), "0/2 nodes are available: 2 Insufficient cpu.");
    assert_eq!(decide(&promised, &new(10, "PreemptLowerPriority")), "→ n1");
}

#[tokio::test(start_paused = true)]
async fn only_what_helps_wakes_a_pod() {
    let mut queue = Queue::default();
    queue.put(pod("a", json!({})));
    queue.put(pod("b", json!({ "priority": 5 })));
    queue.put(pod("gated", json!({ "schedulingGates": [{ "name": "x" }] })));
    let pop = |queue: &mut Queue| queue.pop().map(|pod| pod.key.name().to_string());
    assert_eq!(pop(&mut queue).as_deref(), Some("b"), "the important one first");
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
    assert_eq!(pop(&mut queue), None);
    let key = pod("a", json!({})).key.clone();
    queue.reject(&key, vec![Plugin::Fit]);
    queue.happened(Happened::NodeTaints);
    assert_eq!(queue.next_time(), None, "no timer while nothing helps");
    queue.happened(Happened::PodGone);
    assert_eq!(pop(&mut queue), None, "it is in back-off");
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(pop(&mut queue).as_deref(), Some("a"));
    queue.reject(&key, vec![Plugin::Fit]);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    queue.happened(Happened::PodGone);
    assert_eq!(pop(&mut queue).as_deref(), Some("a"), "its back-off passed while it waited");
}
