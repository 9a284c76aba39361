//! Admission webhooks over TLS, in this process.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod hook;

use hook::{Hook, patch, review};
use http::Method;
use serde_json::{Value, json};
use testkit_cluster::Cluster;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn configure(cluster: &Cluster, kind: &str, name: &str, webhooks: Value) {
    let plural = format!("{}configurations", kind.to_lowercase());
    let body = json!({"metadata": {"name": name}, "webhooks": webhooks});
    let answer = cluster.post(&format!("/apis/admissionregistration.k8s.io/v1/{plural}"), body).await;
    assert_eq!(answer.code, 201, "{}", answer.json());
}

fn webhook(name: &str, client: Value) -> Value {
    json!({
        "name": name, "clientConfig": client, "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
    })
}

fn with(mut hook: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        hook[key] = value.clone();
    }
    hook
}

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {"start": "yes"}})
}

#[tokio::test]
async fn mutating_hooks_run_in_order_and_again_if_needed() {
    let cluster = Cluster::start().await;
    let hook = Hook::start(&cluster, |path, request| {
        let data = &request["request"]["object"]["data"];
        Some(review(
            request,
            match path {
                // Adds what it counts, so that a second call is seen.
                "/one" => {
                    let count: usize = data["one"].as_str().map_or(0, |text| text.parse().unwrap());
                    patch(json!([{"op": "add", "path": "/data/one", "value": (count + 1).to_string()}]))
                }
                "/two" if data["two"].is_null() => {
                    patch(json!([{"op": "add", "path": "/data/two", "value": data["one"]}]))
                }
                _ => json!({"allowed": true, "warnings": ["two has nothing to do"]}),
            },
        ))
    })
    .await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    configure(
        &cluster,
        "MutatingWebhook",
        "a",
        json!([
            with(webhook("one.example.com", hook.client("/one")), again.clone()),
            with(webhook("two.example.com", hook.client("/two")), again),
        ]),
    )
    .await;
    let answer = cluster.post(MAPS, map("m")).await;
    assert_eq!(answer.code, 201, "{}", answer.json());
    assert_eq!(answer.json()["data"], json!({"one": "2", "start": "yes", "two": "1"}));
    assert_eq!(hook.paths(), ["/one", "/two", "/one", "/two"]);
    assert!(answer.headers["warning"].to_str().unwrap().contains("two has nothing to do"));
    let request = hook.asked.lock().unwrap()[0].1["request"].clone();
    assert_eq!(request["operation"], "CREATE");
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(request["name"], "m");
    assert_eq!(request["namespace"], "default");
    assert_eq!(request["oldObject"], Value::Null);
    assert_eq!(request["options"]["kind"], "CreateOptions");
    assert_eq!(request["userInfo"]["username"], "admin");
    assert_eq!(request["dryRun"], false);
}

#[tokio::test]
async fn validating_hooks_refuse_in_upstreams_words() {
    let cluster = Cluster::start().await;
    let hook = Hook::start(&cluster, |path, request| match path {
        "/hang" => None,
        "/wrong" => Some(
            json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "x"}}),
        ),
        _ => {
            let denied = request["request"]["object"]["data"]["bad"] == "yes";
            let status = json!({"reason": "Forbidden", "message": "the data is bad", "code": 403});
            Some(review(request, json!({"allowed": !denied, "status": status})))
        }
    })
    .await;
    let deny = with(
        webhook("deny.example.com", hook.client("/deny")),
        json!({"objectSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]}}),
    );
    configure(&cluster, "ValidatingWebhook", "deny", json!([deny])).await;
    let bad = json!({"metadata": {"name": "bad"}, "data": {"bad": "yes"}});
    let refused = cluster.post(MAPS, bad.clone()).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.json()["message"],
        r#"admission webhook "deny.example.com" denied the request: the data is bad"#
    );
    let skipped = with(bad.clone(), json!({"metadata": {"name": "bad", "labels": {"skip": "1"}}}));
    assert_eq!(cluster.post(MAPS, skipped).await.code, 201);
    assert_eq!(cluster.post(MAPS, map("good")).await.code, 201);

    // An update and a delete are judged too.
    let patch = [("content-type", "application/merge-patch+json")];
    let one = format!("{MAPS}/good");
    let refused = cluster.request_with(Method::PATCH, &one, r#"{"data":{"bad":"yes"}}"#, &patch).await;
    assert_eq!(refused.code, 403);
    assert_eq!(cluster.request(Method::DELETE, &one, "").await.code, 200);
    let request = hook.asked.lock().unwrap().last().unwrap().1["request"].clone();
    assert_eq!((&request["operation"], &request["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(request["oldObject"]["data"]["start"], "yes");

    // Failures: the policy decides.
    let hang = with(webhook("hang.example.com", hook.client("/hang")), json!({"timeoutSeconds": 1}));
    configure(&cluster, "ValidatingWebhook", "hang", json!([hang])).await;
    let failed = cluster.post(MAPS, map("late")).await;
    assert_eq!(failed.code, 500);
    let text = format!(
        r#"Internal error occurred: failed calling webhook "hang.example.com": failed to call webhook: Post "https://{}/hang?timeout=1s": context deadline exceeded"#,
        hook.address
    );
    assert_eq!(failed.json()["message"], text);
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/hang";
    let ignore = r#"[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Ignore"}]"#;
    let json_patch = [("content-type", "application/json-patch+json")];
    assert_eq!(cluster.request_with(Method::PATCH, path, ignore, &json_patch).await.code, 200);
    assert_eq!(cluster.post(MAPS, map("late")).await.code, 201);
    assert_eq!(cluster.request(Method::DELETE, path, "").await.code, 200);

    let wrong = webhook("wrong.example.com", hook.client("/wrong"));
    configure(&cluster, "ValidatingWebhook", "wrong", json!([wrong])).await;
    let failed = cluster.post(MAPS, map("wrong")).await;
    let message = failed.json()["message"].as_str().unwrap().to_string();
    assert!(message.contains("received invalid webhook response: expected response.uid="), "{message}");
}

#[tokio::test]
async fn hooks_match_by_version_scope_and_namespace() {
    let cluster = Cluster::start().await;
    let hook = Hook::start(&cluster, |_, request| Some(review(request, json!({"allowed": true})))).await;
    let of = |name: &str, rule: Value, more: Value| {
        let hook = with(webhook(name, hook.client(&format!("/{name}"))), json!({"rules": [rule]}));
        with(hook, more)
    };
    let events = json!({"operations": ["CREATE"], "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"], "resources": ["events"]});
    let all = json!({"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["namespaces"], "scope": "Cluster"});
    let scale = json!({"operations": ["UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale"]});
    configure(
        &cluster,
        "ValidatingWebhook",
        "match",
        json!([
            of("equivalent.example.com", events.clone(), json!({})),
            of("exact.example.com", events, json!({"matchPolicy": "Exact"})),
            of("cluster.example.com", all, json!({})),
            of(
                "scale.example.com",
                scale,
                json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}})
            ),
        ]),
    )
    .await;
    let event =
        json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}, "type": "Normal"});
    let answer = cluster.post("/api/v1/namespaces/default/events", event).await;
    assert_eq!(answer.code, 201, "{}", answer.json());
    assert_eq!(hook.paths(), ["/equivalent.example.com"]);
    let request = hook.asked.lock().unwrap()[0].1["request"].clone();
    assert_eq!(request["kind"]["group"], "events.k8s.io");
    assert_eq!(request["requestKind"]["group"], "");
    assert_eq!(request["object"]["apiVersion"], "events.k8s.io/v1");
    assert_eq!(cluster.post("/api/v1/namespaces", json!({"metadata": {"name": "n"}})).await.code, 201);
    assert_eq!(hook.paths().last().unwrap(), "/cluster.example.com");
    hook.asked.lock().unwrap().clear();

    let deployment = |namespace: &str| {
        (
            format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
            json!({"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {
                "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
        )
    };
    for namespace in ["default", "n"] {
        let (path, body) = deployment(namespace);
        assert_eq!(cluster.post(&path, body).await.code, 201);
        let scale = format!("{path}/d/scale");
        let merge = [("content-type", "application/merge-patch+json")];
        let answer = cluster.request_with(Method::PATCH, &scale, r#"{"spec":{"replicas":3}}"#, &merge).await;
        assert_eq!(answer.code, 200, "{}", answer.json());
    }
    assert_eq!(hook.paths(), ["/scale.example.com"], "the other namespace has another label");
    let request = hook.asked.lock().unwrap()[0].1["request"].clone();
    assert_eq!(request["kind"]["kind"], "Scale");
    assert_eq!(
        (&request["object"]["spec"]["replicas"], &request["oldObject"]["spec"]["replicas"]),
        (&json!(3), &json!(1))
    );
}

#[tokio::test]
async fn side_effects_and_services() {
    let cluster = Cluster::start().await;
    let hook = Hook::start(&cluster, |_, request| Some(review(request, json!({"allowed": true})))).await;
    let effects = with(webhook("effects.example.com", hook.client("/")), json!({"sideEffects": "Some"}));
    // v1 takes only hooks without side effects; what is dry anyway is called.
    let dry = with(webhook("dry.example.com", hook.client("/dry")), json!({"sideEffects": "NoneOnDryRun"}));
    configure(&cluster, "ValidatingWebhook", "dry", json!([dry])).await;
    drop(effects);
    let answer = cluster.post(&format!("{MAPS}?dryRun=All"), map("m")).await;
    assert_eq!(answer.code, 201);
    let request = hook.asked.lock().unwrap()[0].1["request"].clone();
    assert_eq!((&request["dryRun"], &request["options"]["dryRun"]), (&json!(true), &json!(["All"])));

    let service = json!({"service": {"namespace": "default", "name": "missing", "path": "/x"}, "caBundle": hook.bundle});
    configure(&cluster, "MutatingWebhook", "service", json!([webhook("s.example.com", service)])).await;
    let failed = cluster.post(MAPS, map("m")).await;
    assert_eq!(
        failed.json()["message"],
        r#"Internal error occurred: failed calling webhook "s.example.com": failed to call webhook: Post "https://missing.default.svc:443/x?timeout=10s": service "missing" not found"#
    );
}

#[tokio::test]
async fn a_hook_s_own_certificate_may_stand_in_its_bundle() {
    let cluster = Cluster::start().await;
    let hook = Hook::start(&cluster, |_, request| {
        Some(review(request, json!({"allowed": false, "status": {"message": "seen"}})))
    })
    .await;
    let mut client = hook.client("/own");
    client["caBundle"] = json!(hook.own);
    configure(&cluster, "ValidatingWebhook", "own", json!([webhook("own.example.com", client)])).await;
    let answer = cluster.post(MAPS, map("m")).await;
    // A hook that says no without a code.
    assert_eq!(answer.code, 400, "{}", answer.json());
    assert!(answer.json()["message"].as_str().unwrap().contains("seen"), "{}", answer.json());
    assert_eq!(hook.paths(), ["/own"]);
}
