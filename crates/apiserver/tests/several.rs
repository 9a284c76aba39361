//! Three API servers on one etcd: what one answered the others show, watches miss nothing, and what there is one of is given once.
//! Without etcd on the machine every test says that it did not run (`cargo xtask faults etcd`).

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

#[allow(dead_code)]
#[path = "../../store/tests/program/mod.rs"]
mod program;

use std::collections::BTreeSet;
use std::sync::Arc;

use base::Clock;
use http::Method;
use serde_json::json;
use store::Store;
use store::etcd::{Etcd, Options};
use testkit_cluster::{Cluster, NoNodes};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Servers {
    all: Vec<Arc<Cluster>>,
    // Ends after the servers.
    _etcd: program::Cluster,
    _dir: tempfile::TempDir,
}

async fn start() -> Option<Servers> {
    let etcd = program::Cluster::start(program::find()?, 1);
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for number in 1..=3 {
        let store = Arc::new(Etcd::open(Options::new(etcd.endpoints())).await.unwrap());
        let clock = Clock::system("2026-01-01T00:00:00Z".parse().unwrap());
        let change = |config: &mut apiserver::Config| {
            config.service_cidrs = vec!["10.43.0.0/25".parse().unwrap()];
            config.node_ports = 30000..=30059;
        };
        let address = format!("192.0.2.{number}:6443");
        all.push(Arc::new(Cluster::on(store, dir.path(), clock, &address, Arc::new(NoNodes), change).await));
    }
    Some(Servers { all, _etcd: etcd, _dir: dir })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_answered_the_others_show_at_once() {
    let Some(servers) = start().await else { return };
    for round in 0..60 {
        let (writer, reader) = (&servers.all[round % 3], &servers.all[(round + 1) % 3]);
        let map = json!({"metadata": {"name": format!("m{round}")}, "data": {"a": "0"}});
        let made = writer.made(MAPS, &map).await;
        let path = format!("{MAPS}/m{round}");
        let found = reader.get(&path).await;
        assert_eq!(found["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
        let patch = [("content-type", "application/merge-patch+json")];
        let changed = reader.request_with(Method::PATCH, &path, r#"{"data":{"a":"1"}}"#, &patch).await;
        assert_eq!(changed.code, 200, "{}", changed.message());
        let list = servers.all[(round + 2) % 3].get(MAPS).await;
        let items = list["items"].as_array().unwrap();
        assert!(
            items
                .iter()
                .any(|item| item["metadata"]["name"] == format!("m{round}") && item["data"]["a"] == "1")
        );
        // An update over the version that another server replaced is a conflict.
        let mut old = made.clone();
        old["data"]["a"] = "2".into();
        assert_eq!(writer.request(Method::PUT, &path, old.to_string()).await.code, 409);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_never_give_out_the_same_address_or_port() {
    let Some(servers) = start().await else { return };
    let mut tasks = Vec::new();
    for number in 0..90 {
        let server = servers.all[number % 3].clone();
        tasks.push(tokio::spawn(async move {
            let body = json!({"metadata": {"name": format!("s{number}")}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
            server.post(SERVICES, body).await
        }));
    }
    let (mut addresses, mut ports, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0);
    for task in tasks {
        let answer = task.await.unwrap();
        if answer.code == 422 {
            assert!(answer.message().contains("range is full"), "{}", answer.message());
            refused += 1;
            continue;
        }
        assert_eq!(answer.code, 201, "{}", answer.message());
        let service = answer.json();
        assert!(addresses.insert(service["spec"]["clusterIP"].to_string()), "an address was given twice");
        assert!(ports.insert(service["spec"]["ports"][0]["nodePort"].to_string()), "a port was given twice");
    }
    // There are sixty ports: every one is given, and none twice.
    assert_eq!((ports.len(), refused), (60, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_is_served_by_all_and_a_quota_holds() {
    let Some(servers) = start().await else { return };
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
    });
    servers.all[0].made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    for server in &servers.all {
        let begun = std::time::Instant::now();
        while server.request(Method::GET, widgets, "").await.code != 200 {
            assert!(begun.elapsed().as_secs() < 20, "a server does not serve what another defined");
            tokio::task::yield_now().await;
        }
    }
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 3}});
    servers.all[1].made(widgets, &widget).await;
    assert_eq!(servers.all[2].get(&format!("{widgets}/w")).await["spec"]["size"], 3);

    let quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "20"}}});
    servers.all[0].made("/api/v1/namespaces/default/resourcequotas", &quota).await;
    let status = json!({"metadata": {"name": "q"}, "status": {"hard": {"configmaps": "20"}, "used": {"configmaps": "0"}}});
    let path = "/api/v1/namespaces/default/resourcequotas/q/status";
    let patch = [("content-type", "application/merge-patch+json")];
    assert_eq!(servers.all[0].request_with(Method::PATCH, path, status.to_string(), &patch).await.code, 200);
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let server = servers.all[number % 3].clone();
            tokio::spawn(async move {
                server.post(MAPS, json!({"metadata": {"name": format!("q{number}")}})).await.code.as_u16()
            })
        })
        .collect();
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.unwrap());
    }
    let there = servers.all[1].get(MAPS).await["items"].as_array().map_or(0, Vec::len);
    assert!(there <= 20, "{there} objects under a quota of 20");
    assert_eq!(codes.iter().filter(|code| **code == 201).count(), there);
    assert!(there >= 15, "the quota refused what was left: {there}, {codes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_on_one_server_sees_what_others_write() {
    let Some(servers) = start().await else { return };
    let (snapshot, mut seen) = servers.all[2].server.caches().named("", "configmaps").unwrap().watch();
    let start = snapshot.revision;
    drop(snapshot);
    let mut written = Vec::new();
    for number in 0..150 {
        let made =
            servers.all[number % 2].made(MAPS, json!({"metadata": {"name": format!("w{number}")}})).await;
        let revision: u64 = made["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(revision > start.0);
        written.push(revision);
    }
    let mut revisions = Vec::new();
    while revisions.len() < written.len() {
        for event in seen.next().await.unwrap() {
            revisions.push(event.revision().0);
        }
    }
    assert_eq!(revisions, written);
}

/// Upstream's lease endpoint reconciler.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kubernetes_service_leads_to_every_server() {
    let Some(servers) = start().await else { return };
    const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints/kubernetes";
    const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    let all = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    let addresses = async |server: &Cluster| {
        let (endpoints, slice) = (server.get(ENDPOINTS).await, server.get(SLICE).await);
        let one = endpoints["subsets"][0]["addresses"].as_array().unwrap();
        let one: Vec<_> = one.iter().map(|address| address["ip"].as_str().unwrap().to_string()).collect();
        let other = slice["endpoints"].as_array().unwrap();
        let other: Vec<_> =
            other.iter().map(|one| one["addresses"][0].as_str().unwrap().to_string()).collect();
        assert_eq!(one, other);
        one
    };
    assert_eq!(addresses(&servers.all[0]).await, all);
    // One that is stopped says so; the next that looks takes it away.
    servers.all[2].stop().await;
    let since = std::time::Instant::now();
    while addresses(&servers.all[1]).await != all[..2] {
        assert!(since.elapsed().as_secs() < 60, "the server that was stopped stays");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// What kube-apiserver wrote is not misread: nothing starts over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_servers_cluster_is_refused() {
    let Some(program) = program::find() else { return };
    let etcd = program::Cluster::start(program, 1);
    let store: Arc<dyn Store> = Arc::new(Etcd::open(Options::new(etcd.endpoints())).await.unwrap());
    let row = |kind: &str| api::schema::of_kind("", "v1", kind).unwrap();
    let map =
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default"}});
    let map = api::json::parse(map.to_string().as_bytes()).unwrap();
    let value = Some(api::protobuf::encode(row("ConfigMap"), &map).into());
    let key = "core/configmaps/default/a".parse().unwrap();
    let durability = store::Durability::Durable;
    store
        .write(store::Write { key, expect: store::Expect::Absent, value, durability, ttl: None })
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system("2026-01-01T00:00:00Z".parse().unwrap());
    let pki = pki::Pki::open(&dir.path().join("tls"), &clock).unwrap();
    let config = apiserver::Config::new("192.0.2.1:6443".parse().unwrap(), pki.service_account.clone());
    let tasks = base::Tasks::new();
    let server = apiserver::Server::start(config, store.clone(), Arc::new(NoNodes), clock, &tasks).await;
    let why = base::chain(&server.err().expect("because it is another server's")).to_string();
    assert!(why.contains("core/configmaps/default/a is in protobuf"), "{why}");
    tasks.stop().await;
    store.close().await;
}
