//! Tests of the node's own API over a pipe.

use futures_util::{SinkExt, StreamExt};
use http_body_util::Empty;
use serde_json::json;
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::tests::World;

async fn world() -> (World, Api) {
    let world = World::new();
    let api = world.start().api();
    world.put_pod(
        json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "img"}]}}),
    );
    world.until("runs", |pod| pod.is_some_and(|pod| pod["status"]["phase"] == "Running")).await;
    (world, api)
}

fn connect(api: &Api) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 16);
    let api = api.clone();
    base::spawn("serve", async move { api.serve_connection(far).await });
    near
}

async fn request(api: &Api, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(connect(api))).await.unwrap();
    base::spawn("client", connection.with_upgrades());
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
}

async fn get(api: &Api, path: &str) -> (u16, String) {
    let response = request(api, path, &[]).await;
    let status = response.status().as_u16();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

async fn upgrade(api: &Api, path: &str, protocol: &str) -> (String, TokioIo<hyper::upgrade::Upgraded>) {
    let response = request(
        api,
        path,
        &[
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", protocol),
        ],
    )
    .await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let chosen =
        response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned());
    (chosen.unwrap_or_default(), TokioIo::new(hyper::upgrade::on(response).await.unwrap()))
}

#[tokio::test]
async fn plain_paths() {
    let (world, api) = world().await;
    assert_eq!(get(&api, "/healthz").await, (200, "ok".into()));
    let (status, pods) = get(&api, "/pods").await;
    assert!(status == 200 && pods.contains("\"name\":\"web\""));
    let (_, summary) = get(&api, "/stats/summary").await;
    assert!(summary.contains("\"podRef\":{\"name\":\"web\""), "{summary}");
    let (_, metrics) = get(&api, "/metrics/resource").await;
    assert!(
        metrics
            .contains("container_memory_working_set_bytes{container=\"c\",namespace=\"shop\",pod=\"web\"}"),
        "{metrics}"
    );
    assert_eq!(get(&api, "/no").await.0, 404);
    world.tasks.stop().await;
}

#[tokio::test]
async fn logs_are_cut_and_followed() {
    let (world, api) = world().await;
    let log = world.folder.path().join("data/node/pods/u/logs/c/0.log");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    let line = |number: u32, tag: &str| format!("2026-11-21T12:00:0{number}.5Z stdout {tag} line {number}\n");
    std::fs::write(&log, [line(1, "F"), line(2, "F"), line(3, "P"), line(4, "F")].concat()).unwrap();
    let path = "/containerLogs/shop/web/c";
    for (query, expected) in [
        ("", "line 1\nline 2\nline 3line 4\n"),
        ("?tailLines=2", "line 3line 4\n"),
        (
            "?sinceTime=2026-11-21T12:00:02Z&timestamps=true",
            "2026-11-21T12:00:02.5Z line 2\n2026-11-21T12:00:03.5Z line 3line 4\n",
        ),
        ("?limitBytes=5", "line "),
        ("?stream=Stderr", ""),
    ] {
        assert_eq!(get(&api, &format!("{path}{query}")).await, (200, expected.into()), "{query}");
    }
    assert_eq!(
        get(&api, &format!("{path}?previous=true")).await,
        (400, "previous terminated container \"c\" in pod \"web\" not found".into())
    );
    assert_eq!(get(&api, "/containerLogs/shop/no/c").await.0, 404);
    let mut follow = request(&api, &format!("{path}?follow=true&tailLines=0"), &[]).await.into_body();
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(line(5, "F").as_bytes()).unwrap();
    assert_eq!(follow.frame().await.unwrap().unwrap().into_data().unwrap(), "line 5\n");
    // A rotation is no end.
    std::fs::rename(&log, log.with_extension("old")).unwrap();
    std::fs::write(&log, line(6, "F")).unwrap();
    assert_eq!(follow.frame().await.unwrap().unwrap().into_data().unwrap(), "line 6\n");
    world.tasks.stop().await;
    world.runtime.exit("c", 0);
    assert!(follow.frame().await.is_none());
}

#[tokio::test]
async fn exec_over_websocket() {
    let (world, api) = world().await;
    let path = "/exec/shop/web/c?command=cat&input=1&output=1&error=1";
    let (chosen, io) = upgrade(&api, path, "v5.channel.k8s.io, v4.channel.k8s.io").await;
    assert_eq!(chosen, "v5.channel.k8s.io");
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    socket.send(Message::binary(&b"\0hello"[..])).await.unwrap();
    socket.send(Message::binary(&b"\x04{\"Width\":80,\"Height\":24}"[..])).await.unwrap();
    socket.send(Message::binary(&[255u8, 0][..])).await.unwrap();
    let mut found: [Vec<u8>; 4] = Default::default();
    let mut code = None;
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(bytes) => found[usize::from(bytes[0])].extend_from_slice(&bytes[1..]),
            Message::Close(frame) => code = frame.map(|frame| u16::from(frame.code)),
            _ => {}
        }
    }
    assert_eq!(code, Some(1000));
    assert_eq!((&found[1][..], &found[2][..]), (&b"hello"[..], &b"bye"[..]));
    let status: serde_json::Value = serde_json::from_slice(&found[3]).unwrap();
    assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "7"}));
    assert_eq!(
        get(&api, "/exec/shop/web/no?command=x&output=1").await,
        (404, "container not found (\"no\")".into())
    );
    world.tasks.stop().await;
}

#[tokio::test]
async fn logs_over_websocket() {
    let (world, api) = world().await;
    let log = world.folder.path().join("data/node/pods/u/logs/c/0.log");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    std::fs::write(&log, "2026-01-01T00:00:00Z stdout F hello\n").unwrap();
    let (chosen, io) = upgrade(&api, "/containerLogs/shop/web/c", "binary.k8s.io").await;
    assert_eq!(chosen, "binary.k8s.io");
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    let mut pieces = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message {
            pieces.push(bytes.to_vec());
        }
    }
    assert_eq!(pieces[0], b"", "the first message is empty");
    assert_eq!(pieces.concat(), b"hello\n");
    world.tasks.stop().await;
}

#[tokio::test]
async fn exec_over_spdy() {
    let (world, api) = world().await;
    let response = request(
        &api,
        "/exec/shop/web/c?command=cat&input=1&output=1&error=1",
        &[
            ("upgrade", "SPDY/3.1"),
            ("connection", "Upgrade"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ],
    )
    .await;
    assert_eq!(response.status(), 101);
    let mut client = spdy::client::Client::new(TokioIo::new(hyper::upgrade::on(response).await.unwrap()));
    for (stream, kind) in [(1, "error"), (3, "stdin"), (5, "stdout"), (7, "stderr")] {
        client.open(stream, &[("streamtype", kind)]).await;
    }
    client.send(3, b"typed", true).await;
    let found = client.collect(&[1, 5, 7]).await;
    assert_eq!((&found[&5][..], &found[&7][..]), (&b"typed"[..], &b"bye"[..]));
    assert!(String::from_utf8_lossy(&found[&1]).contains("\"ExitCode\""));
    world.tasks.stop().await;
}

#[tokio::test]
async fn port_forward_through_a_tunnel() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (world, api) = world().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    base::spawn("server", async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        connection.read_to_string(&mut text).await.unwrap();
        connection.write_all(text.to_uppercase().as_bytes()).await.unwrap();
    });
    let (chosen, io) = upgrade(&api, "/portForward/shop/web", "SPDY/3.1+portforward.k8s.io").await;
    assert_eq!(chosen, "SPDY/3.1+portforward.k8s.io");
    let socket = WebSocketStream::from_raw_socket(io, Role::Client, None).await;
    let (near, mut far) = tokio::io::duplex(1 << 16);
    base::spawn("tunnel", async move {
        let (mut sink, mut source) = socket.split();
        let mut buffer = vec![0; 4096];
        loop {
            tokio::select! {
                read = far.read(&mut buffer) => {
                    let read = read.unwrap();
                    if read == 0 { break }
                    sink.send(Message::binary(Bytes::copy_from_slice(&buffer[..read]))).await.unwrap();
                }
                message = source.next() => match message {
                    Some(Ok(Message::Binary(bytes))) => far.write_all(&bytes).await.unwrap(),
                    _ => break,
                },
            }
        }
    });
    let mut client = spdy::client::Client::new(near);
    let port = port.to_string();
    client.open(1, &[("streamtype", "error"), ("port", &port), ("requestid", "0")]).await;
    client.open(3, &[("streamtype", "data"), ("port", &port), ("requestid", "0")]).await;
    client.send(1, b"", true).await;
    client.send(3, b"hello", true).await;
    let found = client.collect(&[1, 3]).await;
    assert_eq!(found[&3], b"HELLO");
    world.tasks.stop().await;
}
