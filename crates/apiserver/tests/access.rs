//! Who may what: roles, tokens, reviews, and what admission adds to a pod.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use apiserver::Identity;
use http::Method;
use serde_json::json;
use testkit_cluster::Cluster;

#[tokio::test]
async fn roles_decide_and_say_why_not() {
    let cluster = Cluster::start().await;
    let user = || Identity::new("jane", &[]);
    let pods = "/api/v1/namespaces/default/pods";
    let refused = cluster.request_as(user(), Method::GET, pods, "", &[]).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.json()["message"],
        r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default""#
    );
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    cluster
        .made(
            rbac,
            json!({
                "metadata": {"name": "viewers"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}],
            }),
        )
        .await;
    assert_eq!(cluster.request_as(user(), Method::GET, pods, "", &[]).await.code, 200);
    let elsewhere = "/api/v1/namespaces/kube-system/pods";
    assert_eq!(cluster.request_as(user(), Method::GET, elsewhere, "", &[]).await.code, 403);
    assert_eq!(cluster.request_as(user(), Method::GET, "/version", "", &[]).await.code, 200);
    assert_eq!(cluster.request_as(Identity::anonymous(), Method::GET, "/api", "", &[]).await.code, 403);
    let scheduler = Identity::new("system:kube-scheduler", &[]);
    assert_eq!(cluster.request_as(scheduler, Method::GET, "/api/v1/pods", "", &[]).await.code, 200);

    let role = json!({"metadata": {"name": "more"}, "rules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["secrets"]}]});
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let admin = json!({
        "metadata": {"name": "admins"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "joe"}],
    });
    cluster.made(rbac, admin).await;
    let joe = || Identity::new("joe", &[]);
    let granted = cluster.request_as(joe(), Method::POST, roles, role.to_string(), &[]).await;
    assert_eq!(granted.code, 403, "admin has no patch of everything on secrets by \"*\"");
    assert!(
        granted.json()["message"]
            .as_str()
            .unwrap()
            .contains("is attempting to grant RBAC permissions not currently held")
    );

    let review = json!({"spec": {"user": "jane", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    let reviewed = cluster.made("/apis/authorization.k8s.io/v1/subjectaccessreviews", review).await;
    assert_eq!(reviewed["status"]["allowed"], true);
    assert!(reviewed["status"]["reason"].as_str().unwrap().starts_with("RBAC: allowed by RoleBinding"));
}

#[tokio::test]
async fn tokens_live_as_long_as_what_they_are_bound_to() {
    let cluster = Cluster::start().await;
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    cluster.made(accounts, json!({"metadata": {"name": "default"}})).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = cluster
        .made(pods, json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}))
        .await;
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    assert_eq!(
        pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"],
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    assert_eq!(pod["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(pod["spec"]["priority"], 0);
    let request = json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}});
    let token = cluster.made(&format!("{accounts}/default/token"), request).await;
    let token = token["status"]["token"].as_str().unwrap().to_string();
    let review = async || {
        cluster.made("/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": token}})).await
    };
    let reviewed = review().await;
    assert_eq!(reviewed["status"]["user"]["username"], "system:serviceaccount:default:default");
    assert_eq!(reviewed["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert_eq!(cluster.request(Method::DELETE, &format!("{pods}/p"), "").await.code, 200);
    assert_eq!(review().await["status"]["error"], "invalid bearer token");
}

#[tokio::test]
async fn pods_are_bound_once_and_deleted_with_grace() {
    let cluster = Cluster::start().await;
    cluster
        .made("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "default"}}))
        .await;
    let pods = "/api/v1/namespaces/default/pods";
    cluster
        .made(pods, json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}))
        .await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    cluster.made(&format!("{pods}/p/binding"), binding.clone()).await;
    let twice = cluster.request(Method::POST, &format!("{pods}/p/binding"), binding.to_string()).await;
    assert_eq!(
        twice.json()["message"],
        r#"Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1""#
    );
    let pod = cluster.request(Method::DELETE, &format!("{pods}/p"), "").await.json();
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(pod["spec"]["nodeName"], "n1");
    let now = json!({"gracePeriodSeconds": 0}).to_string();
    assert_eq!(cluster.request(Method::DELETE, &format!("{pods}/p"), now).await.code, 200);
    assert_eq!(cluster.request(Method::GET, &format!("{pods}/p"), "").await.code, 404);
}

#[tokio::test]
async fn addresses_are_handed_out_and_come_back() {
    let cluster = Cluster::start().await;
    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, ip: &str| {
        let mut value = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        if !ip.is_empty() {
            value["spec"]["clusterIP"] = ip.into();
        }
        value
    };
    let kubernetes = cluster.request(Method::GET, &format!("{services}/kubernetes"), "").await.json();
    assert_eq!(kubernetes["spec"]["clusterIP"], "10.43.0.1");
    cluster.made(services, service("a", "10.43.0.20")).await;
    let taken = cluster.request(Method::POST, services, service("b", "10.43.0.20").to_string()).await;
    assert_eq!(taken.code, 422);
    assert!(taken.json()["message"].as_str().unwrap().contains("provided IP is already allocated"));
    assert_eq!(cluster.request(Method::DELETE, &format!("{services}/a"), "").await.code, 200);
    cluster.made(services, service("b", "10.43.0.20")).await;
}

#[tokio::test]
async fn a_definition_serves_its_kind_until_it_is_deleted() {
    let cluster = Cluster::start().await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let mut watch = cluster.watch(&format!("{definitions}?watch=true")).await;
    cluster.made(definitions,
        json!({
            "metadata": {"name": "things.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
                "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 3}}},
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}],
            },
        }),
    )
    .await;
    let mut caches = cluster.server.caches().changed();
    let things = "/apis/example.com/v1/namespaces/default/things";
    while cluster.request(Method::GET, things, "").await.code != 200 {
        tokio::select! {
            _ = caches.changed() => {}
            _ = watch.next() => {}
        }
    }
    let made = cluster.made(things, json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"other": 1}})).await;
    assert_eq!(made["spec"], json!({"size": 3}));
    assert_eq!(made["metadata"]["generation"], 1);
    let listed = cluster.request(Method::GET, things, "").await.json();
    assert_eq!(listed["items"][0]["kind"], "Thing");
    let groups = cluster.request(Method::GET, "/apis", "").await.json();
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "example.com"));
    assert_eq!(
        cluster.request(Method::DELETE, &format!("{definitions}/things.example.com"), "").await.code,
        200
    );
    loop {
        let event = watch.next().await.unwrap();
        if event["type"] == "DELETED" {
            break;
        }
    }
}
