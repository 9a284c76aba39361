//! Secrets that are sealed on disk: by whom, by which key after a rotation, and what a server without the key does.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use std::path::Path;
use std::sync::Arc;

use base::{Clock, Tasks};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use store::{Sqlite, Store};
use testkit_cluster::{Cluster, NoNodes};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const KINDS: [&str; 3] = ["aesgcm", "secretbox", "aescbc"];

fn key(name: &str, byte: u8) -> Value {
    json!({"name": name, "secret": STANDARD.encode([byte; 32])})
}

fn document(providers: Value) -> api::Value {
    let document = json!({"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
        "resources": [{"resources": ["secrets"], "providers": providers}]});
    api::json::parse(document.to_string().as_bytes()).unwrap()
}

fn clock() -> Clock {
    Clock::system("2026-01-01T00:00:00Z".parse().unwrap())
}

async fn open(dir: &Path, providers: Value) -> Cluster {
    let change = |config: &mut apiserver::Config| config.encryption = Some(document(providers));
    Cluster::open_with(dir, clock(), "192.0.2.1:6443", Arc::new(NoNodes), change).await
}

/// What a start over the directory's store says that fails.
async fn refused(dir: &Path, providers: Option<Value>) -> String {
    let tasks = Tasks::new();
    let pki = pki::Pki::open(&dir.join("tls"), &clock()).unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&dir.join("state.db"), Default::default()).unwrap());
    let mut config = apiserver::Config::new("192.0.2.1:6443".parse().unwrap(), pki.service_account.clone());
    config.encryption = providers.map(document);
    let server = apiserver::Server::start(config, store.clone(), Arc::new(NoNodes), clock(), &tasks).await;
    tasks.stop().await;
    store.close().await;
    base::chain(&server.err().expect("because it lacks a key")).to_string()
}

async fn create(cluster: &Cluster, name: &str) {
    let secret = json!({"metadata": {"name": name}, "stringData": {"password": "opensesame"}});
    assert_eq!(cluster.request(Method::POST, SECRETS, secret.to_string()).await.code, 201);
}

async fn password(cluster: &Cluster, name: &str) -> Value {
    cluster.request(Method::GET, &format!("{SECRETS}/{name}"), "").await.json()["data"]["password"].clone()
}

async fn raw(cluster: &Cluster, key: &str) -> String {
    let record = cluster.store.get(&key.parse().unwrap(), None).await.unwrap().unwrap();
    String::from_utf8_lossy(&record.value).into_owned()
}

#[tokio::test]
async fn secrets_are_sealed_and_an_update_of_nothing_seals_them_anew() {
    for kind in KINDS {
        let dir = tempfile::tempdir().unwrap();
        let cluster = open(dir.path(), json!([{kind: {"keys": [key("one", 1)]}}, {"identity": {}}])).await;
        create(&cluster, "s").await;
        let map = json!({"metadata": {"name": "m"}, "data": {"plain": "opensesame"}});
        let maps = "/api/v1/namespaces/default/configmaps";
        assert_eq!(cluster.request(Method::POST, maps, map.to_string()).await.code, 201);
        let stored = raw(&cluster, "core/secrets/default/s").await;
        assert!(stored.starts_with(&format!("k8s:enc:{kind}:v1:one:")), "{kind}: {stored}");
        assert!(!stored.contains(&STANDARD.encode("opensesame")));
        assert!(raw(&cluster, "core/configmaps/default/m").await.starts_with('{'));
        assert_eq!(password(&cluster, "s").await, STANDARD.encode("opensesame"));
        cluster.stop().await;
        drop(cluster);

        // A new key seals, the old one still opens; what upstream's manual does (get, replace) seals with the new one.
        let both = json!([{kind: {"keys": [key("two", 2), key("one", 1)]}}]);
        let cluster = open(dir.path(), both).await;
        let read = cluster.request(Method::GET, &format!("{SECRETS}/s"), "").await.json();
        assert_eq!(read["data"]["password"], STANDARD.encode("opensesame"));
        let again = cluster.request(Method::PUT, &format!("{SECRETS}/s"), read.to_string()).await.json();
        assert_ne!(again["metadata"]["resourceVersion"], read["metadata"]["resourceVersion"]);
        assert!(
            raw(&cluster, "core/secrets/default/s").await.starts_with(&format!("k8s:enc:{kind}:v1:two:"))
        );
        let third = cluster.request(Method::PUT, &format!("{SECRETS}/s"), again.to_string()).await.json();
        assert_eq!(third["metadata"]["resourceVersion"], again["metadata"]["resourceVersion"]);
        cluster.stop().await;
    }
}

#[tokio::test]
async fn a_reload_rewrites_everything_and_forgets_no_key_that_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = open(dir.path(), json!([{"identity": {}}])).await;
    for number in 0..5 {
        create(&cluster, &format!("s{number}")).await;
    }
    assert!(raw(&cluster, "core/secrets/default/s0").await.starts_with('{'));
    let one = json!([{"aescbc": {"keys": [key("one", 1)]}}, {"identity": {}}]);
    assert_eq!(cluster.server.reload_encryption(&document(one)).await.unwrap(), 5);
    assert!(raw(&cluster, "core/secrets/default/s0").await.starts_with("k8s:enc:aescbc:v1:one:"));

    let two = json!([{"secretbox": {"keys": [key("two", 2)]}}]);
    let refused = cluster.server.reload_encryption(&document(two.clone())).await.unwrap_err();
    let text = base::chain(&refused).to_string();
    assert!(text.contains("core/secrets/default/s0 is sealed by k8s:enc:aescbc:v1:one"), "{text}");
    create(&cluster, "s5").await;
    assert!(
        raw(&cluster, "core/secrets/default/s5").await.starts_with("k8s:enc:aescbc:v1:one:"),
        "the old rules hold"
    );

    let both = json!([{"secretbox": {"keys": [key("two", 2)]}}, {"aescbc": {"keys": [key("one", 1)]}}]);
    assert_eq!(cluster.server.reload_encryption(&document(both)).await.unwrap(), 6);
    assert_eq!(cluster.server.reload_encryption(&document(two.clone())).await.unwrap(), 0);
    cluster.stop().await;
    drop(cluster);

    // The old key is gone; what it sealed is in the history that a start replays, and no object of today is missing.
    let cluster = open(dir.path(), two).await;
    for number in 0..6 {
        assert_eq!(password(&cluster, &format!("s{number}")).await, STANDARD.encode("opensesame"));
    }
    let plain = document(json!([{"identity": {}}, {"secretbox": {"keys": [key("two", 2)]}}]));
    assert_eq!(cluster.server.reload_encryption(&plain).await.unwrap(), 6);
    assert!(raw(&cluster, "core/secrets/default/s0").await.starts_with('{'));
    cluster.stop().await;
}

#[tokio::test]
async fn without_the_key_nothing_starts_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let one = json!([{"aesgcm": {"keys": [key("one", 1)]}}]);
    let cluster = open(dir.path(), one.clone()).await;
    create(&cluster, "s").await;
    cluster.stop().await;
    drop(cluster);
    let expected = "core/secrets/default/s is sealed by k8s:enc:aesgcm:v1:one, and no such key is configured";
    for providers in
        [None, Some(json!([{"identity": {}}])), Some(json!([{"aesgcm": {"keys": [key("two", 2)]}}]))]
    {
        let text = refused(dir.path(), providers).await;
        assert!(text.contains(expected), "{text}");
    }
    // The right name with another secret is no key either.
    let text = refused(dir.path(), Some(json!([{"aesgcm": {"keys": [key("one", 2)]}}]))).await;
    assert!(text.contains("core/secrets/default/s is sealed by"), "{text}");
    let cluster = open(dir.path(), one).await;
    assert_eq!(password(&cluster, "s").await, STANDARD.encode("opensesame"));
    cluster.stop().await;
}
