//! Connections: TLS, the client certificate's identity, and HTTP/1.1 or HTTP/2 as ALPN says.
//!
//! Every connection is a task of the server's; it is bounded by [`crate::config::Limits`] and ends with the server. Who
//! connects and then asks nothing has less time the fewer places are left, so that idle connections lock nobody out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::answer::Peer;
use super::patient::Patient;
use crate::Identity;
use crate::config::Limits;
use crate::server::Inner;

/// What a connection has until its first request when less than a quarter of the places is left.
const SCARCE: Duration = Duration::from_secs(2);

/// Accepts until the server stops.
pub(crate) async fn serve(inner: Arc<Inner>, listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
    let acceptor = TlsAcceptor::from(tls);
    let room = Arc::new(Semaphore::new(inner.config.limits.connections));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the peer gave up: go on after a breath.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let patience = patience(&inner.config.limits, room.available_permits());
        let (inner, acceptor) = (inner.clone(), acceptor.clone());
        let tasks = inner.tasks.clone();
        tasks.spawn("connection", async move {
            let _permit = permit;
            if let Err(error) = connection(inner, socket, peer.ip(), acceptor, patience).await {
                tracing::debug!(%peer, error, "a connection ended");
            }
        });
    }
}

/// How long a new connection may take to its first request.
fn patience(limits: &Limits, left: usize) -> Duration {
    match left > limits.connections / 4 {
        true => limits.header_timeout,
        false => limits.header_timeout.min(SCARCE),
    }
}

async fn connection(
    inner: Arc<Inner>,
    socket: TcpStream,
    peer: IpAddr,
    acceptor: TlsAcceptor,
    patience: Duration,
) -> Result<(), String> {
    socket.set_nodelay(true).map_err(|error| error.to_string())?;
    let socket = Patient::new(socket, inner.config.limits.write_timeout);
    let stream = tokio::time::timeout(patience, acceptor.accept(socket))
        .await
        .map_err(|_| "the TLS handshake took too long".to_string())?
        .map_err(|error| error.to_string())?;
    let identity = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let identity = identity.and_then(|certificate| of_certificate(certificate)).map(Arc::new);
    let service = service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        // Only the audit log asks.
        if inner.audit.is_some() {
            request.extensions_mut().insert(Peer(peer));
        }
        let (inner, identity) = (inner.clone(), identity.clone());
        // Boxed: hyper keeps room for a request's future for as long as the connection lives, and most connections are idle.
        Box::pin(async move { Ok::<_, std::convert::Infallible>(inner.answer(identity, request).await) })
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(1 << 20)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .keep_alive_interval(Duration::from_secs(30));
    builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await
        .map_err(|error| error.to_string())
}

/// Upstream's `CommonNameUserConversion`: the common name is the user, the organizations are the groups.
fn of_certificate(certificate: &[u8]) -> Option<Identity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    if name.is_empty() {
        return None;
    }
    let groups: Vec<&str> =
        certificate.subject().iter_organization().filter_map(|group| group.as_str().ok()).collect();
    Some(Identity::new(name, &groups))
}
