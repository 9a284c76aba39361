//! Services to rules: what kube-proxy does, by one nftables transaction a change.
//!
//! [`compile()`] is pure: one Service, its EndpointSlices and the node give one [`net::nft::Fragment`]. The [`Engine`]
//! keeps a fragment for each Service in the kernel and forgets UDP flows whose endpoint is gone; [`run`] feeds it from
//! the caches. The rules are laid out as in kube-proxy's nftables mode, with two differences: ports of the node also
//! answer at 127.0.0.1, and hairpins are `net`'s business.
//!
//! Not here: IPv6 (pods have none), names (`dns`), who may talk to whom.

mod base_rules;
mod compile;
mod endpoints;
mod engine;
mod health;
mod watch;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

pub use base_rules::base;
pub use compile::{Compiled, Node, compile};
pub use engine::{Engine, Error};
pub use watch::run;

/// What the proxy of one node must know.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_name: String,
    /// Addresses of pods; traffic from elsewhere to a ClusterIP is masqueraded.
    pub cluster_cidr: Ipv4Net,
    /// Packets to addresses in it that no Service has are dropped.
    pub service_cidr: Option<Ipv4Net>,
    /// Service addresses that this node answers itself, such as the cluster DNS IP: no rules are made for them.
    pub local_addresses: Vec<Ipv4Addr>,
    /// The table's name: `skiff-proxy`.
    pub table: String,
}
