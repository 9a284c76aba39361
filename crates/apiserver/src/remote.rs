//! Requests that the server makes to others: webhooks of admission, conversion, authentication, authorization and audit.
//!
//! A connection is kept while it is used. A Service is reached by its ClusterIP from this host, as a server beside its own
//! node's proxy does; [`crate::Config::route`] is where a test or another topology leads elsewhere. Errors read as Go's
//! client says them, because people search for those texts.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use crate::node::Stream;
use crate::server::Inner;

/// Bytes of an answer that are read; more is an error.
const MOST: usize = 16 * 1024 * 1024;
/// Peers whose connections are kept.
const KEPT: usize = 64;

/// Where a request goes and whom it trusts there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Remote {
    /// `https://host:port/path`.
    pub url: String,
    /// Namespace, name and port of the Service that is dialed instead of the URL's host.
    pub service: Option<(String, String, u16)>,
    pub trust: Trust,
    /// PEM of a certificate and key to show.
    pub shows: Option<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// The machine's CAs.
    System,
    /// PEM.
    These(String),
    Anyone,
}

/// A server outside that a kubeconfig names: audit, token and authorization webhooks.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// `https://host:port/path`.
    pub url: String,
    /// PEM; `None`: the machine's CAs.
    pub ca: Option<String>,
    /// PEM of a certificate and key to show.
    pub shows: Option<(String, String)>,
    /// A bearer token to show.
    pub token: Option<String>,
    /// Takes any certificate (`insecure-skip-tls-verify`).
    pub insecure: bool,
}

impl std::fmt::Debug for Peer {
    /// Without what it shows.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Peer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Peer {
    pub(crate) fn remote(&self) -> Remote {
        let trust = match (&self.ca, self.insecure) {
            (_, true) => Trust::Anyone,
            (Some(pem), false) => Trust::These(pem.clone()),
            (None, false) => Trust::System,
        };
        Remote { url: self.url.clone(), service: None, trust, shows: self.shows.clone() }
    }

    /// Of a request with JSON that wants JSON back.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let json = http::HeaderValue::from_static("application/json");
        headers.insert(http::header::CONTENT_TYPE, json.clone());
        headers.insert(http::header::ACCEPT, json);
        let bearer = self.token.as_ref().and_then(|token| format!("Bearer {token}").parse().ok());
        if let Some(bearer) = bearer {
            headers.insert(http::header::AUTHORIZATION, bearer);
        }
        headers
    }
}

/// An answer, whatever its code.
pub(crate) struct Answer {
    pub code: StatusCode,
    pub bytes: Bytes,
}

type Http = Client<Dial, Full<Bytes>>;

/// Clients by what they connect to.
#[derive(Default)]
pub(crate) struct Remotes(Mutex<HashMap<(Remote, Option<SocketAddr>), Http>>);

/// A URL with its path as client-go sends it, which cleans it (Go's `path.Join`): no empty and no dotted segments.
fn cleaned(url: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let Some(path) = url[begin..].find('/').map(|at| begin + at) else { return url.into() };
    let (path_end, rest) = url[path..].find('?').map_or((url.len(), ""), |at| (path + at, &url[path + at..]));
    let mut segments: Vec<&str> = Vec::new();
    for segment in url[path..path_end].split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("{}/{}{rest}", &url[..path], segments.join("/"))
}

impl Remote {
    /// Of a `clientConfig` (url or service, caBundle) as webhooks of admission and conversion have it.
    pub fn of_client_config(config: &Value) -> Result<Remote, String> {
        let bundle = config.str_at(&["caBundle"]);
        let trust = match bundle {
            "" => Trust::System,
            text => {
                let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
                Trust::These(String::from_utf8(bytes).map_err(|error| error.to_string())?)
            }
        };
        if let Some(service) = config.get("service").filter(|service| !service.is_null()) {
            let (namespace, name) = (service.str_at(&["namespace"]), service.str_at(&["name"]));
            let port = service.get("port").and_then(Value::as_int).unwrap_or(443);
            let port = u16::try_from(port).map_err(|_| format!("{port} is no port"))?;
            let path = service.str_at(&["path"]);
            let slash = if path.starts_with('/') { "" } else { "/" };
            return Ok(Remote {
                url: format!("https://{name}.{namespace}.svc:{port}{slash}{path}"),
                service: Some((namespace.into(), name.into(), port)),
                trust,
                shows: None,
            });
        }
        match config.str_at(&["url"]) {
            "" => Err("webhook configuration must have either service or URL".into()),
            url => Ok(Remote { url: cleaned(url), service: None, trust, shows: None }),
        }
    }

    fn tls(&self, inner: &Inner) -> Result<Arc<rustls::ClientConfig>, String> {
        crate::tls::client(&self.trust, self.shows.as_ref(), &inner.clock)
    }
}

impl Inner {
    /// Sends one request and reads the whole answer. An error reads `Post "<url>": <why>`.
    pub(crate) async fn send(
        &self,
        remote: &Remote,
        method: Method,
        query: &str,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, String> {
        let joined = match (query.is_empty(), remote.url.contains('?')) {
            (true, _) => remote.url.clone(),
            (false, true) => format!("{}&{query}", remote.url),
            (false, false) => format!("{}?{query}", remote.url),
        };
        let verb = match method {
            Method::POST => "Post",
            Method::GET => "Get",
            _ => "Do",
        };
        let failed = |why: String| format!("{verb} {joined:?}: {why}");
        let uri: Uri = joined.parse().map_err(|error| failed(format!("{error}")))?;
        let exchange = async {
            let client = self.remotes.client(self, remote)?;
            let mut request = Request::new(Full::new(body));
            *request.method_mut() = method;
            *request.uri_mut() = uri;
            *request.headers_mut() = headers;
            let response = client.request(request).await.map_err(|error| go_text(&error))?;
            let (parts, body) = response.into_parts();
            let bytes =
                Limited::new(body, MOST).collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer { code: parts.status, bytes })
        };
        match tokio::time::timeout(limit, exchange).await {
            Ok(result) => result.map_err(failed),
            Err(_) => Err(failed("context deadline exceeded".into())),
        }
    }

    /// [`Inner::send`] of JSON that wants JSON back; another code than 2xx is an error as client-go words it.
    pub(crate) async fn post_json(
        &self,
        remote: &Remote,
        query: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<Value, String> {
        let mut headers = HeaderMap::new();
        let json = http::HeaderValue::from_static("application/json");
        headers.insert(http::header::CONTENT_TYPE, json.clone());
        headers.insert(http::header::ACCEPT, json);
        headers.insert(http::header::USER_AGENT, http::HeaderValue::from_static("kube-apiserver-admission"));
        let answer = self.send(remote, Method::POST, query, headers, body.to_json().into(), limit).await?;
        if !answer.code.is_success() {
            let text = String::from_utf8_lossy(&answer.bytes);
            return Err(match answer.code.as_u16() {
                404 => "the server could not find the requested resource".into(),
                403 => format!("forbidden: {}", text.trim()),
                401 => "Unauthorized".into(),
                400 => format!("the server rejected our request for an unknown reason ({})", text.trim()),
                _ => format!(
                    "an error on the server ({:?}) has prevented the request from succeeding",
                    text.trim()
                ),
            });
        }
        api::json::parse(&answer.bytes).map_err(|error| format!("couldn't decode the answer: {error}"))
    }

    /// Where a Service is reached from this host.
    pub(crate) fn service_address(
        &self,
        namespace: &str,
        name: &str,
        port: u16,
    ) -> Result<SocketAddr, String> {
        let service = self.peek("", "services", namespace, name);
        let service = service.ok_or_else(|| format!("service {name:?} not found"))?.value();
        let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).unwrap_or_default();
        if !ports.iter().any(|row| row.get("port").and_then(Value::as_int) == Some(port.into())) {
            return Err(format!("no service port {port} found for service {name:?}"));
        }
        let ip = service.str_at(&["spec", "clusterIP"]);
        let ip: std::net::IpAddr = ip
            .parse()
            .map_err(|_| format!("unsupported service type {:?}", service.str_at(&["spec", "type"])))?;
        let address = SocketAddr::new(ip, port);
        Ok(self.config.route.as_ref().map_or(address, |route| route(address)))
    }
}

impl Remotes {
    fn client(&self, inner: &Inner, remote: &Remote) -> Result<Http, String> {
        let address = match &remote.service {
            Some((namespace, name, port)) => Some(inner.service_address(namespace, name, *port)?),
            None => None,
        };
        // One client serves every path of a peer.
        let base =
            Remote { url: remote.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"), ..remote.clone() };
        let key = (base, address);
        if let Some(client) = self.0.lock().get(&key) {
            return Ok(client.clone());
        }
        let tls = if remote.url.starts_with("http://") { None } else { Some(remote.tls(inner)?) };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(8)
            .build(Dial { address, tls });
        let mut all = self.0.lock();
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(key, client.clone());
        Ok(client)
    }
}

/// The deepest cause, as Go's net package words it.
fn go_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Opens connections for a [`Client`].
#[derive(Clone)]
struct Dial {
    address: Option<SocketAddr>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl tower::Service<Uri> for Dial {
    type Response = Io;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Io>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Dial { address, tls } = self.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_string();
            let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
            let dialed = match address {
                Some(address) => TcpStream::connect(address).await,
                None => TcpStream::connect((host.as_str(), port)).await,
            };
            let place = address.map_or_else(|| format!("{host}:{port}"), |address| address.to_string());
            let stream = dialed.map_err(|error| {
                let why = match error.kind() {
                    std::io::ErrorKind::ConnectionRefused => "connect: connection refused".into(),
                    std::io::ErrorKind::TimedOut => "i/o timeout".into(),
                    _ => error.to_string(),
                };
                std::io::Error::other(format!("dial tcp {place}: {why}"))
            })?;
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else { return Ok(Io(TokioIo::new(Box::new(stream)))) };
            let name =
                ServerName::try_from(host).map_err(|error| std::io::Error::other(error.to_string()))?;
            let stream = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await;
            let stream = stream.map_err(|error| {
                std::io::Error::other(format!("tls: failed to verify certificate: x509: {error}"))
            })?;
            Ok(Io(TokioIo::new(Box::new(stream))))
        })
    }
}

/// A connection of a [`Client`].
struct Io(TokioIo<Box<dyn Stream>>);

impl Connection for Io {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_client_go_cleans_them() {
        for (url, expected) in [
            ("https://127.0.0.1:9443//failing", "https://127.0.0.1:9443/failing"),
            ("https://a.b/x/./y/../z?q=/..", "https://a.b/x/z?q=/.."),
            ("https://a.b", "https://a.b"),
        ] {
            assert_eq!(cleaned(url), expected);
        }
    }
}
