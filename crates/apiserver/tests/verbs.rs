//! The verbs over the in-process cluster: what clients rely on, by what they see.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use testkit_cluster::Cluster;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str, data: &str) -> String {
    json!({"metadata": {"name": name}, "data": {"a": data}}).to_string()
}

fn version(value: &Value) -> String {
    value["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_string()
}

#[tokio::test]
async fn creates_reads_changes_and_deletes() {
    let cluster = Cluster::start().await;
    let made = cluster.request(Method::POST, MAPS, map("a", "1")).await;
    assert_eq!(made.code, 201);
    let made = made.json();
    assert_eq!(made["kind"], "ConfigMap");
    assert!(!version(&made).is_empty() && made["metadata"]["uid"].is_string());
    assert_eq!(made["metadata"]["managedFields"][0]["operation"], "Update");
    assert_eq!(cluster.get(&format!("{MAPS}/a")).await, made);

    let twice = cluster.request(Method::POST, MAPS, map("a", "1")).await;
    assert_eq!(twice.code, 409);
    assert_eq!(
        twice.json(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "configmaps \"a\" already exists", "reason": "AlreadyExists",
            "details": {"name": "a", "kind": "configmaps"}, "code": 409})
    );

    let mut stale = made.clone();
    stale["metadata"]["resourceVersion"] = "1".into();
    let refused = cluster.request(Method::PUT, &format!("{MAPS}/a"), stale.to_string()).await;
    assert_eq!(
        refused.json()["message"],
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let mut next = made.clone();
    next["data"]["a"] = "2".into();
    let changed = cluster.request(Method::PUT, &format!("{MAPS}/a"), next.to_string()).await.json();
    assert_eq!(changed["data"]["a"], "2");
    assert_ne!(version(&changed), version(&made));
    // Nothing changes, nothing is written.
    let same = cluster.request(Method::PUT, &format!("{MAPS}/a"), changed.to_string()).await.json();
    assert_eq!(version(&same), version(&changed));

    let gone = cluster.request(Method::DELETE, &format!("{MAPS}/a"), "").await;
    assert_eq!(gone.json()["status"], "Success");
    assert_eq!(gone.json()["details"]["uid"], made["metadata"]["uid"]);
    let missing = cluster.request(Method::GET, &format!("{MAPS}/a"), "").await;
    assert_eq!((missing.code.as_u16(), missing.json()["reason"].as_str()), (404, Some("NotFound")));
}

#[tokio::test]
async fn refuses_what_upstream_refuses() {
    let cluster = Cluster::start().await;
    let check = async |method: Method, path: &str, body: &str, code: u16, message: &str| {
        let answer = cluster.request(method, path, body.to_string()).await;
        assert_eq!(answer.code.as_u16(), code, "{path} {body}: {}", answer.json());
        let found = answer.message();
        assert!(found.contains(message), "{path} {body}: {found}");
    };
    let post = Method::POST;
    let strict = format!("{MAPS}?fieldValidation=Strict");
    check(post.clone(), &strict, r#"{"metadata":{"name":"x"},"foo":1}"#, 400, r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "foo""#).await;
    check(
        post.clone(),
        &strict,
        r#"{"metadata":{"name":"x"},"data":{"a":"1"},"data":{}}"#,
        400,
        r#"duplicate field "data""#,
    )
    .await;
    check(
        post.clone(),
        MAPS,
        r#"{"metadata":{"name":"X"}}"#,
        422,
        r#"ConfigMap "X" is invalid: metadata.name: Invalid value: "X": a lowercase RFC 1123 subdomain"#,
    )
    .await;
    check(post.clone(), MAPS, r#"{"metadata":{}}"#, 422, "name or generateName is required").await;
    check(
        post.clone(),
        MAPS,
        r#"{"metadata":{"name":"x","namespace":"other"}}"#,
        400,
        "does not match the namespace sent",
    )
    .await;
    check(post.clone(), MAPS, "{", 400, "the object provided is unrecognized (must be of type ConfigMap)")
        .await;
    check(
        post.clone(),
        "/api/v1/namespaces/nowhere/configmaps",
        &map("a", "1"),
        404,
        r#"namespaces "nowhere" not found"#,
    )
    .await;
    check(Method::GET, "/api/v1/things", "", 404, "the server could not find the requested resource").await;
    check(
        Method::PUT,
        "/api/v1/namespaces/default/configmaps/a",
        &map("b", "1"),
        400,
        "the name of the object (b) does not match the name on the URL (a)",
    )
    .await;
    check(Method::DELETE, "/api/v1/namespaces/kube-system", "", 403, "this namespace may not be deleted")
        .await;
    check(Method::GET, &format!("{MAPS}?labelSelector=a%3D%3D%3Db"), "", 400, "").await;
    let large = format!(r#"{{"metadata":{{"name":"x"}},"data":{{"a":"{}"}}}}"#, "x".repeat(4 << 20));
    check(post, MAPS, &large, 413, "Request entity too large: limit is 3145728").await;
}

#[tokio::test]
async fn pages_are_of_one_revision() {
    let cluster = Cluster::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(cluster.request(Method::POST, MAPS, map(name, "1")).await.code, 201);
    }
    let first = cluster.get(&format!("{MAPS}?limit=2")).await;
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    cluster.request(Method::DELETE, &format!("{MAPS}/d"), "").await;
    cluster.request(Method::POST, MAPS, map("cc", "1")).await;
    let mut names = Vec::new();
    let mut page = first.clone();
    loop {
        for item in page["items"].as_array().unwrap() {
            assert!(item.get("kind").is_none());
            names.push(item["metadata"]["name"].as_str().unwrap().to_string());
        }
        assert_eq!(version(&page), version(&first));
        let Some(next) = page["metadata"]["continue"].as_str() else { break };
        page = cluster.get(&format!("{MAPS}?limit=2&continue={next}")).await;
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    // A token that ran out names one that goes on in the newest state.
    let token = json!({"v": "meta.k8s.io/v1", "rv": 1, "start": "default/b\0", "t": 0}).to_string();
    let token = URL_SAFE_NO_PAD.encode(token);
    let expired = cluster.request(Method::GET, &format!("{MAPS}?limit=2&continue={token}"), "").await;
    assert_eq!((expired.code.as_u16(), expired.json()["reason"].as_str()), (410, Some("Expired")));
    let resume = expired.json()["metadata"]["continue"].as_str().unwrap().to_string();
    let rest = cluster.get(&format!("{MAPS}?continue={resume}")).await;
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");

    let exact = format!("{MAPS}?resourceVersion={}&resourceVersionMatch=Exact", version(&first));
    assert_eq!(cluster.get(&exact).await["items"].as_array().unwrap().len(), 5);
    let now: Vec<Value> = cluster.get(MAPS).await["items"].as_array().unwrap().clone();
    assert_eq!(
        now.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["a", "b", "c", "cc", "e"]
    );
}

#[tokio::test]
async fn watches_resume_and_follow_selectors() {
    let cluster = Cluster::start().await;
    let first = cluster.made(MAPS, &json!({"metadata": {"name": "a", "labels": {"x": "1"}}})).await;
    let mut all = cluster.watch(&format!("{MAPS}?watch=true&resourceVersion={}", version(&first))).await;
    let mut labelled = cluster.watch(&format!("{MAPS}?watch=1&labelSelector=x%3D1")).await;
    assert_eq!(labelled.next_name().await, ("ADDED".into(), "a".into()));
    let relabelled = json!({"metadata": {"labels": {"x": "2"}}}).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = cluster.request_with(Method::PATCH, &format!("{MAPS}/a"), relabelled, &merge).await;
    assert_eq!(patched.code, 200, "{}", patched.json());
    cluster.made(MAPS, &json!({"metadata": {"name": "b", "labels": {"x": "1"}}})).await;
    cluster.request(Method::DELETE, &format!("{MAPS}/a"), "").await;
    let named = |kind: &str, name: &str| (kind.to_string(), name.to_string());
    assert_eq!(all.next_name().await, named("MODIFIED", "a"));
    assert_eq!(all.next_name().await, named("ADDED", "b"));
    assert_eq!(all.next_name().await, named("DELETED", "a"));
    let left = labelled.next().await.unwrap();
    assert_eq!(left["type"], "DELETED");
    assert_eq!(left["object"]["metadata"]["labels"]["x"], "1", "the last state inside of the selection");
    assert_eq!(version(&left["object"]), version(&patched.json()));
    assert_eq!(labelled.next_name().await, named("ADDED", "b"));

    let list = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut streamed = cluster.watch(&format!("{MAPS}?watch=true&{list}")).await;
    assert_eq!(streamed.next_name().await.1, "b");
    let end = streamed.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");

    let mut over = cluster.watch(&format!("{MAPS}?watch=true&timeoutSeconds=1")).await;
    while over.next().await.is_some() {}
}

#[tokio::test]
async fn a_restart_loses_nothing_and_watches_resume() {
    let dir = tempfile::tempdir().unwrap();
    let clock = base::Clock::system("2026-01-01T00:00:00Z".parse().unwrap());
    let start = async || {
        Cluster::open(
            dir.path(),
            clock.clone(),
            "192.0.2.1:6443",
            std::sync::Arc::new(testkit_cluster::NoNodes),
        )
        .await
    };
    let cluster = start().await;
    let first = cluster.made(MAPS, &json!({"metadata": {"name": "a"}})).await;
    cluster.made(MAPS, &json!({"metadata": {"name": "b"}})).await;
    cluster.request(Method::DELETE, &format!("{MAPS}/b"), "").await;
    cluster.stop().await;
    drop(cluster);
    let cluster = start().await;
    assert_eq!(cluster.get(&format!("{MAPS}/a")).await, first);
    let mut watch = cluster.watch(&format!("{MAPS}?watch=true&resourceVersion={}", version(&first))).await;
    assert_eq!(watch.next_name().await, ("ADDED".into(), "b".into()));
    assert_eq!(watch.next_name().await, ("DELETED".into(), "b".into()));
    let mut old = cluster.watch("/apis/coordination.k8s.io/v1/leases?watch=true&resourceVersion=1").await;
    let gone = old.next().await.unwrap();
    assert_eq!((gone["type"].as_str(), gone["object"]["code"].as_i64()), (Some("ERROR"), Some(410)));
    cluster.stop().await;
}

#[tokio::test]
async fn finalizers_and_propagation_hold_a_deletion() {
    let cluster = Cluster::start().await;
    cluster.made(MAPS, &json!({"metadata": {"name": "a", "finalizers": ["example.com/x"]}})).await;
    let held = cluster.request(Method::DELETE, &format!("{MAPS}/a"), "").await.json();
    assert!(held["metadata"]["deletionTimestamp"].is_string(), "{held}");
    let merge = [("content-type", "application/merge-patch+json")];
    let freed = cluster
        .request_with(Method::PATCH, &format!("{MAPS}/a"), r#"{"metadata":{"finalizers":null}}"#, &merge)
        .await;
    assert_eq!(freed.code, 200);
    assert_eq!(cluster.request(Method::GET, &format!("{MAPS}/a"), "").await.code, 404);

    cluster.made(MAPS, &json!({"metadata": {"name": "b"}})).await;
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"});
    let held = cluster.request(Method::DELETE, &format!("{MAPS}/b"), options.to_string()).await.json();
    assert_eq!(held["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let uid = json!({"preconditions": {"uid": "other"}});
    let refused = cluster.request(Method::DELETE, &format!("{MAPS}/b"), uid.to_string()).await;
    assert_eq!(refused.code, 409);

    let namespaces = "/api/v1/namespaces";
    cluster.made(namespaces, &json!({"metadata": {"name": "n"}})).await;
    let going = cluster.request(Method::DELETE, &format!("{namespaces}/n"), "").await.json();
    assert_eq!(going["status"]["phase"], "Terminating");
    let late = cluster.request(Method::POST, &format!("{namespaces}/n/configmaps"), map("a", "1")).await;
    assert_eq!(late.code, 403);
    assert_eq!(late.json()["details"]["causes"][0]["reason"], "NamespaceTerminating");
    let mut done = going.clone();
    done["spec"]["finalizers"] = json!([]);
    let done = cluster.request(Method::PUT, &format!("{namespaces}/n/finalize"), done.to_string()).await;
    assert_eq!(done.code, 200, "{}", done.json());
    assert_eq!(cluster.request(Method::GET, &format!("{namespaces}/n"), "").await.code, 404);
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_names_are_generated() {
    let cluster = Cluster::start().await;
    let dry = cluster.made(&format!("{MAPS}?dryRun=All"), &json!({"metadata": {"name": "a"}})).await;
    assert!(version(&dry).is_empty());
    assert_eq!(cluster.request(Method::GET, &format!("{MAPS}/a"), "").await.code, 404);
    let made = cluster.made(MAPS, &json!({"metadata": {"generateName": "web-"}})).await;
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn answers_in_the_form_that_is_asked_for() {
    let cluster = Cluster::start().await;
    cluster.made(MAPS, &json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let table = cluster.request_with(Method::GET, MAPS, "", &table).await.json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][1]["name"], "Data");
    assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..2], [json!("a"), json!(1)]);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let protobuf = [("accept", "application/vnd.kubernetes.protobuf")];
    let answer = cluster.request_with(Method::GET, &format!("{MAPS}/a"), "", &protobuf).await;
    assert!(answer.bytes.starts_with(b"k8s\0"));
    let again = [("content-type", "application/vnd.kubernetes.protobuf")];
    let sent = cluster.request_with(Method::PUT, &format!("{MAPS}/a"), answer.bytes, &again).await;
    assert_eq!((sent.code.as_u16(), &sent.json()["data"]["k"]), (200, &json!("v")));
    let yaml = [("accept", "application/yaml")];
    let yaml = cluster.request_with(Method::GET, &format!("{MAPS}/a"), "", &yaml).await;
    assert!(String::from_utf8_lossy(&yaml.bytes).contains("kind: ConfigMap"));
    let cbor = cluster.request_with(Method::GET, MAPS, "", &[("accept", "application/cbor")]).await;
    assert_eq!(cbor.code, 406);
    let text = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                application/vnd.kubernetes.protobuf";
    let streams = ", application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    assert_eq!(cbor.message(), format!("{text}{streams}"));
    let groups = cluster.request_with(Method::GET, "/api", "", &[("accept", "application/cbor")]).await;
    assert_eq!((groups.code.as_u16(), groups.message()), (406, text.to_string()));
    let body = [("content-type", "application/cbor")];
    let cbor = cluster.request_with(Method::POST, MAPS, "x", &body).await;
    assert_eq!(cbor.code, 415);
}
