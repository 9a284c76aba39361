//! `log`, `exec`, `attach`, `portforward` and `proxy`: the request goes on to a node or a pod, and bytes go both ways.
//!
//! The server does not look into what flows, but for the links of pages (`links`): an upgrade (WebSocket) is made between the client and
//! the kubelet. Reached are only nodes that the cluster has and addresses that its pods have.

use api::{Object, Resource, Value};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::links;
use crate::admit::{self, Form, Operation};
use crate::engine::Call;
use crate::http::{Aborted, Body};
use crate::node::Stream;
use crate::status::{Result, Status};

/// Where a request goes.
enum Way {
    /// To the API of a node.
    Node(String),
    /// To an address of a pod.
    Address(std::net::SocketAddr, Scheme),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    /// With whatever certificate the pod shows, as upstream's: a pod's address stands in no certificate.
    Https,
}

/// Headers that are about one connection only (RFC 9110, 7.6.1), without those of an upgrade.
const HOP: [&str; 5] = ["keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"];

/// Joins the client to a node or pod.
pub(crate) async fn run<B>(
    call: Call,
    uri: Uri,
    body: B,
    upgrade: Option<crate::http::Upgrade>,
) -> Result<Response<Body>>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display + Send,
{
    let row = call.target.version().subresource(&call.info.subresource).ok_or_else(Status::no_such_path)?;
    // What is proxied may be asked with any method, OPTIONS too, which is no verb.
    let proxied = call.info.subresource == "proxy";
    if !proxied && !row.verbs.iter().any(|verb| verb == call.info.verb) {
        return Err(call.no_verb());
    }
    let query = uri.query().unwrap_or_default();
    let reads = matches!(call.method, http::Method::GET | http::Method::HEAD);
    if proxied && reads && call.info.rest.is_empty() && !call.info.path.ends_with('/') {
        return moved(&with_query(&format!("{}/", call.info.path), query));
    }
    let (way, path) = match (call.target.kind.resource.plural.as_str(), call.info.subresource.as_str()) {
        ("pods", "log") => {
            let pod = call.current().await?.value();
            judge_log(&call)?;
            let container = container(&call, &pod)?;
            if pod.str_at(&["spec", "nodeName"]).is_empty() {
                let mut nothing = Response::new(Body::Empty);
                *nothing.status_mut() = StatusCode::NO_CONTENT;
                return Ok(nothing);
            }
            to_kubelet(&call, &pod, "containerLogs", Some(&container), &without(query, "container"))?
        }
        ("pods", "portforward") => {
            let pod = call.current().await?.value();
            to_kubelet(&call, &pod, "portForward", None, query)?
        }
        ("pods", verb @ ("exec" | "attach")) => {
            let pod = call.current().await?.value();
            let container = container(&call, &pod)?;
            to_kubelet(&call, &pod, verb, Some(&container), &streams(&without(query, "container")))?
        }
        ("nodes", "proxy") => {
            let node = call.info.name.split(':').next().unwrap_or_default();
            let resource = Resource::new("", "nodes");
            call.inner.peek("", "nodes", "", node).ok_or_else(|| Status::not_found(&resource, node))?;
            (Way::Node(node.into()), with_query(&format!("/{}", call.info.rest), query))
        }
        ("pods", "proxy") => {
            let (address, scheme) = pod_address(&call)?;
            (Way::Address(address, scheme), with_query(&format!("/{}", call.info.rest), query))
        }
        ("services", "proxy") => {
            let (address, scheme) = service_address(&call)?;
            (Way::Address(address, scheme), with_query(&format!("/{}", call.info.rest), query))
        }
        _ => return Err(Status::no_such_path()),
    };
    if call.info.subresource != "log" {
        admitted(&call, query).await?;
    }
    forward(call, way, &path, body, upgrade).await
}

/// The options of a log (upstream's ValidatePodLogOptions), which the kubelet would refuse less kindly.
fn judge_log(call: &Call) -> Result<()> {
    let number = |name: &str| crate::engine::options::integer(&call.query, name);
    let (tail, bytes, seconds) = (number("tailLines")?, number("limitBytes")?, number("sinceSeconds")?);
    let mut errors = Vec::new();
    let mut invalid = |name: &str, value: Option<i64>, least: i64, why: &str| {
        if let Some(value) = value.filter(|value| *value < least) {
            errors.push(api::field::Error::invalid(api::field::Path::new(name), value, why));
        }
    };
    invalid("tailLines", tail, 0, "must be greater than or equal to 0");
    invalid("limitBytes", bytes, 1, "must be greater than 0");
    match (seconds, call.query.get("sinceTime").is_empty()) {
        (Some(_), false) => {
            let text = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(api::field::Error::forbidden(api::field::Path::default(), text));
        }
        _ => invalid("sinceSeconds", seconds, 1, "must be greater than 0"),
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid_kind("", "PodLogOptions", &call.info.name, &errors)),
    }
}

/// Admission judges a connection by its options.
async fn admitted(call: &Call, query: &str) -> Result<()> {
    let kind = match (call.target.kind.resource.plural.as_str(), call.info.subresource.as_str()) {
        ("pods", "exec") => "PodExecOptions",
        ("pods", "attach") => "PodAttachOptions",
        ("pods", "portforward") => "PodPortForwardOptions",
        ("pods", _) => "PodProxyOptions",
        ("nodes", _) => "NodeProxyOptions",
        _ => "ServiceProxyOptions",
    };
    let mut options = Value::object();
    options.set(&["kind"], kind);
    options.set(&["apiVersion"], "v1");
    if call.info.subresource == "proxy" {
        options.set(&["path"], format!("/{}", call.info.rest));
    } else {
        let asked = crate::http::Query::parse(Some(query));
        for field in ["stdin", "stdout", "stderr", "tty"] {
            if asked.flag(field) {
                options.set(&[field], true);
            }
        }
        let container = call.query.get("container");
        if !container.is_empty() {
            options.set(&["container"], container);
        }
        let command: Vec<Value> = asked.all("command").map(Value::from).collect();
        if !command.is_empty() {
            options.set(&["command"], command);
        }
        let ports: Vec<Value> =
            asked.all("ports").filter_map(|port| port.parse::<i64>().ok()).map(Value::from).collect();
        if !ports.is_empty() {
            options.set(&["ports"], ports);
        }
    }
    let sub = call.info.subresource.as_str();
    let request = admit::Request::new(call, Operation::Connect, sub, admit::Options::None);
    admit::pass(&request.of(Form::Other("", "v1", kind)), &mut options).await
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.into() } else { format!("{path}?{query}") }
}

/// A query without one of its parameters.
fn without(query: &str, name: &str) -> String {
    let kept = query.split('&').filter(|pair| pair.split('=').next() != Some(name));
    kept.collect::<Vec<_>>().join("&")
}

/// The kubelet's names for the streams.
fn streams(query: &str) -> String {
    let renamed = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
        // As Go reads a bool: Python writes `True`.
        let flag = if value == "0" || value.eq_ignore_ascii_case("false") { "0" } else { "1" };
        match name {
            "stdin" => format!("input={flag}"),
            "stdout" => format!("output={flag}"),
            "stderr" => format!("error={flag}"),
            "tty" => format!("tty={flag}"),
            _ => pair.to_string(),
        }
    });
    renamed.collect::<Vec<_>>().join("&")
}

fn to_kubelet(
    call: &Call,
    pod: &Value,
    verb: &str,
    container: Option<&str>,
    query: &str,
) -> Result<(Way, String)> {
    let node = pod.str_at(&["spec", "nodeName"]);
    let name = &call.info.name;
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let mut path = format!("/{verb}/{}/{name}", call.info.namespace);
    if let Some(container) = container {
        path.push('/');
        path.push_str(container);
    }
    Ok((Way::Node(node.into()), with_query(&path, query)))
}

/// The container that the request names, or the only one.
fn container(call: &Call, pod: &Value) -> Result<String> {
    let names = |field: &str| -> Vec<String> {
        let list = pod.at(&["spec", field]).and_then(Value::as_array).unwrap_or_default();
        list.iter().map(|container| container.str_at(&["name"]).to_string()).collect()
    };
    let (plain, init, ephemeral) =
        (names("containers"), names("initContainers"), names("ephemeralContainers"));
    let asked = call.query.get("container");
    let name = &call.info.name;
    if !asked.is_empty() {
        let known = plain.iter().chain(&init).chain(&ephemeral).any(|name| name == asked);
        return match known {
            true => Ok(asked.into()),
            false => Err(Status::bad_request(format!("container {asked} is not valid for pod {name}"))),
        };
    }
    match plain.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        many => {
            let mut text = format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                many.join(" ")
            );
            if !init.is_empty() {
                text.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(Status::bad_request(text))
        }
    }
}

/// Relative links of what is proxied need the slash.
fn moved(to: &str) -> Result<Response<Body>> {
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let to = HeaderValue::from_str(to).map_err(|_| Status::bad_request("the path is no good location"))?;
    answer.headers_mut().insert(http::header::LOCATION, to);
    Ok(answer)
}

/// `[scheme:]name[:port]`.
fn split_name(text: &str) -> Result<(Scheme, &str, &str)> {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name] => Ok((Scheme::Http, name, "")),
        [name, port] => Ok((Scheme::Http, name, port)),
        ["http" | "", name, port] => Ok((Scheme::Http, name, port)),
        ["https", name, port] => Ok((Scheme::Https, name, port)),
        _ => Err(Status::bad_request(format!("invalid proxy target {text:?}"))),
    }
}

fn pod_address(call: &Call) -> Result<(std::net::SocketAddr, Scheme)> {
    let (scheme, name, port) = split_name(&call.info.name)?;
    let resource = Resource::new("", "pods");
    let pod = call
        .inner
        .peek("", "pods", &call.info.namespace, name)
        .ok_or_else(|| Status::not_found(&resource, name))?
        .value();
    let ports = |pod: &Value| -> Vec<Value> {
        let list = pod.at(&["spec", "containers"]).and_then(Value::as_array).unwrap_or_default();
        list.iter()
            .flat_map(|container| container.get("ports").and_then(Value::as_array).unwrap_or_default())
            .cloned()
            .collect()
    };
    let number = match port {
        "" => ports(&pod)
            .first()
            .and_then(|port| port.get("containerPort"))
            .and_then(Value::as_int)
            .unwrap_or(80),
        text => match text.parse() {
            Ok(number) => number,
            Err(_) => ports(&pod)
                .iter()
                .find(|port| port.str_at(&["name"]) == text)
                .and_then(|port| port.get("containerPort"))
                .and_then(Value::as_int)
                .ok_or_else(|| Status::bad_request(format!("address not allowed: no port {text:?}")))?,
        },
    };
    let ip = pod.str_at(&["status", "podIP"]);
    Ok((address(ip, number)?, scheme))
}

fn address(ip: &str, port: i64) -> Result<std::net::SocketAddr> {
    let ip: std::net::IpAddr = ip.parse().map_err(|_| Status::bad_request("address not allowed"))?;
    let port = u16::try_from(port).map_err(|_| Status::bad_request("invalid port"))?;
    // Upstream's ProxyDialer refuses what is no pod's: the host itself and its link.
    let link = matches!(ip, std::net::IpAddr::V4(four) if four.is_link_local());
    if ip.is_loopback() || ip.is_multicast() || link {
        return Err(Status::bad_request("address not allowed"));
    }
    Ok((ip, port).into())
}

/// One ready endpoint of a Service's port, by name or number of the port.
fn service_address(call: &Call) -> Result<(std::net::SocketAddr, Scheme)> {
    let (scheme, name, port) = split_name(&call.info.name)?;
    let resource = Resource::new("", "services");
    let namespace = call.info.namespace.as_str();
    let service = call
        .inner
        .peek("", "services", namespace, name)
        .ok_or_else(|| Status::not_found(&resource, name))?
        .value();
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).unwrap_or_default();
    let none = || Status::unavailable(format!("no endpoints available for service {name:?}"));
    let wanted = match port {
        "" => ports.first().filter(|_| ports.len() == 1),
        text => ports.iter().find(|row| {
            row.str_at(&["name"]) == text
                || row.get("port").and_then(Value::as_int).is_some_and(|number| number.to_string() == text)
        }),
    };
    let wanted = wanted
        .ok_or_else(|| Status::unavailable(format!("no service port {port:?} found for service {name:?}")))?;
    let port_name = wanted.str_at(&["name"]);
    let slices = call.inner.caches.named("discovery.k8s.io", "endpointslices").ok_or_else(none)?;
    let snapshot = slices.snapshot();
    let of_service =
        |slice: &&std::sync::Arc<Object>| slice.label("kubernetes.io/service-name") == Some(name);
    for slice in snapshot.range(namespace, None).filter(of_service) {
        let slice = slice.value();
        let list = |field: &str| slice.get(field).and_then(Value::as_array).unwrap_or_default().to_vec();
        let port = list("ports")
            .iter()
            .find(|row| row.str_at(&["name"]) == port_name)
            .and_then(|row| row.get("port"))
            .and_then(Value::as_int);
        let ready = |endpoint: &&Value| {
            endpoint.at(&["conditions", "ready"]).and_then(Value::as_bool).unwrap_or(true)
        };
        let endpoints = list("endpoints");
        let ip = endpoints
            .iter()
            .find(ready)
            .and_then(|endpoint| endpoint.get("addresses")?.as_array()?.first()?.as_str());
        if let (Some(port), Some(ip)) = (port, ip) {
            return Ok((address(ip, port)?, scheme));
        }
    }
    Err(none())
}

async fn forward<B>(
    call: Call,
    way: Way,
    path: &str,
    body: B,
    upgrade: Option<crate::http::Upgrade>,
) -> Result<Response<Body>>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::fmt::Display + Send,
{
    let unreachable = |what: &str, error: &dyn std::fmt::Display| {
        Status::unavailable(format!("error trying to reach {what}: {error}"))
    };
    let (stream, host): (Box<dyn Stream>, String) = match &way {
        Way::Node(node) => {
            let stream = call.inner.dialer.connect(node).await;
            (stream.map_err(|error| unreachable("node", &error))?, node.clone())
        }
        Way::Address(address, scheme) => {
            let limit = std::time::Duration::from_secs(30);
            let joined = async {
                let stream = TcpStream::connect(address).await?;
                Ok::<Box<dyn Stream>, std::io::Error>(match scheme {
                    Scheme::Http => Box::new(stream),
                    Scheme::Https => {
                        let tls = base::tls::trusting_anyone().with_no_client_auth();
                        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
                        Box::new(connector.connect(address.ip().into(), stream).await?)
                    }
                })
            };
            let stream = tokio::time::timeout(limit, joined)
                .await
                .map_err(|error| unreachable("service", &error))?
                .map_err(|error| unreachable("service", &error))?;
            (stream, address.to_string())
        }
    };
    let upgrading = call.headers.contains_key(UPGRADE);
    if upgrading && upgrade.is_none() {
        return Err(Status::bad_request("this connection cannot be upgraded: use HTTP/1.1"));
    }
    let mut request = Request::new(outgoing(body));
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = path.parse().map_err(|_| Status::bad_request("the path cannot be forwarded"))?;
    *request.headers_mut() = forwarded(&call.headers, upgrading);
    let value = HeaderValue::from_str(&host).map_err(|_| Status::bad_request("the host has no good name"))?;
    request.headers_mut().insert(HOST, value);

    let what = if matches!(way, Way::Node(_)) { "node" } else { "service" };
    let answer = relay(&call.inner, stream, request, what, upgrade).await?;
    match call.info.subresource.as_str() {
        "proxy" => links::Place { before: before(&call), hosts: hosts(&call, host) }.show(answer).await,
        _ => Ok(answer),
    }
}

/// The part of the path that the pod does not see.
fn before(call: &Call) -> String {
    let path = call.info.path.as_str();
    path.strip_suffix(call.info.rest.as_str()).unwrap_or(path).trim_end_matches('/').to_owned()
}

fn hosts(call: &Call, own: String) -> Vec<String> {
    let asked = call.headers.get(HOST).and_then(|value| value.to_str().ok()).map(str::to_owned);
    asked.into_iter().chain([own]).collect()
}

/// Sends a request over a stream and joins the client to the answer, with an upgrade if both agree to one.
pub(crate) async fn relay(
    inner: &std::sync::Arc<crate::server::Inner>,
    stream: Box<dyn Stream>,
    request: Request<Outgoing>,
    what: &str,
    upgrade: Option<crate::http::Upgrade>,
) -> Result<Response<Body>> {
    let unreachable =
        |error: &dyn std::fmt::Display| Status::unavailable(format!("error trying to reach {what}: {error}"));
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Outgoing>(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(&error))?;
    inner.tasks.spawn("node-connection", async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a node or pod ended");
        }
    });
    let mut response = sender.send_request(request).await.map_err(|error| unreachable(&error))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(upgrade) = upgrade
    {
        let node = hyper::upgrade::on(&mut response);
        inner.tasks.spawn("upgraded-stream", async move {
            // Held whole: what the audit log notes of the request lasts as long as the streams.
            let mut upgrade = upgrade;
            let (Ok(client), Ok(node)) = tokio::join!(&mut upgrade.client, node) else { return };
            let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
            // An end of one side is the other's end too; who fails tells his own peer.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
        });
        let (parts, _) = response.into_parts();
        return Ok(Response::from_parts(parts, Body::Empty));
    }
    let (mut parts, incoming) = response.into_parts();
    for name in HOP {
        parts.headers.remove(name);
    }
    parts.headers.remove(CONNECTION);
    Ok(Response::from_parts(parts, incoming_body(incoming, sender)))
}

pub(crate) type Outgoing = UnsyncBoxBody<Bytes, String>;

pub(crate) fn outgoing<B>(body: B) -> Outgoing
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display + Send,
{
    body.map_err(|error| error.to_string()).boxed_unsync()
}

/// What of the client's headers goes on: not its credentials, not what was about its own connection.
pub(crate) fn forwarded(headers: &HeaderMap, upgrading: bool) -> HeaderMap {
    let mut kept = headers.clone();
    kept.remove(AUTHORIZATION);
    kept.remove(HOST);
    for name in HOP {
        kept.remove(name);
    }
    let impersonation: Vec<HeaderName> =
        kept.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in impersonation {
        kept.remove(name);
    }
    if !upgrading {
        kept.remove(CONNECTION);
    }
    kept
}

/// The node's body, and its connection held for as long as the body flows.
fn incoming_body(incoming: Incoming, sender: hyper::client::conn::http1::SendRequest<Outgoing>) -> Body {
    let chunks = BodyStream::new(incoming).filter_map(move |frame| {
        let _held = &sender;
        let chunk = match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(_) => Some(Err(Aborted)),
        };
        std::future::ready(chunk)
    });
    Body::stream(chunks)
}
