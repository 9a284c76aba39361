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

impl From<net::Error> for Error {
    fn from(error: net::Error) -> Error {
        Error { message: base::chain(&error).to_string() }
    }
}

/// The node's own network.
#[async_trait]
impl Network for net::Network {
    async fn attach(&self, pod: &PodNetwork) -> Result<Attachment, Error> {
        let mut ports = Vec::new();
        for port in &pod.host_ports {
            let unknown = |_| Error {
                message: format!("hostPort {} has unknown protocol {}", port.host_port, port.protocol),
            };
            ports.push(net::HostPort {
                host_ip: port.host_ip,
                host_port: port.host_port,
                container_port: port.container_port,
                protocol: port.protocol.parse().map_err(unknown)?,
            });
        }
        let made = net::Network::attach(self, &pod.uid, &pod.namespace, &pod.name, &ports).await?;
        Ok(Attachment { netns: made.netns, ips: made.ips })
    }
    async fn get(&self, uid: &str) -> Result<Option<Attachment>, Error> {
        let found = net::Network::get(self, uid).await?;
        Ok(found.map(|found| Attachment { netns: found.netns, ips: found.ips }))
    }
    async fn detach(&self, uid: &str) -> Result<(), Error> {
        Ok(net::Network::detach(self, uid).await?)
    }
    async fn list(&self) -> Result<Vec<String>, Error> {
        Ok(net::Network::list(self).await?.into_iter().map(|link| link.uid).collect())
    }
}
