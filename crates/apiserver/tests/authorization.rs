//! An authorization webhook that is a real TLS server: when it is asked, what is remembered, and what its silence means.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod hook;

use std::collections::BTreeMap;

use apiserver::{Authorization, Peer};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hook::Hook;
use http::Method;
use serde_json::{Value, json};
use testkit_cluster::{Cluster, Identity};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Node, the webhook, RBAC.
fn settings(hook: &Hook, change: impl FnOnce(&mut Value)) -> Authorization {
    let mut document = json!({
        "kind": "AuthorizationConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
        "authorizers": [
            {"type": "Node", "name": "node"},
            {"type": "Webhook", "name": "hook", "webhook": {
                "timeout": "3s", "authorizedTTL": "5m", "unauthorizedTTL": "30s", "failurePolicy": "NoOpinion",
                "subjectAccessReviewVersion": "v1", "matchConditionSubjectAccessReviewVersion": "v1",
                "matchConditions": [{"expression": "!request.user.startsWith('system:')"}],
                "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/hook"}}},
            {"type": "RBAC", "name": "rbac"},
        ],
    });
    change(&mut document["authorizers"][1]["webhook"]);
    let ca = String::from_utf8(STANDARD.decode(&hook.bundle).unwrap()).unwrap();
    let peer = Peer { url: format!("https://{}/judge", hook.address), ca: Some(ca), ..Peer::default() };
    let document = api::json::parse(document.to_string().as_bytes()).unwrap();
    Authorization { document, peers: BTreeMap::from([("/hook".into(), peer)]) }
}

/// jane may, joe may not, and of others it knows nothing.
async fn judge(other: &Cluster) -> Hook {
    Hook::start(other, |_, review| {
        let status = match review["spec"]["user"].as_str().unwrap() {
            "jane" => json!({"allowed": true, "reason": "she is jane"}),
            "joe" => json!({"allowed": false, "denied": true, "reason": "not joe"}),
            _ => json!({"allowed": false}),
        };
        let mut review = review.clone();
        review["status"] = status;
        Some(review)
    })
    .await
}

async fn lists(cluster: &Cluster, user: &str) -> (u16, String) {
    let answer = cluster.request_as(Identity::new(user, &[]), Method::GET, MAPS, "", &[]).await;
    (answer.code.as_u16(), answer.json()["message"].as_str().unwrap_or_default().to_string())
}

async fn bind(cluster: &Cluster, user: &str) {
    let binding = json!({"kind": "ClusterRoleBinding", "apiVersion": "rbac.authorization.k8s.io/v1",
        "metadata": {"name": user}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]});
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(cluster.request(Method::POST, path, binding.to_string()).await.code, 201);
}

#[tokio::test]
async fn a_webhook_allows_denies_or_leaves_it_to_the_next() {
    let other = Cluster::start().await;
    let hook = judge(&other).await;
    let authorization = settings(&hook, |_| {});
    let cluster = Cluster::start_with(|config| config.authorization = Some(authorization)).await;
    for user in ["joe", "ann"] {
        bind(&cluster, user).await;
    }
    assert_eq!(lists(&cluster, "jane").await.0, 200, "RBAC gives her nothing");
    let (code, message) = lists(&cluster, "joe").await;
    assert_eq!(code, 403, "RBAC would let him");
    assert!(message.ends_with("in the namespace \"default\": not joe"), "{message}");
    assert_eq!((lists(&cluster, "ann").await.0, lists(&cluster, "bob").await.0), (200, 403));
    let asked = hook.paths().len();
    for user in ["jane", "joe", "ann", "bob"] {
        lists(&cluster, user).await;
    }
    lists(&cluster, "system:kube-scheduler").await;
    assert_eq!(
        (asked, hook.paths().len()),
        (4, 4),
        "answers are remembered, and conditions leave the system out"
    );
    let first = hook.asked.lock().unwrap()[0].1.clone();
    assert_eq!(
        (&first["kind"], &first["apiVersion"]),
        (&json!("SubjectAccessReview"), &json!("authorization.k8s.io/v1"))
    );
    let expected = json!({"namespace": "default", "verb": "list", "version": "v1", "resource": "configmaps"});
    assert_eq!(first["spec"]["resourceAttributes"], expected);

    // Reviews of rights ask it too.
    let body =
        json!({"spec": {"user": "jane", "resourceAttributes": {"verb": "delete", "resource": "nodes"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let found = cluster.request(Method::POST, path, body.to_string()).await.json();
    assert_eq!(
        (&found["status"]["allowed"], &found["status"]["reason"]),
        (&json!(true), &json!("she is jane"))
    );
}

#[tokio::test]
async fn silence_is_what_the_failure_policy_says() {
    let other = Cluster::start().await;
    // Nobody listens where it was.
    let hook = judge(&other).await;
    let dead = |policy: &str, conditions: Value| {
        let mut authorization = settings(&hook, |webhook| {
            webhook["failurePolicy"] = json!(policy);
            webhook["matchConditions"] = conditions;
        });
        authorization.peers.get_mut("/hook").unwrap().url = "https://127.0.0.1:1/judge".into();
        authorization
    };
    let fails = json!([{"expression": "request.nonResourceAttributes.path == '/x'"}]);
    let authorization = dead("NoOpinion", fails.clone());
    let cluster = Cluster::start_with(|config| config.authorization = Some(authorization)).await;
    bind(&cluster, "ann").await;
    assert_eq!(lists(&cluster, "ann").await.0, 200);
    cluster.server.reload_authorization(&dead("Deny", fails)).unwrap();
    assert_eq!(lists(&cluster, "ann").await.0, 403);
    let anyone = json!([{"expression": "request.user == 'ann'"}]);
    let bad = dead("Maybe", anyone.clone());
    assert!(
        cluster
            .server
            .reload_authorization(&bad)
            .unwrap_err()
            .to_string()
            .contains("authorizers[1].webhook.failurePolicy")
    );
    assert_eq!(lists(&cluster, "ann").await.0, 403, "a bad configuration changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admission_asks_the_same_judges() {
    let other = Cluster::start().await;
    let hook = judge(&other).await;
    let authorization = settings(&hook, |_| {});
    let cluster = Cluster::start_with(|config| config.authorization = Some(authorization)).await;
    // A role with more than its maker has: only who may escalate. jane may everything, by the webhook's word.
    let role = json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "all"},
        "rules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]});
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let json = [("content-type", "application/json")];
    let made =
        cluster.request_as(Identity::new("jane", &[]), Method::POST, path, role.to_string(), &json).await;
    assert_eq!(made.code, 201, "{}", made.json());
}
