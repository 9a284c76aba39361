//! A KMS v2 plugin that seals Secrets: a small one in the test, on a Unix socket, over gRPC.

#![allow(clippy::unwrap_used)] // helpers of tests fail like tests

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use api::protobuf::wire::{Field, Reader, Writer};
use base::{Clock, Tasks};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use store::{Sqlite, Store};
use testkit_cluster::{Cluster, NoNodes};
use tokio::net::UnixListener;

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// What the plugin is asked and how it answers.
#[derive(Default)]
struct Plugin {
    /// The number of the present key; a former one opens still.
    key: AtomicU8,
    unwell: AtomicBool,
    encrypted: AtomicUsize,
    decrypted: AtomicUsize,
}

impl Plugin {
    fn answer(&self, method: &str, message: &[u8]) -> Vec<u8> {
        let (mut reader, mut bytes, mut key_id) = (Reader::new(message), Vec::new(), String::new());
        while let Some((tag, field)) = reader.field().unwrap() {
            match (tag, field) {
                (1, Field::Bytes(own)) => bytes = own.to_vec(),
                (3, Field::Bytes(text)) => key_id = String::from_utf8(text.to_vec()).unwrap(),
                _ => {}
            }
        }
        let key = self.key.load(Ordering::Relaxed);
        let mut writer = Writer::default();
        match method {
            "/v2.KeyManagementService/Status" => {
                let health = if self.unwell.load(Ordering::Relaxed) { "the HSM is gone" } else { "ok" };
                writer.bytes_field(3, format!("key-{key}").as_bytes());
                writer.bytes_field(2, health.as_bytes());
                writer.bytes_field(1, b"v2");
            }
            "/v2.KeyManagementService/Encrypt" => {
                self.encrypted.fetch_add(1, Ordering::Relaxed);
                writer.nested(3, |writer| {
                    writer.bytes_field(2, b"noted");
                    writer.bytes_field(1, b"test.example.com");
                });
                writer.bytes_field(2, format!("key-{key}").as_bytes());
                let sealed: Vec<u8> = bytes.iter().map(|byte| byte ^ (key + 1)).collect();
                writer.bytes_field(1, &sealed);
            }
            "/v2.KeyManagementService/Decrypt" => {
                self.decrypted.fetch_add(1, Ordering::Relaxed);
                let key: u8 = key_id.strip_prefix("key-").unwrap().parse().unwrap();
                let opened: Vec<u8> = bytes.iter().map(|byte| byte ^ (key + 1)).collect();
                writer.bytes_field(1, &opened);
            }
            other => panic!("{other}"),
        }
        writer.finish()
    }

    fn serve(self: Arc<Self>, path: &Path) -> Tasks {
        let listener = UnixListener::bind(path).unwrap();
        let tasks = Tasks::new();
        let own = tasks.clone();
        tasks.spawn("plugin", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let plugin = self.clone();
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let plugin = plugin.clone();
                    async move {
                        let method = request.uri().path().to_string();
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let answer = plugin.answer(&method, &body[5..]);
                        let mut frame = BytesMut::from(&[0][..]);
                        frame.extend_from_slice(&(answer.len() as u32).to_be_bytes());
                        frame.extend_from_slice(&answer);
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", "0".parse().unwrap());
                        let frames: Vec<Result<Frame<Bytes>, Infallible>> =
                            vec![Ok(Frame::data(frame.freeze())), Ok(Frame::trailers(trailers))];
                        let body = StreamBody::new(futures_util::stream::iter(frames));
                        Ok::<_, Infallible>(
                            Response::builder()
                                .header("content-type", "application/grpc")
                                .body(body)
                                .unwrap(),
                        )
                    }
                });
                own.spawn("plugin-connection", async move {
                    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _gone = served.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        tasks
    }
}

fn document(socket: &Path) -> api::Value {
    let kms = json!({"kms": {"apiVersion": "v2", "name": "vault", "endpoint": format!("unix://{}", socket.display())}});
    let document = json!({"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
        "resources": [{"resources": ["secrets"], "providers": [kms, {"identity": {}}]}]});
    api::json::parse(document.to_string().as_bytes()).unwrap()
}

fn clock() -> Clock {
    Clock::system("2026-01-01T00:00:00Z".parse().unwrap())
}

async fn open(dir: &Path, socket: &Path) -> Cluster {
    let change = |config: &mut apiserver::Config| config.encryption = Some(document(socket));
    Cluster::open_with(dir, clock(), "192.0.2.1:6443", Arc::new(NoNodes), change).await
}

async fn stored(cluster: &Cluster, name: &str) -> Bytes {
    let key = format!("core/secrets/default/{name}").parse().unwrap();
    cluster.store.get(&key, None).await.unwrap().unwrap().value
}

async fn password(cluster: &Cluster, name: &str) -> String {
    let found = cluster.get(&format!("{SECRETS}/{name}")).await;
    let bytes = STANDARD.decode(found["data"]["password"].as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_plugin_seals_secrets_and_its_new_key_seals_them_anew() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("kms.sock");
    let plugin = Arc::new(Plugin::default());
    let served = plugin.clone().serve(&socket);
    let cluster = open(dir.path(), &socket).await;
    for name in ["one", "two", "three"] {
        cluster.made(SECRETS, json!({"metadata": {"name": name}, "stringData": {"password": name}})).await;
    }
    let before = stored(&cluster, "one").await;
    assert!(before.starts_with(b"k8s:enc:kms:v2:vault:"));
    assert!(!before.windows(9).any(|part| part == b"\"password"));
    assert_eq!(password(&cluster, "two").await, "two");
    // One call for the seed, none for a value.
    assert_eq!((plugin.encrypted.load(Ordering::Relaxed), plugin.decrypted.load(Ordering::Relaxed)), (1, 0));
    cluster.stop().await;
    drop(cluster);

    // A start knows nothing: one call opens the seed of all three.
    let cluster = open(dir.path(), &socket).await;
    assert_eq!(password(&cluster, "three").await, "three");
    assert_eq!(plugin.decrypted.load(Ordering::Relaxed), 1);
    // The plugin has another key: a reload seals everything anew, and a second one nothing.
    plugin.key.store(7, Ordering::Relaxed);
    assert_eq!(cluster.server.reload_encryption(&document(&socket)).await.unwrap(), 3);
    assert_eq!(cluster.server.reload_encryption(&document(&socket)).await.unwrap(), 0);
    let after = stored(&cluster, "one").await;
    assert!(after.windows(5).any(|part| part == b"key-7") && !after.windows(5).any(|part| part == b"key-0"));
    assert_eq!(password(&cluster, "one").await, "one");
    let checks = cluster.request(http::Method::GET, "/readyz?verbose", "").await;
    assert!(String::from_utf8_lossy(&checks.bytes).contains("[+]kms-providers ok"));
    // A plugin that is not well changes nothing.
    plugin.unwell.store(true, Ordering::Relaxed);
    let why = cluster.server.reload_encryption(&document(&socket)).await.unwrap_err().to_string();
    assert!(why.contains("the HSM is gone"), "{why}");
    assert_eq!(password(&cluster, "two").await, "two");
    cluster.stop().await;
    drop(cluster);

    // Without it a server does not start over what it sealed.
    served.stop().await;
    let tasks = Tasks::new();
    let pki = pki::Pki::open(&dir.path().join("tls"), &clock()).unwrap();
    let store: Arc<dyn Store> =
        Arc::new(Sqlite::open(&dir.path().join("state.db"), Default::default()).unwrap());
    let mut config = apiserver::Config::new("192.0.2.1:6443".parse().unwrap(), pki.service_account.clone());
    config.encryption = Some(document(&socket));
    let server = apiserver::Server::start(config, store.clone(), Arc::new(NoNodes), clock(), &tasks).await;
    let why = base::chain(&server.err().expect("because the plugin is gone")).to_string();
    assert!(why.contains("the KMS plugin vault"), "{why}");
    tasks.stop().await;
    store.close().await;
}
