//! Conversion webhooks and aggregated API servers, over TLS in this process.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod hook;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use hook::Hook;
use http::Method;
use serde_json::{Value, json};
use testkit_cluster::Cluster;

/// v1 has `spec.hostPort`, v2 has `spec.host` and `spec.port`.
fn convert(request: &Value) -> Value {
    let to = request["request"]["desiredAPIVersion"].as_str().unwrap();
    let objects: Vec<Value> = request["request"]["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            let mut object = object.clone();
            object["apiVersion"] = to.into();
            let spec = &mut object["spec"];
            if to.ends_with("/v2") {
                let both = spec["hostPort"].as_str().unwrap_or(":").to_string();
                let (host, port) = both.split_once(':').unwrap();
                *spec = json!({"host": host, "port": port});
            } else {
                *spec = json!({"hostPort": format!("{}:{}", spec["host"].as_str().unwrap(), spec["port"].as_str().unwrap())});
            }
            object
        })
        .collect();
    json!({
        "kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
        "response": {"uid": request["request"]["uid"], "convertedObjects": objects, "result": {"status": "Success"}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_converted_by_a_webhook() {
    let cluster = Cluster::start().await;
    let hook = Hook::start(&cluster, |path, request| match path {
        "/convert" => Some(convert(request)),
        _ => Some(json!({})),
    })
    .await;
    let open = json!({"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let version = |name: &str, storage: bool| json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": open}});
    let crd = json!({"metadata": {"name": "hosts.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "hosts", "singular": "host", "kind": "Host", "listKind": "HostList"},
        "versions": [version("v1", true), version("v2", false)],
        "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": hook.client("/convert"), "conversionReviewVersions": ["v1"]}},
    }});
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    cluster.made(crds, crd).await;
    let (v1, v2) =
        ("/apis/example.com/v1/namespaces/default/hosts", "/apis/example.com/v2/namespaces/default/hosts");
    while cluster.request(Method::GET, v1, "").await.code != 200 {
        tokio::task::yield_now().await;
    }
    cluster.made(v1, json!({"apiVersion": "example.com/v1", "kind": "Host", "metadata": {"name": "a"}, "spec": {"hostPort": "x:1"}})).await;
    let second = cluster.made(v2, json!({"apiVersion": "example.com/v2", "kind": "Host", "metadata": {"name": "b"}, "spec": {"host": "y", "port": "2"}})).await;
    assert_eq!(second["spec"], json!({"host": "y", "port": "2"}));
    let stored = cluster.request(Method::GET, &format!("{v1}/b"), "").await.json();
    assert_eq!(
        (&stored["apiVersion"], &stored["spec"]),
        (&json!("example.com/v1"), &json!({"hostPort": "y:2"}))
    );
    let before = hook.asked.lock().unwrap().len();
    let list = cluster.request(Method::GET, v2, "").await.json();
    let specs: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|item| &item["spec"]).collect();
    assert_eq!(specs, [&json!({"host": "x", "port": "1"}), &json!({"host": "y", "port": "2"})]);
    assert!(hook.asked.lock().unwrap().len() - before <= 1, "a list is one call");
    let patch = [("content-type", "application/merge-patch+json")];
    let patched =
        cluster.request_with(Method::PATCH, &format!("{v2}/a"), r#"{"spec":{"port":"9"}}"#, &patch).await;
    assert_eq!(patched.code, 200, "{}", patched.json());
    assert_eq!(cluster.request(Method::GET, &format!("{v1}/a"), "").await.json()["spec"]["hostPort"], "x:9");

    // A new storage version is noted; what is there stays as it was stored, and is converted when it is read.
    let change = json!([{"op": "replace", "path": "/spec/versions/0/storage", "value": false}, {"op": "replace", "path": "/spec/versions/1/storage", "value": true}]);
    let json_patch = [("content-type", "application/json-patch+json")];
    let one = format!("{crds}/hosts.example.com");
    let changed = cluster.request_with(Method::PATCH, &one, change.to_string(), &json_patch).await;
    assert_eq!(changed.json()["status"]["storedVersions"], json!(["v1", "v2"]));
    let again = cluster.request(Method::GET, &format!("{v2}/a"), "").await.json();
    assert_eq!(again["spec"], json!({"host": "x", "port": "9"}));

    let broken = json!([{"op": "replace", "path": "/spec/conversion/webhook/clientConfig/url", "value": format!("https://{}/broken", hook.address)}]);
    assert_eq!(cluster.request_with(Method::PATCH, &one, broken.to_string(), &json_patch).await.code, 200);
    let mut failed = cluster.request(Method::GET, &format!("{v2}/a"), "").await;
    while failed.code == 200 {
        tokio::task::yield_now().await;
        failed = cluster.request(Method::GET, &format!("{v2}/a"), "").await;
    }
    assert_eq!(
        failed.message(),
        "conversion webhook for example.com/v1, Kind=Host failed: no response provided"
    );
}

#[tokio::test]
async fn other_servers_are_aggregated() {
    let place: Arc<OnceLock<SocketAddr>> = Arc::default();
    let route = place.clone();
    let dir = tempfile::tempdir().unwrap();
    let clock = base::Clock::system("2026-01-01T00:00:00Z".parse().unwrap());
    let proxies = pki::Pki::open(dir.path(), &clock).unwrap().front_proxy;
    let request = pki::Request {
        common_name: "front-proxy-client".into(),
        organization: None,
        names: Vec::new(),
        purpose: pki::Purpose::Client,
    };
    let issued = proxies.issue(&request, &clock).unwrap();
    let cluster = Cluster::start_with(|config| {
        config.front_proxy = Some(apiserver::config::FrontProxy {
            ca: proxies.pem(),
            certificate: issued.certificate,
            key: issued.key,
        });
        config.route = Some(Arc::new(move |address| route.get().copied().unwrap_or(address)));
    })
    .await;
    let hook = Hook::start(&cluster, |path, _| {
        Some(match path {
            "/apis/wardle.example.com/v1" => json!({
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "wardle.example.com/v1",
                "resources": [{"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder", "verbs": ["get", "list"]}],
            }),
            other => json!({"kind": "Flunder", "path": other}),
        })
    })
    .await;
    place.set(hook.address).unwrap();
    let api_service = json!({"metadata": {"name": "v1.wardle.example.com"}, "spec": {
        "group": "wardle.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 200,
        "caBundle": hook.bundle, "service": {"namespace": "default", "name": "hook", "port": 443},
    }});
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    cluster.made(services, api_service).await;
    let path = "/apis/wardle.example.com/v1/namespaces/default/flunders/f?x=1";
    assert_eq!(cluster.request(Method::GET, path, "").await.code, 503);
    let of = |name: String| {
        let cluster = &cluster;
        async move {
            loop {
                let found = cluster.request(Method::GET, &format!("{services}/{name}"), "").await.json();
                if let Some(condition) = found["status"]["conditions"].get(0) {
                    return condition.clone();
                }
                tokio::task::yield_now().await;
            }
        }
    };
    let condition = of("v1.wardle.example.com".into()).await;
    assert_eq!(condition["reason"], "ServiceNotFound");
    assert_eq!(of("v1.apps".into()).await["reason"], "Local");
    cluster
        .made(
            "/api/v1/namespaces/default/services",
            json!({"metadata": {"name": "hook"}, "spec": {"ports": [{"port": 443}]}}),
        )
        .await;
    let slice = json!({"metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}], "ports": [{"port": 443}]});
    cluster.made("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await;
    loop {
        let condition = of("v1.wardle.example.com".into()).await;
        if condition["status"] == "True" {
            assert_eq!(condition["message"], "all checks passed");
            break;
        }
        tokio::task::yield_now().await;
    }
    let answer = cluster.request(Method::GET, path, "").await;
    assert_eq!(answer.code, 200, "{}", answer.json());
    assert_eq!(answer.json()["path"], "/apis/wardle.example.com/v1/namespaces/default/flunders/f");
    let groups = cluster.request(Method::GET, "/apis", "").await.json();
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "wardle.example.com"));
    let group = cluster.request(Method::GET, "/apis/wardle.example.com", "").await.json();
    assert_eq!(group["preferredVersion"]["groupVersion"], "wardle.example.com/v1");
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let all = cluster.request_with(Method::GET, "/apis", "", &accept).await.json();
    let found = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["metadata"]["name"] == "wardle.example.com");
    assert_eq!(found.unwrap()["versions"][0]["resources"][0]["resource"], "flunders");
    // Who may not is refused here.
    let nobody = apiserver::Identity::new("jane", &[]);
    assert_eq!(cluster.request_as(nobody, Method::GET, path, "", &[]).await.code, 403);
}
