//! Webhooks over real HTTP: Flux' Receivers and Argo CD's own ask for a look long before the interval is over, and whoever does
//! not know the secret asks for nothing. On skiff or, with `SKIFF_TEST_KUBECONFIG`, on upstream's API server.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

mod bench;

use std::time::Duration;

use api::Value;
use bench::{Bench, bench_with, map, yaml};
use ring::hmac;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where the agents of these tests listen; one lives at a time.
const PORT: u16 = 39292;

fn listening(config: &mut fleet::Config) {
    config.webhooks = Some(([127, 0, 0, 1], PORT).into());
    // Without a call nothing is looked at in the time of a test.
    config.interval = Some(Duration::from_secs(3600));
}

/// Calls, and gives the status.
async fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> u16 {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", PORT)).await.unwrap();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{lines}content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that has heard enough does not read the rest.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

async fn listens(bench: &Bench) {
    bench
        .until("somebody listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", PORT)).await.is_ok().then_some(())
        })
        .await;
}

async fn receiver(bench: &Bench) -> Option<Value> {
    let kind = bench.cluster.kind("notification.toolkit.fluxcd.io/v1", "Receiver").await.ok()?;
    bench.cluster.get(&kind, &bench.namespace, "push").await.unwrap()
}

fn ready(receiver: &Value) -> (String, String) {
    let all = receiver.at(&["status", "conditions"]).and_then(Value::as_array).unwrap_or_default();
    let ready = all.iter().find(|one| one.str_at(&["type"]) == "Ready");
    let of = |field: &str| ready.map(|one| one.str_at(&[field]).to_string()).unwrap_or_default();
    (of("status"), of("reason"))
}

fn signed(key: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_asks_for_a_look() {
    let mut bench = bench_with("receiver", listening).await;
    let namespace = bench.namespace.clone();
    bench.apply(&yaml(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"))).await;
    bench.commit(&[("app/a.yaml", &map("a", "one"))]);
    for text in [
        format!(
            "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: shop, namespace: {namespace}}}\nspec: {{url: 'file://{}', interval: 1h, ref: {{branch: main}}}}\n",
            bench.repository().display()
        ),
        format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: shop, namespace: {namespace}}}\nspec: {{interval: 1h, path: app, prune: true, targetNamespace: {namespace}, sourceRef: {{kind: GitRepository, name: shop}}}}\n"
        ),
    ] {
        bench.apply(&yaml(&text)).await;
    }
    bench.until_value("a", Some("one")).await;
    bench
        .until("the kind is served", async || {
            bench.cluster.kind("notification.toolkit.fluxcd.io/v1", "Receiver").await.ok()
        })
        .await;
    let object = format!(
        "apiVersion: notification.toolkit.fluxcd.io/v1\nkind: Receiver\nmetadata: {{name: push, namespace: {namespace}}}\nspec:\n  type: github\n  events: [push]\n  secretRef: {{name: hook}}\n  resources: [{{kind: GitRepository, name: shop}}]\n"
    );
    bench.apply(&yaml(&object)).await;
    let told = ("False".to_string(), "TokenNotFound".to_string());
    bench
        .until("the token is missed", async || {
            receiver(&bench).await.filter(|one| ready(one) == told).map(drop)
        })
        .await;
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: hook, namespace: {namespace}}}\nstringData: {{token: s3cret}}\n"
    );
    bench.apply(&yaml(&secret)).await;
    let path = bench
        .until("the receiver is ready", async || {
            let one = receiver(&bench).await?;
            (ready(&one).0 == "True").then(|| one.str_at(&["status", "webhookPath"]).to_string())
        })
        .await;
    // As upstream makes it: token, name, namespace.
    let digest = {
        use sha2::Digest;
        hex::encode(sha2::Sha256::digest(format!("s3cretpush{namespace}")))
    };
    assert_eq!(path, format!("/hook/{digest}"));
    listens(&bench).await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    let body = br#"{"ref":"refs/heads/main"}"#;
    let signature = signed("s3cret", body);
    let call = |event: &'static str, signature: String| {
        [
            ("content-type".to_string(), "application/json".to_string()),
            ("x-github-event".to_string(), event.to_string()),
            ("x-hub-signature-256".to_string(), signature),
        ]
    };
    let ask = async |path: &str, event: &'static str, signature: String, body: &[u8]| {
        let headers = call(event, signature);
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        post(path, &headers, body).await
    };
    let looks = || std::fs::read_to_string(bench.looks()).unwrap().lines().count();
    let before = looks();
    let elsewhere = format!("{path}0");
    assert_eq!(ask(&elsewhere, "push", signature.clone(), body).await, 404);
    assert_eq!(ask("/api/webhook", "push", signature.clone(), body).await, 401);
    assert_eq!(ask("/", "push", signature.clone(), body).await, 404);
    assert_eq!(ask(&path, "ping", signature.clone(), body).await, 400);
    assert_eq!(ask(&path, "push", signed("other", body), body).await, 400);
    let large = vec![b'x'; (3 << 20) + 1];
    assert_eq!(ask(&path, "push", signed("s3cret", &large), &large).await, 413);
    assert_eq!(looks(), before, "a call that was refused was heard");
    assert_eq!(ask(&path, "push", signature.clone(), body).await, 200);
    bench.until_value("a", Some("two")).await;
    // One that is suspended hears nothing.
    let suspended = object.replace("  type: github", "  suspend: true\n  type: github");
    bench.apply(&yaml(&suspended)).await;
    assert_eq!(ask(&path, "push", signature, body).await, 503);
    for (version, kind) in [
        ("notification.toolkit.fluxcd.io/v1", "Receiver"),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
        ("source.toolkit.fluxcd.io/v1", "GitRepository"),
    ] {
        let name = if kind == "Receiver" { "push" } else { "shop" };
        bench.remove((version, kind), &namespace, name).await;
    }
    bench.stop().await;
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", PORT)).await.is_err());
    bench.start().await;
    bench.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn argo_cds_webhook_refreshes_who_follows() {
    let bench = bench_with("push", listening).await;
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: argocd-secret, namespace: argocd}\nstringData: {webhook.gitlab.secret: s3cret}\n";
    bench.apply(&yaml(secret)).await;
    let (_web, url) = bench.served().await;
    bench.commit(&[("app/a.yaml", &map("a", "two"))]);
    listens(&bench).await;
    let page = url.trim_end_matches("/.git");
    let body = |branch: &str, page: &str| {
        format!(r#"{{"ref":"refs/heads/{branch}","project":{{"web_url":"{page}","default_branch":"main"}}}}"#)
    };
    let call = async |token: &str, body: String| {
        let headers = [("x-gitlab-event", "Push Hook"), ("x-gitlab-token", token)];
        post("/api/webhook", &headers, body.as_bytes()).await
    };
    let address = format!("{page}/");
    assert_eq!(call("other", body("main", &address)).await, 401);
    assert_eq!(call("s3cret", body("elsewhere", &address)).await, 200);
    assert_eq!(call("s3cret", body("main", "https://localhost/other")).await, 200);
    assert_eq!(bench.value("a").await.as_deref(), Some("one"));
    // The repository of this test is a folder's `.git`.
    assert_eq!(call("s3cret", body("main", &url)).await, 200);
    bench.until_value("a", Some("two")).await;
    let kind = bench.cluster.kind("v1", "Secret").await.unwrap();
    bench.cluster.delete(&kind, "argocd", "argocd-secret", "", "Background").await.unwrap();
    bench.unserve().await;
    bench.finish().await;
}
