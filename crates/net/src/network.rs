//! The node's network as a handle: [`Network::open`] makes what is missing, `attach` and `detach` are a pod's life.
//!
//! All kernel work is done by one thread of its own, one job after the other, because making a network namespace
//! moves the thread into it. Invariant: what `list` tells is what has a lease on disk and a live namespace, before and
//! after a restart; every verb may be repeated.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use tokio::sync::{mpsc, oneshot};

use crate::lease::HostPort;
use crate::{lease, netlink, netns, sysctl};

#[cfg(test)]
mod tests;
mod worker;

/// What a node's network is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bridge that pods hang on: `skiff0`. Must start with `skiff`.
    pub bridge: String,
    /// This node's pods get their addresses from here; the first is the bridge's own, the gateway.
    pub pod_cidr: Ipv4Net,
    /// All pods of the cluster: what pods reach under their own address.
    pub cluster_cidr: Ipv4Net,
    /// Gets a route, so that the node itself reaches Services also without a default route.
    pub service_cidr: Option<Ipv4Net>,
    /// Further addresses of the node, on the bridge, such as the cluster DNS IP that `dns` listens on.
    pub addresses: Vec<Ipv4Addr>,
    /// Largest packet of pods, in bytes.
    pub mtu: u32,
    /// One lease file a pod. Nothing in it need survive a reboot.
    pub state: PathBuf,
    /// One file a pod, that holds its network namespace.
    pub run: PathBuf,
    /// The nftables table of masquerading and host ports: `skiff`. Must start with `skiff`.
    pub table: String,
}

/// A pod's link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// The file that holds the network namespace.
    pub netns: PathBuf,
    /// The primary family first.
    pub ips: Vec<IpAddr>,
    pub gateway: Ipv4Addr,
    pub mac: [u8; 6],
    /// The node's end of the link.
    pub link: String,
    pub host_ports: Vec<HostPort>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name:?} must start with \"skiff\" and have at most 15 bytes, so that uninstall finds it")]
    Name { name: String },
    #[error("{uid:?} cannot name a pod's files")]
    Uid { uid: String },
    #[error("{name} is there already and is no bridge: remove it or give skiff's bridge another name")]
    NoBridge { name: String },
    #[error("no address is left in {range} for pod {pod}")]
    Full { range: Ipv4Net, pod: String },
    #[error("create {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("pod {pod}'s eth0 did not appear in its namespace")]
    LostLink { pod: String },
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error(transparent)]
    Namespace(#[from] netns::Error),
    #[error(transparent)]
    Sysctl(#[from] sysctl::Error),
    #[error("the kernel refused to")]
    Netlink(#[from] netlink::Error),
    #[error("start the network thread")]
    Thread(#[source] std::io::Error),
    #[error("the network thread has ended: see the log for its panic, and restart skiff")]
    Ended,
}

type Job = Box<dyn FnOnce(&mut worker::Worker) + Send>;

/// See the module. Cheap to clone; the thread ends with the last handle, and pods keep their links.
#[derive(Clone, Debug)]
pub struct Network {
    jobs: mpsc::Sender<Job>,
}

impl Network {
    /// Makes bridge, routes and rules, adopts the links of an earlier process, and removes half-made ones. Blocks for
    /// a few milliseconds.
    pub fn open(config: Config) -> Result<Network, Error> {
        let (jobs, mut queue) = mpsc::channel::<Job>(64);
        let (ready, opened) = std::sync::mpsc::sync_channel(1);
        let body = move || match worker::Worker::open(config) {
            Ok(mut worker) => {
                let _nobody_waits = ready.send(Ok(()));
                while let Some(job) = queue.blocking_recv() {
                    job(&mut worker);
                }
            }
            Err(error) => {
                let _nobody_waits = ready.send(Err(error));
            }
        };
        std::thread::Builder::new().name("skiff-net".into()).spawn(body).map_err(Error::Thread)?;
        opened.recv().map_err(|_| Error::Ended)??;
        Ok(Network { jobs })
    }

    /// Gives the pod a network namespace with an address, or returns what it has. `host_ports` replace earlier ones.
    pub async fn attach(
        &self,
        uid: &str,
        namespace: &str,
        name: &str,
        host_ports: &[HostPort],
    ) -> Result<Attachment, Error> {
        let lease = lease::Lease {
            uid: uid.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            address: Ipv4Addr::UNSPECIFIED,
            host_ports: host_ports.to_vec(),
        };
        self.run(move |worker| worker.attach(lease)).await?
    }

    /// Removes the pod's link and namespace and frees its address. A pod that has none is fine.
    pub async fn detach(&self, uid: &str) -> Result<(), Error> {
        let uid = uid.to_owned();
        self.run(move |worker| worker.detach(&uid)).await?
    }

    /// The link of one pod.
    pub async fn get(&self, uid: &str) -> Result<Option<Attachment>, Error> {
        let uid = uid.to_owned();
        self.run(move |worker| worker.get(&uid)).await
    }

    /// The links of all pods, in order of uid.
    pub async fn list(&self) -> Result<Vec<Attachment>, Error> {
        self.run(|worker| worker.list()).await
    }

    /// Removes what carries skiff's name in this network namespace: links, tables, namespaces and leases. Needs no
    /// open network, and none may be open. Kernel settings (`net.ipv4.ip_forward`) stay: others may rely on them.
    pub fn uninstall(state: &Path, run: &Path) -> Result<(), Error> {
        worker::uninstall(state, run)
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut worker::Worker) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |worker| {
            let _nobody_waits = answer.send(job(worker));
        });
        self.jobs.send(job).await.map_err(|_| Error::Ended)?;
        answered.await.map_err(|_| Error::Ended)
    }
}
