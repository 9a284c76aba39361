//! Watches over a WebSocket, as a browser opens them.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

mod wire;

use std::net::SocketAddr;

use futures_util::StreamExt;
use http::Method;
use serde_json::{Value, json};
use testkit_cluster::Cluster;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::{PATIENCE, cluster, connect};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn open(
    cluster: &Cluster,
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<(Socket, Response), Error> {
    let stream = connect(cluster, address).await;
    let mut request = http::Request::builder()
        .uri(format!("wss://localhost{path}"))
        .header("host", "localhost")
        .header("authorization", "Bearer admin")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    tokio_tungstenite::client_async(request.body(()).unwrap(), stream).await
}

async fn next(socket: &mut Socket) -> Message {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("because a message comes").unwrap().unwrap()
}

async fn event(socket: &mut Socket) -> (String, String) {
    let Message::Text(text) = next(socket).await else { panic!("JSON comes as text") };
    let event: Value = serde_json::from_str(&text).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
}

async fn make(cluster: &Cluster, name: &str) {
    let answer = cluster.request(Method::POST, MAPS, json!({"metadata": {"name": name}}).to_string()).await;
    assert_eq!(answer.code, 201);
}

const ORIGIN: (&str, &str) = ("origin", "https://localhost");

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_a_message_and_the_end_of_the_watch_is_the_socket_s() {
    let (cluster, address) = cluster(|_| {}).await;
    make(&cluster, "first").await;
    let path = format!(
        "{MAPS}?watch=1&resourceVersion=0&fieldSelector=metadata.name!=kube-root-ca.crt&timeoutSeconds=5"
    );
    let (mut socket, answer) = open(&cluster, address, &path, &[ORIGIN]).await.unwrap();
    assert_eq!(answer.status(), 101);
    assert_eq!(event(&mut socket).await, ("ADDED".into(), "first".into()));
    make(&cluster, "second").await;
    assert_eq!(event(&mut socket).await, ("ADDED".into(), "second".into()));
    let deleted = cluster.request(Method::DELETE, &format!("{MAPS}/first"), "").await;
    assert_eq!(deleted.code, 200);
    assert_eq!(event(&mut socket).await, ("DELETED".into(), "first".into()));
    let Message::Close(Some(end)) = next(&mut socket).await else { panic!("the watch ends after its time") };
    assert_eq!(u16::from(end.code), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn protobuf_is_binary_and_a_subprotocol_is_echoed() {
    let (cluster, address) = cluster(|_| {}).await;
    make(&cluster, "first").await;
    let path = format!("{MAPS}?watch=1&resourceVersion=0");
    let headers = [
        ORIGIN,
        ("accept", "application/vnd.kubernetes.protobuf"),
        ("sec-websocket-protocol", "binary.k8s.io"),
    ];
    let (mut socket, answer) = open(&cluster, address, &path, &headers).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "binary.k8s.io");
    let Message::Binary(bytes) = next(&mut socket).await else { panic!("protobuf comes as binary") };
    // WatchEvent: field 1, a text of five letters. No length stands before it.
    assert_eq!(&bytes[..7], b"\x0a\x05ADDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_handshake_is_refused_before_the_upgrade() {
    let (cluster, address) = cluster(|_| {}).await;
    let refused = |path: &'static str, headers: Vec<(&'static str, &'static str)>| {
        let cluster = &cluster;
        async move {
            match open(cluster, address, path, &headers).await {
                Err(Error::Http(answer)) => answer.status().as_u16(),
                other => panic!("{:?}", other.map(|(_, answer)| answer)),
            }
        }
    };
    let watch = "/api/v1/configmaps?watch=1";
    assert_eq!(refused(watch, vec![]).await, 403);
    assert_eq!(refused(watch, vec![ORIGIN, ("sec-websocket-protocol", "a, b")]).await, 400);
    assert_eq!(refused("/api/v1/configmaps?watch=1&resourceVersion=x", vec![ORIGIN]).await, 500);
    assert_eq!(refused("/api/v1/nothings?watch=1", vec![ORIGIN]).await, 404);
}
