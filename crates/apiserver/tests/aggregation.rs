//! What a server behind an APIService tells of itself, seen through this one.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod hook;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hook::Hook;
use http::Method;
use serde_json::{Value, json};
use testkit_cluster::Cluster;

async fn made(cluster: &Cluster, path: &str, body: Value) {
    let answer = cluster.request(Method::POST, path, body.to_string()).await;
    assert_eq!(answer.code, 201, "{path}: {}", answer.json());
}

/// A server of `wardle.example.com/v1` in this process, joined to a cluster and available.
async fn joined() -> (Cluster, Hook) {
    let place: Arc<Mutex<Option<SocketAddr>>> = Arc::default();
    let route = place.clone();
    let cluster = Cluster::start_with(|config| {
        config.route = Some(Arc::new(move |address| route.lock().unwrap().unwrap_or(address)));
    })
    .await;
    let hook = Hook::start(&cluster, |path, _| {
        Some(match path {
            "/apis/wardle.example.com/v1" => json!({
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "wardle.example.com/v1",
                "resources": [{"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get"]}],
            }),
            "/openapi/v2" => json!({
                "swagger": "2.0",
                "paths": {
                    "/apis/wardle.example.com/v1/flunders": {"get": {"schema": {"$ref": "#/definitions/Flunder"}}},
                    "/apis/other.example.com/v1/others": {},
                },
                "definitions": {"Flunder": {"type": "object"}, "Other": {}},
            }),
            "/openapi/v3" => json!({"paths": {
                "apis/wardle.example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/wardle.example.com/v1?hash=1"},
                "version": {"serverRelativeURL": "/openapi/v3/version?hash=2"},
            }}),
            "/openapi/v3/apis/wardle.example.com/v1" => json!({"openapi": "3.0.0", "whose": "wardle"}),
            _ => json!({}),
        })
    })
    .await;
    *place.lock().unwrap() = Some(hook.address);
    let services = "/api/v1/namespaces/default/services";
    made(&cluster, services, json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}})).await;
    let slice = json!({
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
        "ports": [{"port": 443}],
    });
    made(&cluster, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
    let mut watch = cluster
        .watch("/apis/apiregistration.k8s.io/v1/apiservices?watch=1&fieldSelector=metadata.name=v1.wardle.example.com")
        .await;
    let service = json!({
        "metadata": {"name": "v1.wardle.example.com"},
        "spec": {
            "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200,
            "service": {"namespace": "default", "name": "hook"}, "caBundle": hook.bundle,
        },
    });
    made(&cluster, "/apis/apiregistration.k8s.io/v1/apiservices", service).await;
    loop {
        let event = watch.next().await.unwrap();
        let conditions = event["object"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions
            .iter()
            .any(|condition| condition["type"] == "Available" && condition["status"] == "True")
        {
            return (cluster, hook);
        }
    }
}

#[tokio::test]
async fn openapi_holds_what_other_servers_serve() {
    let (cluster, _hook) = joined().await;
    let v2 = cluster.request(Method::GET, "/openapi/v2", "").await.json();
    let reference = &v2["paths"]["/apis/wardle.example.com/v1/flunders"]["get"]["schema"]["$ref"];
    assert_eq!(reference, "#/definitions/Flunder");
    assert_eq!(v2["definitions"]["Flunder"], json!({"type": "object"}));
    assert!(
        v2["definitions"]["Other"].is_null() && v2["paths"]["/apis/other.example.com/v1/others"].is_null()
    );
    assert!(v2["paths"]["/api/v1/namespaces/{namespace}/configmaps"].is_object());
    let index = cluster.request(Method::GET, "/openapi/v3", "").await.json();
    assert_eq!(
        index["paths"]["apis/wardle.example.com/v1"]["serverRelativeURL"],
        "/openapi/v3/apis/wardle.example.com/v1?hash=1"
    );
    assert!(index["paths"]["version"].is_null() && index["paths"]["apis/apps/v1"].is_object());
    let document = cluster.request(Method::GET, "/openapi/v3/apis/wardle.example.com/v1?hash=1", "").await;
    assert_eq!((document.code.as_u16(), &document.json()["whose"]), (200, &json!("wardle")));
}

#[tokio::test]
async fn who_has_a_document_is_not_sent_it_again() {
    let cluster = Cluster::start().await;
    let index = cluster.request(Method::GET, "/openapi/v3", "").await.json();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_string();
    let hash = url.split_once("hash=").unwrap().1.to_string();
    assert_eq!(cluster.request(Method::GET, &url, "").await.code, 200);
    let tag = format!("\"{hash}\"");
    let again = cluster.request_with(Method::GET, &url, "", &[("if-none-match", &tag)]).await;
    assert_eq!((again.code.as_u16(), again.bytes.len()), (304, 0));
    // The hash of an older document leads to that of today's.
    let moved = cluster.request(Method::GET, "/openapi/v3/apis/apps/v1?hash=OLD", "").await;
    assert_eq!(moved.code, 301);
}
