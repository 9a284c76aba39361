//! The client of a process that stays: it holds a connection for each watch, for months, and little for each of them.
//!
//! kube's own client keeps each connection that it ever opened at once, with buffers as large as the largest answer that came
//! over it, and does not notice a peer that went without a word. Everything else (addresses, credentials, TLS, retries) is
//! kube's.

use std::time::Duration;

use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::{Client, Config};
use tower::ServiceBuilder;
use tower::retry::RetryLayer;

/// How long a connection that nobody uses is kept; longer than from one renewal of the lease to the next.
const IDLE: Duration = Duration::from_secs(30);
/// What is read at once. Heads of answers must fit, of which warnings have 4 KiB at the most (Kubernetes' `warning.AddWarning`).
const READ: usize = 8 << 10;
/// A connection that says nothing is asked whether it lives: after this, and again after a sixth of it, three times. Bookmarks
/// of watches come about once a minute, so that a healthy one is seldom asked.
const SILENT: Duration = Duration::from_secs(90);

/// A client of the cluster that `config` names.
pub fn client(config: Config) -> kube::Result<Client> {
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(config.connect_timeout);
    tcp.set_keepalive(Some(SILENT));
    tcp.set_keepalive_interval(Some(SILENT / 6));
    tcp.set_keepalive_retries(Some(3));
    let connector = config.rustls_https_connector_with_connector(tcp)?;
    let connections: legacy::Client<_, Body> = legacy::Builder::new(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http1_read_buf_exact_size(READ)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.default_retry.then(|| RetryLayer::new(RetryPolicy::server_retry())))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(tower::BoxError::from)
        .service(connections);
    Ok(ClientBuilder::new(service, config.default_namespace).build())
}
