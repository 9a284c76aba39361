//! Which address this node has, asked of the kernel; no packet is sent and no default route is needed.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use anyhow::{Context, Result};

use crate::config::Server;

/// The configured address; else the one that would be used to go out; else the first that is up; else the bridge's, which is
/// there once skiff runs, so that a box without any network works too.
pub fn node(config: &Server) -> Result<IpAddr> {
    if let Some(given) = config.node_ip {
        return Ok(given);
    }
    if let Some(address) = towards_default_route() {
        return Ok(address);
    }
    let interfaces = nix::ifaddrs::getifaddrs().context("cannot list the machine's addresses")?;
    let usable = |name: &str| {
        !["lo", "skiff", "veth", "docker", "cni", "flannel"].iter().any(|part| name.starts_with(part))
    };
    let first = interfaces.filter(|interface| usable(&interface.interface_name)).find_map(|interface| {
        let address = interface.address?.as_sockaddr_in()?.ip();
        (!address.is_loopback() && !address.is_link_local()).then_some(address)
    });
    Ok(first.map_or_else(|| bridge(config), IpAddr::V4))
}

/// The first address of the pods' network: the bridge's.
pub fn bridge(config: &Server) -> IpAddr {
    config.cluster_cidr.hosts().next().expect("because the network was checked to be at least a /24")
}

/// Connecting a datagram socket only looks the route up.
fn towards_default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // A documentation address (RFC 5737), so that no real host is meant.
    socket.connect((Ipv4Addr::new(203, 0, 113, 1), 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}
