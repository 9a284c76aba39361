//! Admission policies and CEL rules of CRDs, in this process.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use http::Method;
use serde_json::{Value, json};
use testkit_cluster::Cluster;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";

fn on_maps() -> Value {
    json!({"resourceRules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]})
}

#[tokio::test]
async fn a_bound_policy_denies_warns_and_takes_parameters() {
    let cluster = Cluster::start().await;
    let policy = json!({"metadata": {"name": "sizes"}, "spec": {
        "failurePolicy": "Fail",
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": on_maps(),
        "matchConditions": [{"name": "not-parameters", "expression": "!object.metadata.name.startsWith('params')"}],
        "variables": [{"name": "count", "expression": "has(object.data) ? object.data.size() : 0"}],
        "validations": [
            {"expression": "variables.count <= int(params.data.most)", "messageExpression": "'at most ' + params.data.most + ' keys'", "reason": "Forbidden"},
            {"expression": "request.userInfo.username != 'mallory' && namespaceObject.metadata.name == 'default'"},
        ],
        "auditAnnotations": [{"key": "count", "valueExpression": "string(variables.count)"}],
    }});
    cluster.made(&format!("{ADMISSION}/validatingadmissionpolicies"), policy).await;
    let two = json!({"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}});
    cluster.made(MAPS, json!({"metadata": {"name": "params"}, "data": {"most": "1"}})).await;
    // Nothing is bound yet.
    assert_eq!(cluster.post(&format!("{MAPS}?dryRun=All"), two.clone()).await.code, 201);
    let binding = |actions: Value| {
        json!({"metadata": {"name": "b"}, "spec": {
            "policyName": "sizes", "validationActions": actions,
            "paramRef": {"name": "params", "namespace": "default", "parameterNotFoundAction": "Deny"},
        }})
    };
    let bindings = format!("{ADMISSION}/validatingadmissionpolicybindings");
    cluster.made(&bindings, binding(json!(["Deny"]))).await;
    let refused = cluster.post(MAPS, two.clone()).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message(),
        r#"configmaps "m" is forbidden: ValidatingAdmissionPolicy 'sizes' with binding 'b' denied request: at most 1 keys"#
    );
    assert_eq!(refused.json()["reason"], "Forbidden");
    let one = json!({"metadata": {"name": "one"}, "data": {"a": "1"}});
    assert_eq!(cluster.post(MAPS, one.clone()).await.code, 201);
    let mallory = apiserver::Identity::new("mallory", &["system:masters"]);
    let refused = cluster
        .request_as(mallory, Method::POST, MAPS, json!({"metadata": {"name": "x"}}).to_string(), &[])
        .await;
    assert_eq!(refused.code, 422);
    assert!(refused.message().ends_with("denied request: failed expression: request.userInfo.username != 'mallory' && namespaceObject.metadata.name == 'default'"), "{}", refused.message());

    assert_eq!(cluster.request(Method::DELETE, &format!("{bindings}/b"), "").await.code, 200);
    cluster.made(&bindings, binding(json!(["Warn", "Audit"]))).await;
    let warned = cluster.post(MAPS, two.clone()).await;
    assert_eq!(warned.code, 201);
    let warning = warned.headers["warning"].to_str().unwrap();
    assert!(
        warning.contains(
            "Validation failed for ValidatingAdmissionPolicy 'sizes' with binding 'b': at most 1 keys"
        ),
        "{warning}"
    );
    // Parameters that are gone deny.
    assert_eq!(cluster.request(Method::DELETE, &format!("{bindings}/b"), "").await.code, 200);
    cluster.made(&bindings, binding(json!(["Deny"]))).await;
    assert_eq!(cluster.request(Method::DELETE, &format!("{MAPS}/params"), "").await.code, 200);
    let refused = cluster.post(MAPS, json!({"metadata": {"name": "y"}})).await;
    assert!(refused.message().contains("failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"), "{}", refused.message());
}

#[tokio::test]
async fn policies_change_objects() {
    let cluster = Cluster::start().await;
    let policy = json!({"metadata": {"name": "labels"}, "spec": {
        "matchConstraints": on_maps(), "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{metadata: Object.metadata{labels: {'team': object.metadata.name}}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "has(object.data) ? [JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('a-b'), value: object.metadata.labels.team}] : []"}},
        ],
    }});
    cluster.made(&format!("{ADMISSION}/mutatingadmissionpolicies"), policy).await;
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "labels"}});
    cluster.made(&format!("{ADMISSION}/mutatingadmissionpolicybindings"), binding).await;
    let changed = cluster
        .made(MAPS, json!({"metadata": {"name": "m", "labels": {"own": "1"}}, "data": {"k": "v"}}))
        .await;
    assert_eq!(changed["metadata"]["labels"], json!({"own": "1", "team": "m"}));
    assert_eq!(changed["data"], json!({"k": "v", "a-b": "m"}));
}

fn crd(schema: Value) -> Value {
    json!({"metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
    }})
}

fn spec(properties: Value, rules: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": properties, "x-kubernetes-validations": rules}}})
}

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

#[tokio::test]
async fn definitions_with_bad_rules_are_refused() {
    let cluster = Cluster::start().await;
    let x = json!({"x": {"type": "integer"}, "list": {"type": "array", "items": {"type": "string"}}});
    for (rule, expected) in [
        ("self.z == 1", "undefined field 'z'"),
        ("self.x >", "Syntax error"),
        ("self.x + 1", "cel expression must evaluate to a bool"),
        (
            "self.list.all(a, self.list.all(b, a == b))",
            "estimated rule cost exceeds budget by factor of more than 100x",
        ),
        ("self.x == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
    ] {
        let answer = cluster.post(CRDS, crd(spec(x.clone(), json!([{"rule": rule}])))).await;
        assert_eq!(answer.code, 422, "{rule}");
        assert!(answer.message().contains(expected), "{rule}: {}", answer.message());
    }
    let optional = json!([{"rule": "self.x > 0", "optionalOldSelf": true}]);
    let answer = cluster.post(CRDS, crd(spec(x, optional))).await;
    assert!(
        answer.message().contains("may not be set if oldSelf is not used in rule"),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn rules_judge_objects_and_transitions() {
    let cluster = Cluster::start().await;
    let properties = json!({
        "min": {"type": "integer"}, "max": {"type": "integer"},
        "mode": {"type": "string", "maxLength": 10, "x-kubernetes-validations": [
            {"rule": "self == oldSelf", "message": "mode is immutable"}]},
        "names": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "maxLength": 10},
                "n": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}}}},
    });
    let rules = json!([
        {"rule": "self.min <= self.max", "messageExpression": "self.min > 3 ? 'min is large' : 'max is small'",
         "reason": "FieldValueForbidden", "fieldPath": ".min"},
        {"rule": "!has(oldSelf.mode) || has(self.mode)", "message": "mode stays"},
    ]);
    cluster.made(CRDS, crd(spec(properties, rules))).await;
    let things = "/apis/example.com/v1/namespaces/default/things";
    let thing = |spec: Value| json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec});
    let mut refused = cluster.post(things, thing(json!({"min": 5, "max": 1}))).await;
    while refused.code == 404 {
        tokio::task::yield_now().await;
        refused = cluster.post(things, thing(json!({"min": 5, "max": 1}))).await;
    }
    assert_eq!(refused.code, 422);
    assert_eq!(refused.message(), r#"Thing.example.com "t" is invalid: spec.min: Forbidden: min is large"#);
    cluster
        .made(things, thing(json!({"min": 1, "max": 2, "mode": "a", "names": [{"name": "x", "n": 3}]})))
        .await;
    let patch = [("content-type", "application/merge-patch+json")];
    let one = format!("{things}/t");
    for (change, expected) in [
        (r#"{"spec":{"mode":"b"}}"#, r#"spec.mode: Invalid value: "b": mode is immutable"#),
        (r#"{"spec":{"mode":null}}"#, "spec: Invalid value: mode stays"),
        (
            r#"{"spec":{"names":[{"name":"x","n":2}]}}"#,
            "spec.names[0].n: Invalid value: 2: failed rule: self >= oldSelf",
        ),
        (r#"{"spec":{"max":0}}"#, "spec.min: Forbidden: max is small"),
    ] {
        let answer = cluster.request_with(Method::PATCH, &one, change, &patch).await;
        assert_eq!(answer.code, 422, "{change}: {}", answer.json());
        assert!(answer.message().contains(expected), "{change}: {}", answer.message());
    }
    let good = r#"{"spec":{"max":9,"names":[{"name":"y","n":0},{"name":"x","n":4}]}}"#;
    assert_eq!(cluster.request_with(Method::PATCH, &one, good, &patch).await.code, 200);
}
