//! The way to a node: what the kubelet is asked, and bytes in both directions after an upgrade, over a real connection.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use std::convert::Infallible;
use std::sync::Arc;

use apiserver::NodeDialer;
use apiserver::node::Stream;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use testkit_cluster::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A kubelet that tells what it was asked, and echoes what it gets after an upgrade.
struct Echo;

async fn kubelet(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.headers().contains_key("upgrade") {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            let mut buffer = [0; 64];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..read]).await.unwrap();
            }
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
        response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        return Ok(response);
    }
    let secret = request.headers().contains_key("authorization");
    Ok(Response::new(Full::from(format!("{} {} {secret}", request.method(), request.uri()))))
}

#[async_trait::async_trait]
impl NodeDialer for Echo {
    async fn connect(&self, node: &str) -> std::io::Result<Box<dyn Stream>> {
        if node != "n1" {
            return Err(std::io::Error::other("no such node"));
        }
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(theirs), service_fn(kubelet));
            let _ = connection.with_upgrades().await;
        });
        Ok(Box::new(ours))
    }
}

async fn with_a_pod(dir: &std::path::Path) -> Cluster {
    let clock = base::Clock::system("2026-01-01T00:00:00Z".parse().unwrap());
    let cluster = Cluster::open(dir, clock, "192.0.2.1:6443", Arc::new(Echo)).await;
    cluster
        .made("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "default"}}))
        .await;
    let pods = "/api/v1/namespaces/default/pods";
    let containers = json!([{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]);
    cluster.made(pods, json!({"metadata": {"name": "p"}, "spec": {"containers": containers}})).await;
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    cluster.made(&format!("{pods}/p/binding"), binding).await;
    cluster
}

#[tokio::test]
async fn asks_the_kubelet_in_its_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = with_a_pod(dir.path()).await;
    let check = async |path: &str, code: u16, text: &str| {
        let headers = [("authorization", "Bearer secret")];
        let path = format!("/api/v1/namespaces/default/pods/{path}");
        let answer = cluster.request_with(Method::GET, &path, "", &headers).await;
        let body = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert_eq!(answer.code.as_u16(), code, "{path}: {body}");
        assert!(body.contains(text), "{path}: {body}");
    };
    check("p/log?container=a&follow=true", 200, "GET /containerLogs/default/p/a?follow=true false").await;
    check("p/log", 400, "a container name must be specified for pod p, choose one of: [a b]").await;
    check("p/log?container=c", 400, "container c is not valid for pod p").await;
    check(
        "p/exec?container=b&command=sh&command=-c&stdin=true&tty=false",
        200,
        "GET /exec/default/p/b?command=sh&command=-c&input=1&tty=0 false",
    )
    .await;
    check("q/log", 404, "pods \\\"q\\\" not found").await;
    cluster.stop().await;
}

#[tokio::test]
async fn an_upgrade_joins_client_and_node() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = with_a_pod(dir.path()).await;
    let address = cluster.listen_at("127.0.0.1:0").await;
    let admin = cluster.admin_certificate();
    let tls = pki::client_config(&cluster.pki.server.pem(), Some(&admin), &cluster.clock).unwrap();
    let socket = TcpStream::connect(address).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let socket = tokio_rustls::TlsConnector::from(tls).connect(name, socket).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(socket)).await.unwrap();
    let driver = tokio::spawn(async move { connection.with_upgrades().await });
    let request = Request::get("/api/v1/namespaces/default/pods/p/exec?container=a&command=sh")
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .body(Empty::new())
        .unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["upgrade"], "websocket");
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
    drop(stream);
    let _ = driver.await;
    cluster.stop().await;
}
