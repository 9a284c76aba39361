//! The node's own API, at upstream's paths: logs, exec, attach, port-forward, pods, statistics.
//!
//! An HTTP service for one byte stream; nothing here listens. Whoever brings a stream has authenticated and authorized
//! its other end: in process that is the API server, else mutual TLS.

mod exec;
mod logs;
mod port_forward;
mod spdy;
mod stats;
mod terminal;
mod websocket;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use runtime::{ContainerStatus, SandboxStatus};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::Kubelet;
use crate::pod::spec;
use crate::work::Shared;

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

impl Kubelet {
    /// The node's own API.
    pub fn api(&self) -> Api {
        Api { shared: self.shared().clone() }
    }
}

impl Api {
    /// Speaks HTTP/1.1 with upgrades on one stream until its peer is done.
    pub async fn serve_connection<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let api = self.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.handle(request).await) }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(error = %base::chain(&error), "a connection to the node's API broke");
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let get = request.method() == Method::GET;
        let query = Query::of(request.uri().query().unwrap_or_default());
        let answer = match (parts.as_slice(), get) {
            (["healthz"], true) => Ok(text(StatusCode::OK, "ok")),
            (["pods"], true) => Ok(self.pods()),
            (["configz"], true) => Ok(self.configz()),
            (["containerLogs", namespace, pod, container], true) => {
                match logs::serve(&self.shared, namespace, pod, container, &query).await {
                    Ok(log) if websocket::is_wanted(request.headers()) => websocket::read_only(request, log),
                    answer => answer,
                }
            }
            (["exec", namespace, pod, container], _) | (["exec", namespace, pod, _, container], _) => {
                exec::serve(&self.shared, exec::Verb::Exec, namespace, pod, container, &query, request).await
            }
            (["attach", namespace, pod, container], _) | (["attach", namespace, pod, _, container], _) => {
                exec::serve(&self.shared, exec::Verb::Attach, namespace, pod, container, &query, request)
                    .await
            }
            (["portForward", namespace, pod], _) | (["portForward", namespace, pod, _], _) => {
                port_forward::serve(&self.shared, namespace, pod, &query, request).await
            }
            (["stats", "summary"], _) => stats::summary(&self.shared).await,
            (["metrics", "resource"], true) => stats::resource(&self.shared).await,
            (["metrics", "cadvisor"], true) => stats::cadvisor(&self.shared).await,
            (["metrics"], true) => Ok(stats::own(&self.shared).await),
            _ => Err(Error::new(StatusCode::NOT_FOUND, "404 page not found")),
        };
        answer.unwrap_or_else(|error| text(error.status, &error.message))
    }

    fn pods(&self) -> Response<Body> {
        let items: Vec<Arc<Pod>> = self.shared.seams.sources.pods();
        json_body(
            &json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items.iter().map(|pod| &**pod).collect::<Vec<_>>()}),
        )
    }

    fn configz(&self) -> Response<Body> {
        let settings = &self.shared.config.settings;
        json_body(&json!({"kubeletconfig": {
            "maxPods": settings.max_pods,
            "clusterDomain": self.shared.config.cluster_domain,
            "clusterDNS": self.shared.config.cluster_dns,
            "containerLogMaxSize": settings.log_max_size.to_string(),
            "containerLogMaxFiles": settings.log_max_files,
            "imageGCHighThresholdPercent": settings.image_gc_high,
            "imageGCLowThresholdPercent": settings.image_gc_low,
            "podPidsLimit": settings.pod_pids_limit,
            "nodeStatusReportFrequency": format!("{}s", settings.status_period.as_secs()),
            "nodeLeaseDurationSeconds": settings.lease_duration.as_secs(),
        }}))
    }
}

/// Refused before anything began; the text goes to the client as it is.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    message: String,
}

impl Error {
    fn new(status: StatusCode, message: impl Into<String>) -> Error {
        Error { status, message: message.into() }
    }
    fn bad(message: impl Into<String>) -> Error {
        Error::new(StatusCode::BAD_REQUEST, message)
    }
    fn not_found(message: impl Into<String>) -> Error {
        Error::new(StatusCode::NOT_FOUND, message)
    }
    fn runtime(error: &runtime::Error) -> Error {
        let status = match error {
            runtime::Error::NotFound { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Error::new(status, base::chain(error).to_string())
    }
}

pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full(text.to_owned()));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

fn json_body(value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn streamed(stream: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Body {
    use futures_util::TryStreamExt;
    StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync()
}

/// A query string, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn of(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decode(key), decode(value)))
                .collect(),
        )
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value.clone()).collect()
    }

    /// True for `1` and `true`, under any of the names.
    fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| matches!(self.get(name), Some("1" | "true" | "True")))
    }

    fn number(&self, key: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.get(key).filter(|value| !value.is_empty()) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| Error::bad(format!("{key}={value:?} is no number")))
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A pod of this node and its sandbox.
async fn find(
    shared: &Shared,
    namespace: &str,
    name: &str,
) -> Result<(Arc<Pod>, Option<SandboxStatus>), Error> {
    let pod = shared.seams.sources.pod(namespace, name);
    let pod =
        pod.ok_or_else(|| Error::not_found(format!("pod {name:?} not found in namespace {namespace:?}")))?;
    match shared.seams.runtime.sandbox(spec::uid(&pod)).await {
        Ok(sandbox) => Ok((pod, Some(sandbox))),
        Err(runtime::Error::NotFound { .. }) => Ok((pod, None)),
        Err(error) => Err(Error::runtime(&error)),
    }
}

/// The instances of a container, the newest first.
fn instances<'a>(sandbox: Option<&'a SandboxStatus>, container: &str) -> Vec<&'a ContainerStatus> {
    crate::pod::instances(sandbox, container)
}

#[cfg(test)]
mod tests;
