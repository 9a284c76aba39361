//! Plugins of the server itself: quotas, limits, pod security, defaults.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use http::Method;
use serde_json::{Value, json};
use testkit_cluster::{Answer, Cluster};

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// What the quota controller does: it writes the limits; any use will do, the server counts.
async fn count(cluster: &Cluster) -> Value {
    let patch = [("content-type", "application/merge-patch+json")];
    let answer = cluster
        .request_with(
            Method::PATCH,
            &format!("{QUOTAS}/q/status"),
            r#"{"status":{"hard":{"configmaps":"5"},"used":{"configmaps":"0"}}}"#,
            &patch,
        )
        .await;
    assert_eq!(answer.code, 200, "{}", answer.json());
    answer.json()["status"].clone()
}

#[tokio::test]
async fn quotas_hold_under_concurrent_creates() {
    let cluster = Cluster::start().await;
    cluster.made(MAPS, json!({"metadata": {"name": "first"}})).await;
    cluster.made(QUOTAS, json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "5"}}})).await;
    let unknown = cluster.post(MAPS, json!({"metadata": {"name": "x"}})).await;
    assert_eq!(
        unknown.message(),
        r#"configmaps "x" is forbidden: status unknown for quota: q, resources: configmaps"#
    );
    assert_eq!(count(&cluster).await, json!({"hard": {"configmaps": "5"}, "used": {"configmaps": "1"}}));
    let all = (0..20).map(|at| cluster.post(MAPS, json!({"metadata": {"name": format!("m{at}")}})));
    let answers = futures_util::future::join_all(all).await;
    let good = answers.iter().filter(|answer| answer.code == 201).count();
    assert_eq!(good, 4, "{:?}", answers.iter().map(Answer::message).collect::<Vec<_>>());
    let refused = answers.iter().find(|answer| answer.code == 403).unwrap();
    assert!(refused.message().ends_with("is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=5, limited: configmaps=5"), "{}", refused.message());
    assert_eq!(count(&cluster).await["used"]["configmaps"], "5");
    // A create that fails after its charge gives it back.
    assert_eq!(cluster.request(Method::DELETE, &format!("{MAPS}/first"), "").await.code, 200);
    assert_eq!(count(&cluster).await["used"]["configmaps"], "4");
    let there = answers.iter().find(|answer| answer.code == 201).unwrap().json()["metadata"]["name"].clone();
    assert_eq!(cluster.post(MAPS, json!({"metadata": {"name": there}})).await.code, 409);
    let mut used = Value::Null;
    while used != "4" {
        used = cluster.request(Method::GET, &format!("{QUOTAS}/q"), "").await.json()["status"]["used"]["configmaps"].clone();
        tokio::task::yield_now().await;
    }
}

/// Whoever writes the status gets the server's count, which must not have what is about to be added to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_under_way_is_counted_once() {
    let cluster = Cluster::start().await;
    cluster.made(QUOTAS, json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "1"}}})).await;
    let count = async || {
        let patch = [("content-type", "application/merge-patch+json")];
        let status = r#"{"status":{"hard":{"configmaps":"1"},"used":{"configmaps":"0"}}}"#;
        let answer = cluster.request_with(Method::PATCH, &format!("{QUOTAS}/q/status"), status, &patch).await;
        assert!(answer.code == 200 || answer.code == 409, "{}", answer.message());
    };
    for round in 0..100 {
        count().await;
        let name = format!("m{round}");
        let counting = async {
            for _ in 0..4 {
                count().await;
            }
        };
        let (made, ()) =
            tokio::join!(cluster.post(MAPS, json!({"metadata": {"name": name.clone()}})), counting);
        assert_eq!(made.code, 201, "round {round}: {}", made.message());
        assert_eq!(cluster.request(Method::DELETE, &format!("{MAPS}/{name}"), "").await.code, 200);
    }
}

async fn account(cluster: &Cluster) {
    cluster
        .made("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "default"}}))
        .await;
}

#[tokio::test]
async fn limit_ranges_set_and_bound_what_containers_ask_for() {
    let cluster = Cluster::start().await;
    account(&cluster).await;
    let limits = json!([{"type": "Container", "min": {"cpu": "50m"}, "max": {"memory": "1Gi"},
        "default": {"cpu": "500m", "memory": "512Mi"}, "defaultRequest": {"cpu": "100m", "memory": "256Mi"}}]);
    cluster
        .made(
            "/api/v1/namespaces/default/limitranges",
            json!({"metadata": {"name": "l"}, "spec": {"limits": limits}}),
        )
        .await;
    let pod = |name: &str, resources: Value| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}});
    let set = cluster.made(PODS, pod("a", json!({"requests": {"cpu": "300m"}}))).await;
    assert_eq!(
        set["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "300m", "memory": "256Mi"}})
    );
    assert_eq!(
        set["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: memory request for container c; cpu, memory limit for container c"
    );
    let refused =
        cluster.post(PODS, pod("b", json!({"requests": {"cpu": "10m"}, "limits": {"memory": "2Gi"}}))).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message(),
        r#"pods "b" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum memory usage per Container is 1Gi, but limit is 2Gi]"#
    );
}

#[tokio::test]
async fn pod_security_by_label() {
    let cluster = Cluster::start().await;
    account(&cluster).await;
    let labels = json!({"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/warn-version": "v1.24"});
    let patch = [("content-type", "application/merge-patch+json")];
    let namespace = "/api/v1/namespaces/default";
    let wrong = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "strict"}}}).to_string();
    assert_eq!(cluster.request_with(Method::PATCH, namespace, wrong, &patch).await.code, 422);
    let body = json!({"metadata": {"labels": labels}}).to_string();
    assert_eq!(cluster.request_with(Method::PATCH, namespace, body, &patch).await.code, 200);
    let pod = |name: &str, network: bool| json!({"metadata": {"name": name}, "spec": {"hostNetwork": network, "containers": [{"name": "c", "image": "i"}]}});
    let refused = cluster.post(PODS, pod("a", true)).await;
    assert_eq!(
        refused.message(),
        r#"pods "a" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)"#
    );
    let warned = cluster.post(PODS, pod("b", false)).await;
    assert_eq!(warned.code, 201);
    let warning = warned.headers["warning"].to_str().unwrap();
    assert!(
        warning.contains(
            "would violate PodSecurity \\\"restricted:v1.24\\\": allowPrivilegeEscalation != false"
        ),
        "{warning}"
    );
    let stricter =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}).to_string();
    let answer = cluster.request_with(Method::PATCH, namespace, stricter, &patch).await;
    let warnings: Vec<&str> =
        answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(
        warnings.iter().any(|text| text.contains(
            "existing pods in namespace \\\"default\\\" violate the new PodSecurity enforce level"
        )),
        "{warnings:?}"
    );
}

#[tokio::test]
async fn claims_get_the_default_class_and_protection() {
    let cluster = Cluster::start().await;
    let class = json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "example.com/x"});
    cluster.made("/apis/storage.k8s.io/v1/storageclasses", class).await;
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let claim = cluster.made("/api/v1/namespaces/default/persistentvolumeclaims", claim).await;
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
}
