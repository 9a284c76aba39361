//! A request on its way to the server behind an APIService, streams and upgrades too.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use tokio::net::TcpStream;

use super::Entry;
use crate::Identity;
use crate::http::Body;
use crate::node::Stream;
use crate::server::Inner;
use crate::status::{Result, Status};
use crate::subresource::connect;

/// Sends the request on as `identity`.
pub(crate) async fn forward<B>(
    inner: &Arc<Inner>,
    entry: &Entry,
    identity: &Identity,
    parts: Parts,
    body: B,
    upgrade: Option<crate::http::Upgrade>,
) -> Result<Response<Body>>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display + Send,
{
    if !entry.available {
        return Err(Status::unavailable("service unavailable"));
    }
    let stream = dial(inner, entry)
        .await
        .map_err(|why| Status::unavailable(format!("error trying to reach service: {why}")))?;
    let upgrading = parts.headers.contains_key(http::header::UPGRADE);
    let mut headers = connect::forwarded(&parts.headers, upgrading);
    speak_for(identity, &mut headers);
    let host =
        HeaderValue::from_str(&entry.host()).map_err(|_| Status::internal("the Service has no good name"))?;
    headers.insert(HOST, host);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(connect::outgoing(body));
    *request.method_mut() = parts.method;
    *request.uri_mut() = path.parse().map_err(|_| Status::bad_request("the path cannot be forwarded"))?;
    *request.headers_mut() = headers;
    connect::relay(inner, stream, request, "service", upgrade).await
}

/// Bytes of an answer to this server itself.
const ANSWER: usize = 64 << 20;

/// A GET of this server's own, as one of its users.
pub(super) async fn get(
    inner: &Arc<Inner>,
    entry: &Entry,
    path: &str,
    user: &str,
    headers: &[(HeaderName, &str)],
) -> std::result::Result<(http::response::Parts, Bytes), String> {
    let stream = dial(inner, entry).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(|error| error.to_string())?;
    inner.tasks.spawn("aggregation-get", async move {
        let _ = connection.await;
    });
    let mut request = Request::builder()
        .uri(path)
        .header(HOST, entry.host())
        .header("x-remote-user", user)
        .header("x-remote-group", "system:masters");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER).collect().await.map_err(|error| error.to_string())?;
    Ok((parts, body.to_bytes()))
}

/// A connection to the Service, with this server's front-proxy certificate shown.
pub(super) async fn dial(inner: &Inner, entry: &Entry) -> std::result::Result<Box<dyn Stream>, String> {
    let (namespace, name, port) = &entry.service;
    let address = inner.service_address(namespace, name, *port)?;
    let shows = inner.config.front_proxy.as_ref().map(|own| (own.certificate.clone(), own.key.clone()));
    let tls = crate::tls::client(&entry.trust, shows.as_ref(), &inner.clock)?;
    let limit = std::time::Duration::from_secs(10);
    let connect = async {
        let stream =
            TcpStream::connect(address).await.map_err(|error| format!("dial tcp {address}: {error}"))?;
        let host =
            rustls::pki_types::ServerName::try_from(entry.host()).map_err(|error| error.to_string())?;
        tokio_rustls::TlsConnector::from(tls).connect(host, stream).await.map_err(|error| error.to_string())
    };
    match tokio::time::timeout(limit, connect).await {
        Ok(stream) => stream.map(|stream| Box::new(stream) as Box<dyn Stream>),
        Err(_) => Err(format!("dial tcp {address}: i/o timeout")),
    }
}

/// The headers that tell who asks; whatever the client sent of them is gone.
fn speak_for(identity: &Identity, headers: &mut HeaderMap) {
    let given: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-remote-")).cloned().collect();
    for name in given {
        headers.remove(name);
    }
    let mut add = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &identity.name);
    if !identity.uid.is_empty() {
        add("x-remote-uid", &identity.uid);
    }
    for group in &identity.groups {
        add("x-remote-group", group);
    }
    for (key, values) in &identity.extra {
        let name = format!("x-remote-extra-{}", escaped(key));
        values.iter().for_each(|value| add(&name, value));
    }
}

/// A key of `extra` as part of a header's name: what a token may not hold is percent-encoded.
fn escaped(key: &str) -> String {
    let mut out = String::new();
    for byte in key.to_ascii_lowercase().bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            byte if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) => {
                out.push(byte as char)
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_speaks_for_others() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", HeaderValue::from_static("root"));
        headers.insert("x-remote-group", HeaderValue::from_static("system:masters"));
        let mut identity = Identity::new("jane", &["dev"]);
        identity.extra.push(("example.com/a b".into(), vec!["1".into(), "2".into()]));
        speak_for(&identity, &mut headers);
        assert_eq!(headers["x-remote-user"], "jane");
        let groups: Vec<_> = headers.get_all("x-remote-group").iter().collect();
        assert_eq!(groups, ["dev", "system:authenticated"]);
        assert_eq!(headers.get_all("x-remote-extra-example.com%2fa%20b").iter().count(), 2);
    }
}
