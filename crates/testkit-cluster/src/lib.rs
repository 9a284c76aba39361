//! A cluster in the test's own process: the API server over SQLite in a scratch directory; no root, no network unless
//! [`Cluster::listen`] is called. Dev only: used from `tests/` folders.
//!
//! Dropping the cluster stops it and removes its directory.

pub use apiserver::Identity;

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use apiserver::node::Stream;
use apiserver::{Config, NodeDialer, Server};
use base::{Clock, Tasks};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use pki::{Pki, Purpose, Serving};
use serde_json::Value;
use store::{Sqlite, Store};
use tokio::net::TcpListener;
use tower::ServiceExt;

/// See the module.
pub struct Cluster {
    pub server: Server,
    pub pki: Arc<Pki>,
    pub store: Arc<dyn Store>,
    pub tasks: Tasks,
    pub clock: Clock,
    _dir: Option<tempfile::TempDir>,
}

/// A cluster without nodes.
pub struct NoNodes;

#[async_trait::async_trait]
impl NodeDialer for NoNodes {
    async fn connect(&self, node: &str) -> std::io::Result<Box<dyn Stream>> {
        Err(std::io::Error::new(std::io::ErrorKind::NotFound, format!("this cluster has no node {node:?}")))
    }
}

/// An answer of [`Cluster::request`].
#[derive(Debug)]
pub struct Answer {
    pub code: StatusCode,
    pub headers: http::HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The `message` of a Status; empty if there is none.
    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_string()
    }
}

impl Cluster {
    /// A new, empty cluster on the system's clock.
    pub async fn start() -> Cluster {
        Cluster::start_with(|_| {}).await
    }

    /// [`Cluster::start`] with a changed configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Cluster {
        let dir = tempfile::tempdir().expect("because a test may write to the temporary directory");
        let clock = Clock::system("2026-01-01T00:00:00Z".parse().expect("because it is a time"));
        let nodes = Arc::new(NoNodes);
        let mut cluster = Cluster::open_with(dir.path(), clock, "192.0.2.1:6443", nodes, change).await;
        cluster._dir = Some(dir);
        cluster
    }

    /// A cluster whose state is in `dir`, so that a test can stop it and start it again.
    pub async fn open(dir: &Path, clock: Clock, advertise: &str, dialer: Arc<dyn NodeDialer>) -> Cluster {
        Cluster::open_with(dir, clock, advertise, dialer, |_| {}).await
    }

    /// [`Cluster::open`] with a changed configuration.
    pub async fn open_with(
        dir: &Path,
        clock: Clock,
        advertise: &str,
        dialer: Arc<dyn NodeDialer>,
        change: impl FnOnce(&mut Config),
    ) -> Cluster {
        let sqlite = Sqlite::open(&dir.join("state.db"), store::sqlite::Options::default());
        let store: Arc<dyn Store> = Arc::new(sqlite.expect("because nobody else has the database"));
        Cluster::on(store, dir, clock, advertise, dialer, change).await
    }

    /// A server on a store that others may have too, with the keys in `dir`.
    pub async fn on(
        store: Arc<dyn Store>,
        dir: &Path,
        clock: Clock,
        advertise: &str,
        dialer: Arc<dyn NodeDialer>,
        change: impl FnOnce(&mut Config),
    ) -> Cluster {
        let tasks = Tasks::new();
        let pki = Arc::new(Pki::open(&dir.join("tls"), &clock).expect("because the directory is new"));
        let address: SocketAddr = advertise.parse().expect("because the test gives an address");
        let mut config = Config::new(address, pki.service_account.clone());
        config.client_ca = Some(pki.client.pem());
        change(&mut config);
        let server = Server::start(config, store.clone(), dialer, clock.clone(), &tasks)
            .await
            .expect("because an API server starts on an empty store");
        Cluster { server, pki, store, tasks, clock, _dir: None }
    }

    /// A client with every right.
    pub fn admin(&self) -> kube::Client {
        self.server.local(Identity::new("admin", &["system:masters"]))
    }

    /// Serves TLS on `address`; gives a kubeconfig of an administrator.
    pub async fn listen(&self, address: &str) -> String {
        let address = self.listen_at(address).await;
        let admin = self.admin_certificate();
        pki::kubeconfig(&format!("https://{address}"), &self.pki.server.pem(), &admin)
    }

    /// Serves TLS on `address`, under that name and `localhost`; gives the address with its port.
    pub async fn listen_at(&self, address: &str) -> SocketAddr {
        let listener = TcpListener::bind(address).await.expect("because the address is free");
        let address = listener.local_addr().expect("because it is bound");
        let serving = self
            .pki
            .server
            .issue(
                &pki::Request {
                    common_name: "kube-apiserver".into(),
                    organization: None,
                    names: vec!["localhost".into(), address.ip().to_string()],
                    purpose: Purpose::Serve,
                },
                &self.clock,
            )
            .expect("because the CA is there");
        let tls = self
            .pki
            .server_config(Serving::new(&serving).expect("because it was just issued"))
            .expect("because the CA is good");
        self.tasks.spawn("serve", self.server.serve(listener, tls));
        address
    }

    /// A client certificate of an administrator.
    pub fn admin_certificate(&self) -> pki::Issued {
        let request = pki::Request {
            common_name: "admin".into(),
            organization: Some("system:masters".into()),
            names: Vec::new(),
            purpose: Purpose::Client,
        };
        self.pki.client.issue(&request, &self.clock).expect("because the CA is there")
    }

    /// Asks for a create.
    pub async fn post(&self, path: &str, body: impl Borrow<Value>) -> Answer {
        self.request(Method::POST, path, body.borrow().to_string()).await
    }

    /// Creates an object; panics with the answer if it is refused.
    pub async fn made(&self, path: &str, body: impl Borrow<Value>) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(answer.code, StatusCode::CREATED, "{path}: {}", answer.json());
        answer.json()
    }

    /// Reads; a refusal is given as its Status.
    pub async fn get(&self, path: &str) -> Value {
        self.request(Method::GET, path, "").await.json()
    }

    /// One request as an administrator. `body` empty: none.
    pub async fn request(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        self.request_with(method, path, body, &[]).await
    }

    /// [`Cluster::request`] with headers.
    pub async fn request_with(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.request_as(Identity::new("admin", &["system:masters"]), method, path, body, headers).await
    }

    pub async fn request_as(
        &self,
        identity: Identity,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("because the test gives a path");
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("because the test gives a header");
            request.headers_mut().insert(name, value.parse().expect("because the test gives a value"));
        }
        let service = self.server.service(identity);
        let response = service.oneshot(request).await.unwrap_or_else(|never| match never {});
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("because the body is whole").to_bytes();
        Answer { code: parts.status, headers: parts.headers, bytes }
    }

    /// Opens a watch as an administrator.
    pub async fn watch(&self, path: &str) -> Watch {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = path.parse().expect("because the test gives a path");
        let service = self.server.service(Identity::new("admin", &["system:masters"]));
        let response = service.oneshot(request).await.unwrap_or_else(|never| match never {});
        Watch { body: response.into_body(), rest: Vec::new() }
    }

    /// Stops the server and closes the store.
    pub async fn stop(&self) {
        self.server.stop().await;
        self.tasks.stop().await;
        self.store.close().await;
    }
}

/// The events of a watch, in order.
pub struct Watch {
    body: apiserver::http::Body,
    rest: Vec<u8>,
}

impl Watch {
    /// The next event, `{"type":…,"object":…}`; `None` at the end. Waits for it.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("because an event is JSON"));
            }
            let frame = self.body.frame().await?.expect("because the stream is whole");
            self.rest.extend_from_slice(frame.data_ref().expect("because a watch has no trailers"));
        }
    }

    /// Type and name of the next event.
    pub async fn next_name(&mut self) -> (String, String) {
        let event = self.next().await.expect("because the watch goes on");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}
