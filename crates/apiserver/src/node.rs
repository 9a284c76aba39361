//! The way to a node. `apiserver` knows only how to get a byte stream to the node's own API (upstream's kubelet paths:
//! `/exec`, `/containerLogs`, `/portForward`, `/stats/summary`, …) and speaks HTTP/1.1 over it (D9).

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

/// What [`NodeDialer::connect`] gives.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A pipe in process, mutual TLS to a peer, later a tunnel that the node opened.
#[async_trait]
pub trait NodeDialer: Send + Sync + 'static {
    /// An authenticated stream to the node's API. The error is shown to the client as a 502 or 503.
    async fn connect(&self, node: &str) -> std::io::Result<Box<dyn Stream>>;
}
