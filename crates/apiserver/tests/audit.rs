//! The audit log by policy: what is noted at which level, in a file and at a webhook that is a real TLS server.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod hook;

use std::path::Path;
use std::sync::Arc;

use apiserver::audit::{Log, Settings, Webhook};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hook::Hook;
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use testkit_cluster::{Cluster, Identity};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn policy(rules: Value) -> api::Value {
    let policy = json!({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "omitStages": ["RequestReceived"],
        "omitManagedFields": true, "rules": rules});
    api::json::parse(policy.to_string().as_bytes()).unwrap()
}

async fn noting(file: &Path, rules: Value) -> Cluster {
    let log = Log::new(file.to_path_buf());
    Cluster::start_with(|config| {
        config.audit = Some(Settings { policy: policy(rules), log: Some(log), webhook: None });
    })
    .await
}

/// All events of a cluster that is stopped.
async fn events(cluster: &Cluster, file: &Path) -> Vec<Value> {
    cluster.stop().await;
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_level_notes_more_than_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let rules = json!([
        {"level": "None", "users": ["quiet"]},
        {"level": "Metadata", "resources": [{"resources": ["secrets"]}]},
        {"level": "Request", "verbs": ["patch"], "users": ["admin"]},
        {"level": "RequestResponse", "users": ["admin", "jane"]},
    ]);
    let cluster = noting(&file, rules).await;
    let quiet = Identity::new("quiet", &["system:masters"]);
    cluster.request_as(quiet, Method::GET, MAPS, "", &[]).await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"password": "opensesame"}});
    cluster.request(Method::POST, "/api/v1/namespaces/default/secrets", secret.to_string()).await;
    let map = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    let agent = [
        ("user-agent", "kubectl/v1"),
        ("content-type", "application/json"),
        ("x-forwarded-for", "192.0.2.7"),
    ];
    let made =
        cluster.request_with(Method::POST, &format!("{MAPS}?fieldManager=me"), map.to_string(), &agent).await;
    assert_eq!(made.code, 201);
    let merge = [("content-type", "application/merge-patch+json")];
    cluster.request_with(Method::PATCH, &format!("{MAPS}/m"), r#"{"data":{"a":"c"}}"#, &merge).await;
    let jane = Identity::new("jane", &["dev"]);
    let refused = cluster
        .request_as(jane.clone(), Method::DELETE, &format!("{MAPS}/m"), "", &[("audit-id", "mine")])
        .await;
    assert_eq!((refused.code.as_u16(), refused.headers["audit-id"].to_str().unwrap()), (403, "mine"));
    cluster.request(Method::DELETE, &format!("{MAPS}/m"), "").await;
    cluster.request_with(Method::GET, MAPS, "", &[("impersonate-user", "jane")]).await;

    let all = events(&cluster, &file).await;
    let found: Vec<_> =
        all.iter().map(|event| (event["verb"].as_str().unwrap(), event["stage"].as_str().unwrap())).collect();
    let complete = |verb| (verb, "ResponseComplete");
    let verbs = ["create", "create", "patch", "delete", "delete", "list"];
    assert_eq!(found, verbs.map(complete), "{all:#?}");

    let [secret, made, patched, refused, deleted, taken] = all.as_slice() else { unreachable!() };
    assert_eq!(secret["level"], "Metadata");
    assert!(secret["requestObject"].is_null() && !secret.to_string().contains("opensesame"));
    assert_eq!(
        secret["objectRef"],
        json!({"resource": "secrets", "namespace": "default", "name": "s", "apiVersion": "v1"})
    );
    assert_eq!(secret["responseStatus"], json!({"metadata": {}, "code": 201}));
    let allowed = &secret["annotations"];
    assert_eq!(allowed["authorization.k8s.io/decision"], "allow");

    assert_eq!(made["requestURI"], format!("{MAPS}?fieldManager=me"));
    assert_eq!(
        made["user"],
        json!({"username": "admin", "groups": ["system:masters", "system:authenticated"]})
    );
    assert_eq!((&made["userAgent"], &made["sourceIPs"]), (&json!("kubectl/v1"), &json!(["192.0.2.7"])));
    assert_eq!(made["requestObject"]["data"], json!({"a": "b"}));
    assert_eq!(made["responseObject"]["metadata"]["name"], "m");
    assert!(made["responseObject"]["metadata"]["managedFields"].is_null(), "omitManagedFields");
    assert_eq!(made["auditID"].as_str().unwrap().len(), 36);

    assert_eq!(
        (&patched["level"], &patched["requestObject"]),
        (&json!("Request"), &json!({"data": {"a": "c"}}))
    );
    assert!(patched["responseObject"].is_null());

    assert_eq!(refused["auditID"], "mine");
    assert_eq!(refused["annotations"]["authorization.k8s.io/decision"], "forbid");
    let status = &refused["responseStatus"];
    assert_eq!(
        (&status["status"], &status["reason"], &status["code"]),
        (&json!("Failure"), &json!("Forbidden"), &json!(403))
    );
    assert!(status["message"].as_str().unwrap().contains("User \"jane\" cannot delete"));

    assert_eq!(
        (&deleted["responseStatus"]["status"], &deleted["responseStatus"]["code"]),
        (&json!("Success"), &json!(200))
    );
    assert_eq!(taken["impersonatedUser"]["username"], "jane");
    assert_eq!(taken["user"]["username"], "admin");
}

#[tokio::test]
async fn a_watch_is_noted_when_it_starts_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let cluster = noting(&file, json!([{"level": "RequestResponse"}])).await;
    let watch = cluster.watch(&format!("{MAPS}?watch=true&resourceVersion=0")).await;
    drop(watch);
    let all = events(&cluster, &file).await;
    let found: Vec<_> =
        all.iter().filter(|event| event["verb"] == "watch").map(|event| event["stage"].clone()).collect();
    assert_eq!(found, ["ResponseStarted", "ResponseComplete"]);
}

#[tokio::test]
async fn connections_are_noted_with_their_address_and_strangers_with_what_they_tried() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let cluster = noting(&file, json!([{"level": "Metadata", "nonResourceURLs": ["/version"]}])).await;
    let address = cluster.listen_at("127.0.0.1:0").await;
    let tls = pki::client_config(&cluster.pki.server.pem(), None, &cluster.clock).unwrap();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls);
    let stream = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    cluster.tasks.spawn("test-connection", async move { drop(connection.await) });
    let request = http::Request::get("/version").header("host", "x").header("authorization", "Bearer nobody");
    let answer = sender
        .send_request(request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    drop(answer);
    let all = events(&cluster, &file).await;
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0]["sourceIPs"], &all[0]["user"]), (&json!(["127.0.0.1"]), &json!({})));
    assert_eq!(all[0]["responseStatus"]["message"], "Authentication failed, attempted: bearer");
    assert_eq!(all[0]["responseStatus"]["code"], 401);
}

#[tokio::test]
async fn a_webhook_gets_batches() {
    let other = Cluster::start().await;
    let got = Arc::new(Mutex::new(Vec::new()));
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let seen = got.clone();
    let hook = Hook::start(&other, move |path, body| {
        seen.lock().push((path.to_string(), body.clone()));
        sender.send(()).unwrap();
        Some(json!({}))
    })
    .await;
    let authority = String::from_utf8(STANDARD.decode(&hook.bundle).unwrap()).unwrap();
    let peer = apiserver::Peer {
        url: format!("https://{}/audit", hook.address),
        ca: Some(authority),
        ..apiserver::Peer::default()
    };
    let webhook = Webhook { batch: 2, ..Webhook::new(peer) };
    let cluster = Cluster::start_with(|config| {
        let policy = policy(json!([{"level": "Metadata", "users": ["admin"]}]));
        config.audit = Some(Settings { policy, log: None, webhook: Some(webhook) });
    })
    .await;
    for _ in 0..2 {
        cluster.request(Method::GET, MAPS, "").await;
    }
    receiver.recv().await.unwrap();
    let (path, list) = got.lock().pop().unwrap();
    assert_eq!(path, "/audit");
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("EventList"), &json!("audit.k8s.io/v1")));
    let verbs: Vec<_> = list["items"].as_array().unwrap().iter().map(|event| event["verb"].clone()).collect();
    assert_eq!(verbs, ["list", "list"]);
}
