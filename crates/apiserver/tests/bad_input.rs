//! What careless and hostile clients send: each is answered properly or cut off, and others are served all the while.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use testkit_cluster::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{PATIENCE, answer, ask, cluster, connect, head};

const BRIEF: Duration = Duration::from_millis(300);
const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn lives(cluster: &Cluster, address: SocketAddr) {
    let (head, _) = ask(cluster, address, &head("admin", "GET", "/api/v1/namespaces/default", "")).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

/// Waits until the server has closed the connection.
async fn hung_up(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut buffer = [0; 4096];
    let read = async { while stream.read(&mut buffer).await.unwrap_or(0) > 0 {} };
    tokio::time::timeout(PATIENCE, read).await.expect("because the server hangs up");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_limit_are_refused_before_they_are_read() {
    let (cluster, address) = cluster(|_| {}).await;
    // Told in advance: not one byte of it needs to come.
    let told =
        head("admin", "POST", CONFIGMAPS, "content-type: application/json\r\ncontent-length: 10485760\r\n");
    let (first, status) = ask(&cluster, address, &told).await;
    assert!(first.starts_with("http/1.1 413"), "{first}");
    assert_eq!(status["reason"], "RequestEntityTooLarge");
    assert_eq!(status["message"], "Request entity too large: limit is 3145728");
    assert_eq!((&status["kind"], &status["code"]), (&json!("Status"), &json!(413)));
    // Not told: refused once it is too much.
    let mut stream = connect(&cluster, address).await;
    let headers = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    stream.write_all(head("admin", "POST", CONFIGMAPS, headers).as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..49 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let (first, _) = answer(&mut stream).await;
    assert!(first.starts_with("http/1.1 413"), "{first}");
    lives(&cluster, address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_json_is_an_error_and_not_a_crash() {
    let (cluster, address) = cluster(|_| {}).await;
    let name = r#""metadata":{"name":"deep"}"#;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        for body in
            [deep.clone(), format!(r#"{{"apiVersion":"v1","kind":"ConfigMap",{name},"data":{deep}}}"#)]
        {
            for (method, path, kind) in [
                ("POST", CONFIGMAPS.to_string(), "application/json"),
                ("PATCH", format!("{CONFIGMAPS}/kube-root-ca.crt"), "application/merge-patch+json"),
                ("PATCH", format!("{CONFIGMAPS}/deep?fieldManager=x"), "application/apply-patch+yaml"),
            ] {
                let headers = format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len());
                let request = head("admin", method, &path, &headers) + &body;
                let (first, status) = ask(&cluster, address, &request).await;
                let code = status["code"].as_u64().unwrap_or(0);
                assert!((400..500).contains(&code), "{method} {kind}: {first} {status}");
            }
        }
    }
    lives(&cluster, address).await;
}

/// What came of creating one object of a kind.
async fn create(cluster: &Cluster, path: &str, body: &Value) -> (u16, Value) {
    let answer = cluster.request(http::Method::POST, path, body.to_string()).await;
    (answer.code.as_u16(), answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_just_too_large_is_refused_by_name() {
    let (cluster, address) = cluster(|_| {}).await;
    let map =
        |name: &str, bytes: usize| json!({"metadata": {"name": name}, "data": {"a": "x".repeat(bytes)}});
    let long = |length: usize| "n".repeat(length);
    let annotated = |name: &str, bytes: usize| json!({"metadata": {"name": name, "annotations": {"a": "x".repeat(bytes)}}});
    let labelled =
        |name: &str, bytes: usize| json!({"metadata": {"name": name, "labels": {"a": "x".repeat(bytes)}}});
    // The largest that goes, the smallest that does not, and the field that the refusal names.
    for (goes, too_large, field) in [
        (map("most", 1 << 20), map("more", (1 << 20) + 1), "[]"),
        (map(&long(253), 1), map(&long(254), 1), "metadata.name"),
        (annotated("notes", (256 << 10) - 1), annotated("note", 256 << 10), "metadata.annotations"),
        (labelled("sixty-three", 63), labelled("sixty-four", 64), "metadata.labels"),
    ] {
        let (code, status) = create(&cluster, CONFIGMAPS, &goes).await;
        assert_eq!(code, 201, "{status}");
        let (code, status) = create(&cluster, CONFIGMAPS, &too_large).await;
        assert_eq!((code, &status["reason"]), (422, &json!("Invalid")), "{status}");
        let named = status["details"]["causes"][0]["field"].as_str().unwrap_or_default();
        assert_eq!(named, field, "{status}");
    }
    lives(&cluster, address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_very_many_fields_costs_no_more_than_its_bytes() {
    let (cluster, address) = cluster(|_| {}).await;
    let mut data = serde_json::Map::new();
    for at in 0..100_000 {
        data.insert(format!("k{at:05}"), json!(""));
    }
    // Were each field looked for among those before it, this would take minutes.
    let body = json!({"metadata": {"name": "many"}, "data": data});
    let made = tokio::time::timeout(PATIENCE, create(&cluster, CONFIGMAPS, &body)).await;
    let (code, status) = made.expect("because the time grows with the bytes");
    assert_eq!(code, 201, "{}", status["message"]);
    let doubled = format!(
        r#"{{"metadata":{{"name":"doubled"}},"data":{{{}}}}}"#,
        (0..100_000).map(|at| format!("\"k{}\":\"\"", at % 50_000)).collect::<Vec<_>>().join(",")
    );
    let path = format!("{CONFIGMAPS}?fieldValidation=Strict");
    let answered = tokio::time::timeout(PATIENCE, cluster.request(http::Method::POST, &path, doubled)).await;
    let answer = answered.expect("because the time grows with the bytes");
    assert_eq!(answer.code, 400);
    lives(&cluster, address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_never_reads_is_cut_off() {
    let (cluster, address) = cluster(|config| config.limits.write_timeout = BRIEF).await;
    let mut watcher = connect(&cluster, address).await;
    let request = head("admin", "GET", &format!("{CONFIGMAPS}?watch=1&resourceVersion=0"), "");
    watcher.write_all(request.as_bytes()).await.unwrap();
    // More than all buffers between the server and a client that reads nothing.
    let filling = "x".repeat(900_000);
    for at in 0..24 {
        let body =
            json!({"metadata": {"name": format!("big-{at}")}, "data": {"filling": filling}}).to_string();
        let answer = cluster.request(http::Method::POST, CONFIGMAPS, body).await;
        assert_eq!(answer.code, 201);
    }
    let open = || async {
        let text = cluster.request(http::Method::GET, "/metrics", "").await.bytes;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line =
            text.lines().find(|line| line.starts_with("apiserver_longrunning_requests{")).map(str::to_owned);
        line.is_some_and(|line| line.ends_with(" 1"))
    };
    let since = std::time::Instant::now();
    while open().await {
        assert!(since.elapsed() < PATIENCE, "the watch is still open");
        tokio::task::yield_now().await;
    }
    lives(&cluster, address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_and_garbage_end() {
    let (cluster, address) = cluster(|config| config.limits.header_timeout = BRIEF).await;
    // No handshake, half a one, none that is TLS, and a request whose head never ends.
    for bytes in [
        &b""[..],
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"[..],
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 9000],
    ] {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        hung_up(&mut socket).await;
    }
    let mut stream = connect(&cluster, address).await;
    stream.write_all(b"GET /api HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    hung_up(&mut stream).await;
    lives(&cluster, address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_post_is_given_up() {
    let (cluster, address) = cluster(|config| config.limits.request_timeout = BRIEF).await;
    let headers = "content-type: application/json\r\ncontent-length: 100\r\n";
    let (first, status) = ask(&cluster, address, &(head("admin", "POST", CONFIGMAPS, headers) + "{")).await;
    assert!(first.starts_with("http/1.1 504"), "{first}");
    assert_eq!(status["reason"], "Timeout");
    lives(&cluster, address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_lock_nobody_out() {
    let (cluster, address) = cluster(|config| {
        config.limits.connections = 100;
        config.limits.header_timeout = Duration::from_secs(3);
    })
    .await;
    // Five times as many as there are places for, none of which ever says a word.
    let mut idle = Vec::new();
    for _ in 0..500 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    tokio::time::timeout(PATIENCE, lives(&cluster, address))
        .await
        .expect("because the idle ones are cut off");
}

/// More than there are places for by default: silent ones, half handshakes, garbage, and requests that nobody finishes.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_connections_at_once_lock_nobody_out() {
    const CONNECTIONS: usize = 5000;
    let open = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().0;
    if open < 2 * CONNECTIONS as u64 + 500 {
        eprintln!(
            "NOT RUN: both ends of {CONNECTIONS} connections are in this process, and ulimit -n is {open}"
        );
        return;
    }
    let (cluster, address) = cluster(|config| config.limits.header_timeout = Duration::from_secs(5)).await;
    assert!(apiserver::config::Limits::default().connections < CONNECTIONS);
    let connecting = (0..CONNECTIONS).map(|at| async move {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let bytes: &[u8] = match at % 4 {
            0 => b"",
            1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03",
            2 => b"\x17\x03\x03\x00\x20",
            _ => b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n",
        };
        // What is no TLS may have been cut off before all of it was said.
        let _cut_off = socket.write_all(bytes).await;
        socket
    });
    let held = tokio::time::timeout(PATIENCE, futures_util::future::join_all(connecting));
    let held = held.await.expect("because connections are taken in, or cut off to take others in");
    tokio::time::timeout(PATIENCE, lives(&cluster, address))
        .await
        .expect("because who says nothing is cut off");
    assert_eq!(held.len(), CONNECTIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_is_told_to_come_again_and_others_are_not() {
    let (cluster, address) = cluster(|_| {}).await;
    let level = json!({"metadata": {"name": "one"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0, "limitResponse": {"type": "Reject"},
    }}});
    let rules = json!([{
        "subjects": [{"kind": "User", "user": {"name": "noisy"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}],
    }]);
    let schema = json!({"metadata": {"name": "noisy"}, "spec": {
        "priorityLevelConfiguration": {"name": "one"}, "matchingPrecedence": 50, "rules": rules,
    }});
    let binding = json!({"metadata": {"name": "noisy"}, "subjects": [{"kind": "User", "name": "noisy", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}});
    let mut uids = Vec::new();
    for (path, body) in [
        ("/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations", level),
        ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", schema),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding),
    ] {
        let answer = cluster.request(http::Method::POST, path, body.to_string()).await;
        assert_eq!(answer.code, 201, "{}", answer.json());
        uids.push(answer.json()["metadata"]["uid"].as_str().unwrap().to_string());
    }
    // Each holds a seat until its body has come; the level has one share's worth of them.
    let headers = "content-type: application/json\r\ncontent-length: 100\r\n";
    let mut posts = Vec::new();
    let refused = loop {
        assert!(posts.len() < 100, "nobody was refused");
        let mut post = connect(&cluster, address).await;
        post.write_all(head("noisy", "POST", CONFIGMAPS, headers).as_bytes()).await.unwrap();
        let (head, _) = ask(&cluster, address, &head("noisy", "GET", "/api/v1/namespaces/default", "")).await;
        posts.push(post);
        if !head.starts_with("http/1.1 200") {
            break head;
        }
    };
    assert!(refused.starts_with("http/1.1 429"), "{refused}");
    for line in [
        "retry-after: 1".to_string(),
        format!("x-kubernetes-pf-prioritylevel-uid: {}", uids[0]),
        format!("x-kubernetes-pf-flowschema-uid: {}", uids[1]),
    ] {
        assert!(refused.contains(&line), "{line} is not in {refused}");
    }
    // Somebody else is served meanwhile, and so is the one who flooded once it stops.
    lives(&cluster, address).await;
    drop(posts);
    let since = std::time::Instant::now();
    loop {
        let (head, _) = ask(&cluster, address, &head("noisy", "GET", "/api/v1/namespaces/default", "")).await;
        if head.starts_with("http/1.1 200") {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "{head}");
    }
    let text = cluster.request(http::Method::GET, "/metrics", "").await.bytes;
    let text = String::from_utf8_lossy(&text).into_owned();
    let wanted = r#"apiserver_flowcontrol_rejected_requests_total{flow_schema="noisy",priority_level="one",reason="concurrency-limit"}"#;
    assert!(text.contains(wanted), "{text}");
}

/// More than a watch remembers, faster than they are looked at: every definition is served all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_definitions_is_served_to_the_last() {
    const COUNT: usize = 9000;
    let (cluster, _) = cluster(|_| {}).await;
    let definition = |at: usize| {
        let names =
            json!({"plural": format!("t{at}s"), "singular": format!("t{at}"), "kind": format!("T{at}")});
        let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
        let spec = json!({"group": format!("g{}.example.com", at % 7), "scope": "Namespaced", "names": names, "versions": [version]});
        json!({"metadata": {"name": format!("t{at}s.g{}.example.com", at % 7)}, "spec": spec})
    };
    let cluster = std::sync::Arc::new(cluster);
    let makers = (0..16).map(|maker| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            for at in (maker..COUNT).step_by(16) {
                cluster.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(at)).await;
            }
        })
    });
    for maker in makers.collect::<Vec<_>>() {
        maker.await.unwrap();
    }
    let since = std::time::Instant::now();
    for at in (0..COUNT).step_by(59) {
        let path = format!("/apis/g{}.example.com/v1/namespaces/default/t{at}s", at % 7);
        while cluster.request(http::Method::GET, &path, "").await.code != 200 {
            assert!(since.elapsed() < 3 * PATIENCE, "{path} is not served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
