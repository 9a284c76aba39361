//! Cluster DNS: names of Services, their endpoints and pods, as Kubernetes' DNS specification (1.1.0) has them, and
//! everything else forwarded to the resolvers of the node.
//!
//! [`zone`] decides, purely, from the caches of Services and EndpointSlices: nothing is copied but an index of addresses.
//! [`message`] turns packets into questions and answers into packets; [`forward`] asks elsewhere; [`server`] listens, on
//! an address of the node that `net` put there (the cluster DNS IP itself), so that no rule and no other node is between
//! a pod and its names.
//!
//! Where the specification is silent, CoreDNS' `kubernetes` plugin is followed: TTL 5, NXDOMAIN for a headless Service
//! without endpoints, pods' addresses answered without looking for the pod.

mod catalog;
mod forward;
mod message;
mod resolv;
mod server;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

pub use server::{Error, run};

/// What the DNS server of one node must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// `cluster.local`.
    pub domain: String,
    /// Where to listen, UDP and TCP: the cluster DNS IP, port 53.
    pub listen: Vec<SocketAddr>,
    /// The address that the zone's own name server has: the cluster DNS IP.
    pub address: IpAddr,
    /// Addresses of pods and Services: nobody else is asked whose they are.
    pub own_ranges: Vec<IpNet>,
    /// Names the resolvers for everything else: `/etc/resolv.conf`. Read again when it changes.
    pub resolv_conf: PathBuf,
}

/// What the fuzz target of packets calls: the answer that a packet gets before anything is looked up.
#[cfg(fuzzing)]
pub fn fuzz_read(packet: &[u8]) -> Option<Vec<u8>> {
    match message::read(packet) {
        message::Incoming::Ask(question) => Some(question.fail(hickory_proto::op::ResponseCode::ServFail)),
        message::Incoming::Refuse(answer) => Some(answer),
        message::Incoming::Drop => None,
    }
}
