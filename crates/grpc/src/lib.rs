//! A gRPC client over the HTTP/2 of hyper that is in the binary already (docs/adr/0006): one connection a [`Channel`], made when
//! it is needed and made anew when it broke, with unary calls and streams both ways.
//!
//! Invariant: an error tells whether the call may have been carried out. Only [`Error::Connect`] says that it was not; everything
//! else but a status of the service's own leaves it open. Messages are bytes here: who calls knows their fields.

mod channel;
mod frame;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

pub use channel::{Channel, Stream};

/// Where a service listens.
#[derive(Clone)]
pub enum Endpoint {
    /// Host or address, and port; with TLS if a configuration is given (its ALPN must offer `h2`).
    Tcp {
        host: String,
        port: u16,
        tls: Option<Arc<rustls::ClientConfig>>,
    },
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Tcp { host, port, .. } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Endpoint::Tcp { host, port, .. } => write!(out, "{host}:{port}"),
            Endpoint::Unix(path) => write!(out, "{}", path.display()),
        }
    }
}

/// What keeps a connection going; it ends with the connection.
pub type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a [`Driver`] as a task: the owner of the channel says how, so that the task has a name.
pub type Spawn = fn(Driver);

/// Codes of a gRPC status that are asked for by name (google.rpc.Code).
pub mod code {
    pub const UNKNOWN: u32 = 2;
    pub const INVALID_ARGUMENT: u32 = 3;
    pub const RESOURCE_EXHAUSTED: u32 = 8;
    pub const OUT_OF_RANGE: u32 = 11;
    pub const UNAVAILABLE: u32 = 14;
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was sent.
    #[error("cannot connect to {endpoint}: {why}")]
    Connect { endpoint: String, why: String },
    /// The connection ended, or the answer is no gRPC; the call may have been carried out.
    #[error("the call of {endpoint} broke off: {why}")]
    Broken { endpoint: String, why: String },
    /// There was no answer in time; the call may have been carried out.
    #[error("{endpoint} did not answer in {seconds} s")]
    Late { endpoint: String, seconds: u64 },
    /// What the service itself says.
    #[error("{message}")]
    Status { code: u32, message: String },
}
