//! What upstream's server (Kubernetes 1.36.3) answered when it was asked by hand what the differential does not ask: options of
//! lists, watches and deletions, forms, paths outside of resources, YAML, custom resources. The texts are upstream's.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use apiserver::Identity;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use testkit_cluster::{Answer, Cluster};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: (&str, &str) = ("accept", "application/json");

/// `code`, and a part of the message.
fn told(answer: &Answer, code: u16, part: &str) {
    let text = String::from_utf8_lossy(&answer.bytes);
    assert_eq!(answer.code.as_u16(), code, "{text}");
    assert!(answer.message().contains(part), "{part:?} is not in {text}");
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn three_maps(cluster: &Cluster) {
    for name in ["a", "b", "c"] {
        cluster.made(MAPS, &json!({"metadata": {"name": name}, "data": {"k": "v"}})).await;
    }
}

#[tokio::test]
async fn lists_by_their_options() {
    let cluster = Cluster::start().await;
    three_maps(&cluster).await;
    let get = async |query: &str| cluster.request(Method::GET, &format!("{MAPS}?{query}"), "").await;
    let names = |answer: &Answer| answer.json()["items"].as_array().unwrap().len();
    // Who takes any state is given all of it, whatever the limit.
    assert_eq!(names(&get("resourceVersion=0&limit=1").await), 3);
    assert_eq!(names(&get("limit=-1").await), 3);
    let page = get("limit=1").await.json();
    assert_eq!(page["metadata"]["remainingItemCount"], 2);
    told(&get("limit=").await, 400, "strconv.ParseInt: parsing \"\": invalid syntax");
    told(&get("timeoutSeconds=x").await, 400, "strconv.ParseInt: parsing \"x\": invalid syntax");
    told(&get("sendInitialEvents=true").await, 422, "sendInitialEvents is forbidden for list");
    let bad = "invalid continue token: continue key is not valid: ";
    told(&get("continue=!!").await, 400, &format!("{bad}illegal base64 data at input byte 0"));
    told(
        &get("continue=abc").await,
        400,
        &format!("{bad}invalid character 'i' looking for beginning of value"),
    );
    let outside = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIuLi94In0";
    told(&get(&format!("continue={outside}")).await, 400, &format!("{bad}../x"));
    let one = cluster.request(Method::GET, &format!("{MAPS}/a?resourceVersion=abc"), "").await;
    told(&one, 500, "resourceVersion: Invalid value: \"abc\": strconv.ParseUint");
    told(&get("includeObject=x").await, 200, "");
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = cluster.request_with(Method::GET, &format!("{MAPS}?includeObject=x"), "", &table).await;
    told(&table, 400, "Unable to convert to Table as requested: includeObject: Invalid value: \"x\"");
    let metadata = [("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")];
    let list = cluster.request_with(Method::GET, MAPS, "", &metadata).await;
    told(&list, 406, "the requested object is a list (*core.ConfigMapList)");
    let beta = [("accept", "application/json;as=Table;v=v1beta1;g=meta.k8s.io")];
    let table = cluster.request_with(Method::GET, MAPS, "", &beta).await.json();
    assert_eq!(table["apiVersion"], "meta.k8s.io/v1beta1");
    assert_eq!(table["rows"][0]["object"]["apiVersion"], "meta.k8s.io/v1beta1");
}

#[tokio::test]
async fn a_watch_from_the_present_is_a_list_by_stream() {
    let cluster = Cluster::start().await;
    three_maps(&cluster).await;
    for query in ["watch=1", "watch=1&resourceVersion=0"] {
        let path = format!("{MAPS}?{query}&allowWatchBookmarks=true&timeoutSeconds=1");
        let events = cluster.request(Method::GET, &path, "").await;
        let text = String::from_utf8_lossy(&events.bytes).into_owned();
        let last: Value = serde_json::from_str(text.lines().nth(3).unwrap()).unwrap();
        assert_eq!(last["type"], "BOOKMARK", "{text}");
        assert_eq!(last["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    }
    let path = format!("{MAPS}?watch=1&resourceVersionMatch=NotOlderThan");
    let refused = cluster.request(Method::GET, &path, "").await;
    told(&refused, 422, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    let yaml = [("accept", "application/yaml")];
    let refused = cluster.request_with(Method::GET, &format!("{MAPS}?watch=1"), "", &yaml).await;
    assert_eq!(refused.code, 406);
}

#[tokio::test]
async fn deletes_by_its_options() {
    let cluster = Cluster::start().await;
    three_maps(&cluster).await;
    let one = format!("{MAPS}/a");
    let delete = async |path: &str, body: &str| cluster.request(Method::DELETE, path, body.to_string()).await;
    told(&delete(&format!("{one}?gracePeriodSeconds=x"), "").await, 400, "strconv.ParseInt");
    told(&delete(&format!("{one}?dryRun=foo"), "").await, 422, "dryRun: Unsupported value: [\"foo\"]");
    told(&delete(&one, r#"{"dryRun":["foo"]}"#).await, 422, "dryRun: Unsupported value: [\"foo\"]");
    let pod = r#"{"kind":"Pod","apiVersion":"v1"}"#;
    told(&delete(&one, pod).await, 400, "no kind \"Pod\" is registered for version \"v1\" in scheme");
    assert_eq!(cluster.request(Method::GET, &one, "").await.code, 200);
    // As many as a page holds, as they were.
    let gone = delete(&format!("{MAPS}?limit=1"), "").await.json();
    assert_eq!(gone["items"].as_array().unwrap().len(), 1);
    assert_eq!(gone["metadata"]["remainingItemCount"], 2);
    assert!(gone["items"][0].get("kind").is_none());
    assert_eq!(cluster.get(MAPS).await["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn judges_the_options_of_a_write() {
    let cluster = Cluster::start().await;
    three_maps(&cluster).await;
    let post = async |query: &str| {
        let body = r#"{"metadata":{"name":"y"}}"#;
        cluster.request(Method::POST, &format!("{MAPS}?dryRun=All&{query}"), body).await
    };
    let unprintable = "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\x01b\": invalid character U+0001 (at position 1)";
    told(&post("fieldManager=a%01b").await, 422, unprintable);
    told(
        &post("fieldValidation=foo").await,
        422,
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation",
    );
    let merge = [("content-type", "application/merge-patch+json"), JSON];
    let patch = async |query: &str, body: &'static str, headers: &[(&str, &str)]| {
        cluster.request_with(Method::PATCH, &format!("{MAPS}/a{query}"), body, headers).await
    };
    told(
        &patch("?force=true", "{", &merge).await,
        422,
        "force: Forbidden: may not be specified for non-apply patch",
    );
    told(&patch("", "null", &merge).await, 400, "Invalid JSON Patch");
    let operations = [("content-type", "application/json-patch+json"), JSON];
    told(
        &patch("", "{}", &operations).await,
        400,
        "json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
    );
    let apply = [("content-type", "application/apply-patch+yaml"), JSON];
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}";
    told(&patch("?fieldManager=f", pod, &apply).await, 400, "invalid object type: /v1, Kind=Pod");
    told(
        &patch("?fieldManager=f", "a: [", &apply).await,
        400,
        "yaml: line 1: did not find expected node content",
    );
    let stranger = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, uid: x}";
    let made =
        cluster.request_with(Method::PATCH, &format!("{MAPS}/new?fieldManager=f"), stranger, &apply).await;
    told(&made, 409, "uid mismatch: the provided object specified uid x, and no existing object was found");
    let body = r#"{"metadata":{"name":"a","resourceVersion":"abc"}}"#;
    let put = cluster.request(Method::PUT, &format!("{MAPS}/a"), body).await;
    told(&put, 500, "strconv.ParseUint: parsing \"abc\": invalid syntax");
    let body = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}"#;
    let wrong = cluster.request(Method::POST, MAPS, body).await;
    told(
        &wrong,
        400,
        "cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion",
    );
}

#[tokio::test]
async fn reads_yaml_as_upstream_does() {
    let cluster = Cluster::start().await;
    let yaml = [("content-type", "application/yaml"), JSON];
    let post = async |query: &str, body: &'static str| {
        cluster.request_with(Method::POST, &format!("{MAPS}?dryRun=All{query}"), body, &yaml).await
    };
    // A key twice: the later one counts, unless somebody asks for strictness.
    let twice = "metadata:\n  name: y\n  name: z\n";
    assert_eq!(post("", twice).await.json()["metadata"]["name"], "z");
    let strict = post("&fieldValidation=Strict", twice).await;
    told(
        &strict,
        400,
        "strict decoding error: yaml: unmarshal errors:\n  line 3: key \"name\" already set in map",
    );
    told(
        &post("", "metadata: [\n").await,
        400,
        "(must be of type ConfigMap): yaml: line 1: did not find expected node content (",
    );
    // Unicode's line ends end a line in YAML 1.1.
    let lines = post("", "metadata: {name: one}\ndata:\n  a: |\n    one\u{2028}    two\n").await.json();
    assert_eq!(lines["data"]["a"], "one\u{2028}two\n");
}

#[tokio::test]
async fn answers_outside_of_resources() {
    let cluster = Cluster::start().await;
    let ask = async |method: Method, path: &str| cluster.request(method, path, "").await;
    let get = async |path: &str| ask(Method::GET, path).await;
    for path in
        ["/readyz/etcd", "/livez/poststarthook/rbac/bootstrap-roles", "/readyz/shutdown", "/healthz/ping"]
    {
        let answer = get(path).await;
        assert_eq!((answer.code.as_u16(), &answer.bytes[..]), (200, &b"ok"[..]), "{path}");
    }
    let verbose = get("/readyz?verbose&exclude=etcd&exclude=nope").await;
    let text = String::from_utf8_lossy(&verbose.bytes);
    assert!(text.contains("[+]etcd excluded: ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n"), "{text}");
    assert!(text.ends_with("no matches for \"nope\"\nreadyz check passed\n"), "{text}");
    assert_eq!(header(&verbose.headers, "x-content-type-options"), "nosniff");
    assert_eq!(header(&verbose.headers, "cache-control"), "no-cache, private");
    let method = "the server does not allow this method on the requested resource";
    told(&ask(Method::POST, "/version").await, 405, method);
    told(&ask(Method::DELETE, "/api/v1").await, 405, method);
    assert_eq!(ask(Method::HEAD, MAPS).await.code, 405);
    told(&get("/apis/apps/v9").await, 404, "the server could not find the requested resource");
    assert_eq!(&get("/apis/nothing/v1").await.bytes[..], b"404 page not found\n");
    let paths = get("/").await.json();
    let paths: Vec<&str> =
        paths["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(
        paths.contains(&"/apis/apps/v1") && paths.contains(&"/readyz/poststarthook/bootstrap-controller")
    );
    assert!(paths.is_sorted());
    let keys = cluster.request_with(Method::GET, "/openid/v1/jwks", "", &[JSON]).await;
    told(&keys, 406, "Available representations: application/jwk-set+json");
    assert_eq!(header(&get("/openid/v1/jwks").await.headers, "cache-control"), "public, max-age=3600");
    let somebody = Identity::new("somebody", &["system:authenticated"]);
    let refused = cluster.request_as(somebody, Method::GET, "/api/v1/pods", "", &[JSON]).await;
    assert_eq!((refused.code.as_u16(), header(&refused.headers, "x-content-type-options")), (403, "nosniff"));
    let slis = get("/metrics/slis").await;
    assert!(
        String::from_utf8_lossy(&slis.bytes)
            .contains("kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"} 1")
    );
}

#[tokio::test]
async fn discovery_can_be_kept() {
    let cluster = Cluster::start().await;
    let form = "g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let json_form = format!("application/json;{form}");
    let answer = cluster.request_with(Method::GET, "/apis", "", &[("accept", &json_form)]).await;
    let tag = header(&answer.headers, "etag").to_string();
    assert!(tag.len() > 100 && header(&answer.headers, "vary") == "Accept", "{tag}");
    assert!(answer.json()["items"][0]["metadata"].get("creationTimestamp").is_none());
    let kept = [("accept", json_form.as_str()), ("if-none-match", tag.as_str())];
    let same = cluster.request_with(Method::GET, "/apis", "", &kept).await;
    assert_eq!((same.code.as_u16(), same.bytes.len()), (304, 0));
    let protobuf = format!("application/vnd.kubernetes.protobuf;{form}");
    let answer = cluster.request_with(Method::GET, "/apis", "", &[("accept", &protobuf)]).await;
    assert_eq!(header(&answer.headers, "content-type"), protobuf);
    assert!(answer.bytes.starts_with(b"k8s\0"));
    let plain = [("accept", "application/vnd.kubernetes.protobuf")];
    for path in ["/api", "/api/v1", "/apis", "/apis/apps/v1"] {
        let answer = cluster.request_with(Method::GET, path, "", &plain).await;
        assert!(answer.bytes.starts_with(b"k8s\0"), "{path}");
    }
}

#[tokio::test]
async fn custom_resources_have_no_protobuf() {
    let cluster = Cluster::start().await;
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}});
    let definition = json!({"metadata": {"name": "foos.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced", "names": {"kind": "Foo", "plural": "foos"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            "subresources": {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}}]}});
    cluster.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
    let foos = "/apis/example.com/v1/namespaces/default/foos";
    let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"replicas": 1}});
    // Served once the definition's change has come round.
    while cluster.request(Method::GET, foos, "").await.code == 404 {
        tokio::task::yield_now().await;
    }
    cluster.made(foos, &foo).await;
    let protobuf = [("accept", "application/vnd.kubernetes.protobuf")];
    let refused = cluster.request_with(Method::GET, foos, "", &protobuf).await;
    assert_eq!((refused.code.as_u16(), header(&refused.headers, "content-type")), (406, protobuf[0].1));
    assert!(
        String::from_utf8_lossy(&refused.bytes)
            .contains("only the following media types are accepted: application/json")
    );
    let either = [("accept", "application/vnd.kubernetes.protobuf,application/json")];
    let list = cluster.request_with(Method::GET, foos, "", &either).await;
    assert_eq!(header(&list.headers, "content-type"), "application/json");
    assert_eq!(list.json()["metadata"]["continue"], "");
    let sent = [("content-type", "application/vnd.kubernetes.protobuf"), JSON];
    let refused = cluster.request_with(Method::POST, foos, "k8s\0", &sent).await;
    told(&refused, 415, "accepted media types include: application/json, application/yaml");
    let nameless = cluster.request(Method::POST, foos, r#"{"metadata":{"name":"b"}}"#).await;
    told(
        &nameless,
        400,
        "(must be of type Foo): Object 'Kind' is missing in '{\"metadata\":{\"name\":\"b\"}}'",
    );
    let other = r#"{"apiVersion":"example.com/v1","kind":"Bar","metadata":{"name":"b"}}"#;
    let other = cluster.request(Method::POST, foos, other).await;
    told(&other, 422, "Bar.example.com \"b\" is invalid: kind: Invalid value: \"Bar\": must be Foo");
    let scale =
        r#"{"apiVersion":"autoscaling/v1","kind":"Scale","metadata":{"name":"a"},"spec":{"replicas":3}}"#;
    let scaled = cluster.request(Method::PUT, &format!("{foos}/a/scale"), scale).await;
    assert_eq!((scaled.code.as_u16(), &scaled.json()["spec"]["replicas"]), (200, &json!(3)));
}

#[tokio::test]
async fn a_resize_may_add_limits() {
    let cluster = Cluster::start().await;
    let pods = "/api/v1/namespaces/default/pods";
    cluster
        .made("/api/v1/namespaces/default/serviceaccounts", &json!({"metadata": {"name": "default"}}))
        .await;
    let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}});
    cluster.made(pods, &json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})).await;
    let limits = r#"{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"200m"}}}]}}"#;
    let strategic = [("content-type", "application/strategic-merge-patch+json"), JSON];
    let resized = cluster.request_with(Method::PATCH, &format!("{pods}/p/resize"), limits, &strategic).await;
    told(&resized, 200, "");
    assert_eq!(resized.json()["spec"]["containers"][0]["resources"]["limits"]["cpu"], "200m");
}

#[tokio::test]
async fn a_token_without_audiences_is_for_the_api_alone() {
    let token = "first-token";
    let cluster = Cluster::start_with(|config| {
        let identity = Identity::new("somebody", &["devs"]);
        config.static_tokens.push(apiserver::config::StaticToken { token: token.into(), identity });
    })
    .await;
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = async |spec: Value| cluster.made(path, &json!({"spec": spec})).await["status"].clone();
    let own = review(json!({"token": token})).await;
    assert_eq!((&own["authenticated"], own["audiences"].as_array().unwrap().len()), (&json!(true), 1));
    let other = review(json!({"token": token, "audiences": ["somebody-else"]})).await;
    assert!(other.get("authenticated").is_none() && other["error"].is_string(), "{other}");
}
