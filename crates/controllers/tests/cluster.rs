//! The controllers against the real API server, in this process, each with its own identity and upstream's RBAC.

#![allow(clippy::unwrap_used)] // helpers of a test fail as the test does

use std::sync::Arc;

use api::{Key, Object};
use client::reconcile::Handle;
use client::{Cache, Delete, Patch, Propagation, Writer};
use serde_json::{Value, json};
use testkit_cluster::Cluster;
use testkit_cluster::Identity;

struct World {
    cluster: Cluster,
    writer: Writer,
    handles: Vec<Handle>,
}

async fn world() -> World {
    let cluster = Cluster::start().await;
    let caches = cluster.server.caches();
    let server = cluster.server.clone();
    let clients: controllers::Clients = Arc::new(move |user: &str| {
        let name = user.strip_prefix("system:serviceaccount:kube-system:").unwrap();
        server.local(Identity::service_account("kube-system", name))
    });
    let config = controllers::Config { root_ca: "a CA\n".into(), ..Default::default() };
    let handles = controllers::run(&clients, &caches, &cluster.clock, config, &cluster.tasks);
    let writer = Writer::new(cluster.admin(), caches, "test");
    World { cluster, writer, handles }
}

impl World {
    fn cache(&self, group: &str, plural: &str) -> Arc<Cache> {
        self.cluster.server.caches().named(group, plural).unwrap()
    }

    async fn create(&self, group: &str, plural: &str, body: Value) {
        let namespace = body["metadata"]["namespace"].as_str().unwrap_or_default().to_string();
        self.writer.create(&api::Resource::new(group, plural), &namespace, &body).await.unwrap();
    }

    /// Plays kubelet: every pod of a namespace runs and is ready.
    async fn run_pods(&self, namespace: &str) {
        for pod in objects(&self.cache("", "pods"), namespace) {
            let body = json!({ "status": { "phase": "Running", "podIP": "10.42.0.9",
                "podIPs": [{ "ip": "10.42.0.9" }], "conditions": [{ "type": "Ready", "status": "True",
                "lastTransitionTime": "2026-01-01T00:00:00Z" }] } });
            self.writer.patch(&pod.key, "status", Patch::Strategic(&body)).await.unwrap();
        }
    }
}

fn objects(cache: &Cache, namespace: &str) -> Vec<Arc<Object>> {
    cache.snapshot().range(namespace, None).cloned().collect()
}

fn value(object: &Arc<Object>) -> Value {
    client::decode(object).unwrap()
}

/// Waits, by the cache's events, until its objects are as wanted.
async fn until(cache: &Arc<Cache>, namespace: &str, what: &str, wanted: impl Fn(&[Value]) -> bool) {
    let (_, mut live) = cache.watch();
    let waiting = async {
        loop {
            let all: Vec<Value> = objects(cache, namespace).iter().map(value).collect();
            if wanted(&all) {
                return;
            }
            live.next().await.unwrap();
        }
    };
    // Only so that a failing test ends; nothing waits for this time to pass.
    let patience = std::time::Duration::from_secs(60);
    if tokio::time::timeout(patience, waiting).await.is_err() {
        let all: Vec<Value> = objects(cache, namespace).iter().map(value).collect();
        panic!("never came: {what}; there is {}", serde_json::to_string_pretty(&all).unwrap());
    }
}

fn deployment(image: &str) -> Value {
    json!({
        "kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": { "name": "web", "namespace": "shop" },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "web" } },
            "template": { "metadata": { "labels": { "app": "web" } },
                          "spec": { "containers": [{ "name": "c", "image": image }] } },
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_lives_and_dies() {
    let world = world().await;
    let namespace = json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": "shop" } });
    world.create("", "namespaces", namespace).await;
    let accounts = world.cache("", "serviceaccounts");
    until(&accounts, "shop", "the default account", |all| all.len() == 1).await;
    until(&world.cache("", "configmaps"), "shop", "the CA", |all| {
        all.iter().any(|map| map["data"]["ca.crt"] == "a CA\n")
    })
    .await;

    world.create("apps", "deployments", deployment("one")).await;
    world
        .create(
            "",
            "services",
            json!({ "kind": "Service", "apiVersion": "v1",
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": 8080 }] } }),
        )
        .await;
    let pods = world.cache("", "pods");
    until(&pods, "shop", "two pods", |all| all.len() == 2).await;
    world.run_pods("shop").await;
    let deployments = world.cache("apps", "deployments");
    until(&deployments, "shop", "an available Deployment", |all| {
        all[0]["status"]["availableReplicas"] == 2 && all[0]["status"]["observedGeneration"] == 1
    })
    .await;
    let slices = world.cache("discovery.k8s.io", "endpointslices");
    until(&slices, "shop", "two ready endpoints", |all| {
        let endpoints =
            all.iter().flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
        endpoints.filter(|one| one["conditions"]["ready"] == true).count() == 2
    })
    .await;

    // A new template: another ReplicaSet, and the revision says so.
    let key: Key = "apps/deployments/shop/web".parse().unwrap();
    let body =
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": "two" }] } } } });
    world.writer.patch(&key, "", Patch::Strategic(&body)).await.unwrap();
    until(&deployments, "shop", "the second revision", |all| {
        all[0]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    })
    .await;
    until(&world.cache("apps", "replicasets"), "shop", "a second set", |all| all.len() == 2).await;

    // Everything goes with it, the owner last.
    let foreground = Delete { propagation: Some(Propagation::Foreground), ..Delete::default() };
    world.writer.delete(&key, foreground).await.unwrap();
    until(&deployments, "shop", "no Deployment", |all| all.is_empty()).await;
    assert!(objects(&world.cache("apps", "replicasets"), "shop").is_empty());

    let key: Key = "core/namespaces/shop".parse().unwrap();
    world.writer.delete(&key, Delete::default()).await.unwrap();
    let all = world.cache("", "namespaces");
    until(&all, "", "no namespace", |all| all.iter().all(|one| one["metadata"]["name"] != "shop")).await;
    for cache in world.cluster.server.caches().all() {
        assert!(objects(&cache, "shop").is_empty(), "{} is left", cache.resource());
    }
    for handle in &world.handles {
        assert_eq!(handle.counters.panics.load(std::sync::atomic::Ordering::Relaxed), 0, "{}", handle.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_stay_and_are_adopted() {
    let world = world().await;
    let mut body = deployment("one");
    body["metadata"]["namespace"] = "default".into();
    world.create("apps", "deployments", body.clone()).await;
    let (sets, pods) = (world.cache("apps", "replicasets"), world.cache("", "pods"));
    until(&pods, "default", "two pods", |all| all.len() == 2).await;
    let key: Key = "apps/deployments/default/web".parse().unwrap();
    let orphan = Delete { propagation: Some(Propagation::Orphan), ..Delete::default() };
    world.writer.delete(&key, orphan).await.unwrap();
    until(&sets, "default", "a set without an owner", |all| {
        all.len() == 1 && all[0]["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty)
    })
    .await;
    until(&world.cache("apps", "deployments"), "default", "no Deployment", |all| all.is_empty()).await;
    world.create("apps", "deployments", body).await;
    until(&sets, "default", "the same set, adopted", |all| {
        all.len() == 1 && all[0]["metadata"]["ownerReferences"][0]["name"] == "web"
    })
    .await;
    assert_eq!(objects(&pods, "default").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_lets_one_pod_go_and_keeps_the_other() {
    let world = world().await;
    let namespace = json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": { "name": "shop" } });
    world.create("", "namespaces", namespace).await;
    until(&world.cache("", "serviceaccounts"), "shop", "the default account", |all| all.len() == 1).await;
    world
        .create(
            "policy",
            "poddisruptionbudgets",
            json!({ "kind": "PodDisruptionBudget", "apiVersion": "policy/v1",
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": { "maxUnavailable": "50%", "selector": { "matchLabels": { "app": "web" } } } }),
        )
        .await;
    world.create("apps", "deployments", deployment("one")).await;
    let pods = world.cache("", "pods");
    until(&pods, "shop", "two pods", |all| all.len() == 2).await;
    let budgets = world.cache("policy", "poddisruptionbudgets");
    let all = objects(&pods, "shop");
    let evict = |key: Key| {
        let body =
            json!({ "kind": "Eviction", "apiVersion": "policy/v1", "metadata": { "name": key.name() } });
        let writer = world.writer.clone();
        async move { writer.post(&key, "eviction", &body).await }
    };
    world.run_pods("shop").await;
    until(&budgets, "shop", "one pod to spare", |all| {
        all[0]["status"]["disruptionsAllowed"] == 1 && all[0]["status"]["expectedPods"] == 2
    })
    .await;
    evict(all[0].key.clone()).await.unwrap();
    let refused = evict(all[1].key.clone()).await.unwrap_err();
    assert!(refused.message().contains("disruption budget"), "{}", refused.message());

    // Its Deployment made another one; once that is ready, the budget has one to spare again.
    until(&pods, "shop", "a pod in place of the evicted one", |now| {
        now.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count() == 2
            && now.iter().all(|pod| pod["metadata"]["uid"] != *all[0].uid.0)
    })
    .await;
    world.run_pods("shop").await;
    until(&budgets, "shop", "one pod to spare again", |all| {
        all[0]["status"]["disruptionsAllowed"] == 1 && all[0]["status"]["currentHealthy"] == 2
    })
    .await;
    evict(all[1].key.clone()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_in_a_circle_go_together() {
    let world = world().await;
    let maps = world.cache("", "configmaps");
    let names = ["a", "b", "c"];
    let key = |name: &str| -> Key { format!("core/configmaps/default/{name}").parse().unwrap() };
    for name in names {
        let body = json!({ "metadata": { "name": name, "namespace": "default" } });
        world.create("", "configmaps", body).await;
    }
    for (name, owner) in names.iter().zip(["c", "a", "b"]) {
        let owner = maps.get_key(&key(owner)).unwrap();
        let reference = json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": owner.key.name(), "uid": owner.uid.0,
            "blockOwnerDeletion": true });
        let body = json!({ "metadata": { "ownerReferences": [reference] } });
        world.writer.patch(&key(name), "", Patch::Merge(&body)).await.unwrap();
    }
    let foreground = Delete { propagation: Some(Propagation::Foreground), ..Delete::default() };
    world.writer.delete(&key("a"), foreground).await.unwrap();
    until(&maps, "default", "none of the circle", |all| {
        all.iter().all(|one| !names.contains(&one["metadata"]["name"].as_str().unwrap_or_default()))
    })
    .await;
}
