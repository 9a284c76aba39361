//! A webhook over TLS in the test's process: what a function answers, and what it was asked.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests fail like tests; not every test needs all of them

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use testkit_cluster::Cluster;

/// See the module.
pub struct Hook {
    pub address: SocketAddr,
    /// Base64 of the CA's PEM, as `caBundle` has it.
    pub bundle: String,
    /// The same of the certificate that the server shows.
    pub own: String,
    /// Path and body of every request, in order.
    pub asked: Arc<Mutex<Vec<(String, Value)>>>,
}

type Answer = Arc<dyn Fn(&str, &Value) -> Option<Value> + Send + Sync>;

impl Hook {
    /// `None` of `answer`: the request hangs.
    pub async fn start(
        cluster: &Cluster,
        answer: impl Fn(&str, &Value) -> Option<Value> + Send + Sync + 'static,
    ) -> Hook {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let request = pki::Request {
            common_name: "hook".into(),
            organization: None,
            names: vec!["localhost".into(), "127.0.0.1".into(), "hook.default.svc".into()],
            purpose: pki::Purpose::Serve,
        };
        let issued = cluster.pki.server.issue(&request, &cluster.clock).unwrap();
        let tls = pki::server_config(pki::Serving::new(&issued).unwrap(), None, &cluster.clock).unwrap();
        let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let answer: Answer = Arc::new(answer);
        let log = asked.clone();
        cluster.tasks.spawn("hook", async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (tls, answer, log) = (tls.clone(), answer.clone(), log.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await else {
                        return;
                    };
                    let serve = hyper::service::service_fn(move |request: Request<Incoming>| {
                        let (answer, log) = (answer.clone(), log.clone());
                        async move {
                            let path = request.uri().path().to_string();
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                            let answered = answer(&path, &body);
                            log.lock().unwrap().push((path, body));
                            let Some(answered) = answered else { return std::future::pending().await };
                            // A text is itself, and no JSON.
                            let text = match answered {
                                Value::String(text) => text,
                                other => other.to_string(),
                            };
                            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
                        }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), serve).await;
                });
            }
        });
        Hook {
            address,
            bundle: STANDARD.encode(cluster.pki.server.pem()),
            own: STANDARD.encode(&issued.certificate),
            asked,
        }
    }

    /// A `clientConfig` by URL.
    pub fn client(&self, path: &str) -> Value {
        json!({"url": format!("https://{}{path}", self.address), "caBundle": self.bundle})
    }

    /// Paths that were asked, in order.
    pub fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }
}

/// An AdmissionReview that answers `request` with these fields.
pub fn review(request: &Value, mut response: Value) -> Value {
    response["uid"] = request["request"]["uid"].clone();
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
}

/// A response that patches.
pub fn patch(operations: Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}
