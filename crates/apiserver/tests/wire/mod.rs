//! A server that listens, and clients that speak to it byte by byte.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests fail like tests; not every test needs all of them

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use apiserver::Identity;
use apiserver::config::StaticToken;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use testkit_cluster::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything takes on a busy machine; a test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A listening cluster whose administrator's token is `admin`, and another user's is `noisy`.
pub async fn cluster(change: impl FnOnce(&mut apiserver::Config)) -> (Cluster, SocketAddr) {
    let token = |name: &str, groups: &[&str]| StaticToken {
        token: name.into(),
        identity: Identity::new(name, groups),
    };
    let cluster = Cluster::start_with(|config| {
        config.static_tokens = vec![token("admin", &["system:masters"]), token("noisy", &[])];
        change(config);
    })
    .await;
    let address = cluster.listen_at("127.0.0.1:0").await;
    (cluster, address)
}

pub async fn connect(cluster: &Cluster, address: SocketAddr) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(cluster.pki.server.pem().as_bytes()).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

pub fn head(user: &str, method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {user}\r\n{headers}\r\n")
}

/// Everything up to the end of an answer with a length, or to the end of the connection.
pub async fn answer(stream: &mut TlsStream<TcpStream>) -> (String, String) {
    let mut text = Vec::new();
    let read = async {
        loop {
            if let Some(end) = text.windows(4).position(|four: &[u8]| four == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
                let length =
                    head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if length.is_some_and(|length: usize| text.len() >= end + 4 + length) {
                    return;
                }
            }
            if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("because the server answers or hangs up");
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.to_lowercase(), body.into())
}

pub async fn ask(cluster: &Cluster, address: SocketAddr, request: &str) -> (String, Value) {
    let mut stream = connect(cluster, address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let (head, body) = answer(&mut stream).await;
    (head, serde_json::from_str(&body).unwrap_or_default())
}
