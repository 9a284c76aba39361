//! A pod's link, as the kubelet sees it. `net` makes it; the runtime runs the sandbox in its namespace.

use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;

/// A `hostPort` of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// `None` listens on every address of the node.
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub container_port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodNetwork {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub host_ports: Vec<HostPort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub netns: PathBuf,
    /// The primary family first.
    pub ips: Vec<IpAddr>,
}

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    pub message: String,
}

/// See the module. All verbs are idempotent.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    async fn attach(&self, pod: &PodNetwork) -> Result<Attachment, Error>;
    /// The link of a pod that was attached before, also before a restart of the daemon.
    async fn get(&self, uid: &str) -> Result<Option<Attachment>, Error>;
    async fn detach(&self, uid: &str) -> Result<(), Error>;
    /// Uids of all pods that have a link.
    async fn list(&self) -> Result<Vec<String>, Error>;
}
