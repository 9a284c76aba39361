//! The scheduler against the real API server, in this process, with upstream's RBAC.

#![allow(clippy::unwrap_used)] // helpers of a test fail as the test does

use api::{Key, Resource};
use client::{Patch, Writer};
use serde_json::{Value, json};
use testkit_cluster::Cluster;
use testkit_cluster::Identity;

/// Waits, by the cache's events, until an object is as wanted.
async fn until(cluster: &Cluster, key: &Key, wanted: impl Fn(&Value) -> bool) -> Value {
    let cache = cluster.server.caches().get(&key.resource()).unwrap();
    let (_, mut live) = cache.watch();
    let waiting = async {
        loop {
            let is: Value = cache.get_key(key).and_then(|object| client::decode(&object)).unwrap_or_default();
            if wanted(&is) {
                return is;
            }
            live.next().await.unwrap();
        }
    };
    // Only so that a failing test ends; nothing waits for this time to pass.
    tokio::time::timeout(std::time::Duration::from_secs(60), waiting).await.expect("it came")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_waits_says_why_and_is_bound_when_there_is_room() {
    let cluster = Cluster::start().await;
    let caches = cluster.server.caches();
    let own = cluster.server.local(Identity::new("system:kube-scheduler", &[]));
    scheduler::run(own, &caches, &cluster.clock, Default::default(), &cluster.tasks);
    let writer = Writer::new(cluster.admin(), caches, "test");
    let node = json!({ "kind": "Node", "apiVersion": "v1", "metadata": { "name": "n1" } });
    writer.create(&Resource::new("", "nodes"), "", &node).await.unwrap();
    let node: Key = "core/nodes/n1".parse().unwrap();
    let room = |cpu: &str| {
        json!({ "status": { "allocatable": { "cpu": cpu, "memory": "1Gi", "pods": "10" },
                            "capacity": { "cpu": cpu, "memory": "1Gi", "pods": "10" } } })
    };
    writer.patch(&node, "status", Patch::Strategic(&room("1"))).await.unwrap();
    // The server taints nodes that are new (TaintNodesByCondition); the node controller takes that away.
    writer.patch(&node, "", Patch::Merge(&json!({ "spec": { "taints": null } }))).await.unwrap();
    let account = json!({ "kind": "ServiceAccount", "apiVersion": "v1", "metadata": { "name": "default" } });
    writer.create(&Resource::new("", "serviceaccounts"), "default", &account).await.unwrap();
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1", "metadata": { "name": "p" },
        "spec": { "containers": [
            { "name": "c", "image": "i", "resources": { "requests": { "cpu": "2" } } } ] },
    });
    writer.create(&Resource::new("", "pods"), "default", &pod).await.unwrap();
    let pod: Key = "core/pods/default/p".parse().unwrap();
    let why =
        |pod: &Value| pod["status"]["conditions"][0]["message"].as_str().unwrap_or_default().to_string();
    until(&cluster, &pod, |pod| why(pod).starts_with("0/1 nodes are available: 1 Insufficient cpu.")).await;
    writer.patch(&node, "status", Patch::Strategic(&room("4"))).await.unwrap();
    let bound = until(&cluster, &pod, |pod| pod["spec"]["nodeName"] == "n1").await;
    assert_eq!(bound["status"]["conditions"][0]["status"], "True");
}
