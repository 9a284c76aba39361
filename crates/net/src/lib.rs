//! The node's network: one bridge, a link and an address for each pod, and the nftables compiler that `proxy` uses.
//!
//! Everything is spoken in netlink, by an encoder of our own ([`netlink`]): one small codec serves links, nftables
//! and conntrack, without a task or a process behind it. All that is made here carries the name `skiff`, lives in
//! tables of its own, and goes with [`Network::uninstall`]; nothing of the host's own rules is read or touched (D8).
//!
//! Pods get their address as a /32 and reach everything, their neighbours too, through the node's IP stack. So the
//! node sees both directions of every connection, and NAT works with `br_netfilter` and without.
//!
//! Not here: Services (`proxy`), names (`dns`), pods as such (`kubelet`), links between nodes.

pub mod conntrack;
mod ipam;
mod lease;
mod link;
pub mod netlink;
mod netns;
mod network;
pub mod nft;
mod rules;
mod sysctl;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use lease::{HostPort, Protocol, UnknownProtocol};
pub use network::{Attachment, Config, Error, Network};

/// The prefix of every link, table and file that this crate makes.
pub const PREFIX: &str = "skiff";
