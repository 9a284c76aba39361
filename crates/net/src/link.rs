//! Links, addresses and routes over rtnetlink. Adding what is there and removing what is not both succeed.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::netlink::{Error, Protocol, Socket, Writer, attribute, u32_ne};

/// Marks routes as ours (`rtproto` in `ip route`); the numbers below 192 have owners.
const ROUTE_OWNER: u8 = 0xc5;
const VETH_PEER: u16 = 1;
const BRIDGE_PORT_HAIRPIN: u16 = 4;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;

/// A link as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `bridge`, `veth`; empty for a device.
    pub(crate) kind: String,
}

/// Six bytes that follow from an address, as CNI's plugins make them: an address that is used again keeps its
/// hardware address, so no neighbour holds a stale one.
pub(crate) fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x0a, 0x58, a, b, c, d]
}

/// rtnetlink in one network namespace.
#[derive(Debug)]
pub(crate) struct Links(Socket);

impl Links {
    /// Of the calling thread's network namespace.
    pub(crate) fn open() -> Result<Links, Error> {
        Socket::open(Protocol::Route).map(Links)
    }

    pub(crate) fn get(&mut self, name: &str) -> Result<Option<Link>, Error> {
        let asked = self.0.query(
            || format!("look up link {name}"),
            libc::RTM_GETLINK,
            0,
            |message| {
                header(message, 0, 0, 0);
                message.text(libc::IFLA_IFNAME, name);
            },
        );
        match asked {
            Ok(replies) => Ok(replies.first().and_then(|reply| parse(&reply.payload))),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn list(&mut self) -> Result<Vec<Link>, Error> {
        let replies = self.0.query(
            || "list links".to_owned(),
            libc::RTM_GETLINK,
            libc::NLM_F_DUMP,
            |message| {
                header(message, 0, 0, 0);
            },
        )?;
        Ok(replies.iter().filter_map(|reply| parse(&reply.payload)).collect())
    }

    pub(crate) fn add_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> Result<(), Error> {
        let added = self.0.request(
            || format!("add bridge {name}"),
            libc::RTM_NEWLINK,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            |message| {
                header(message, 0, libc::IFF_UP, libc::IFF_UP);
                message.text(libc::IFLA_IFNAME, name).attribute(libc::IFLA_ADDRESS, &mac);
                message.u32(libc::IFLA_MTU, mtu).nest(libc::IFLA_LINKINFO, |info| {
                    info.text(libc::IFLA_INFO_KIND, "bridge");
                });
            },
        );
        present(added)
    }

    /// A pair of which one end is a port of the bridge and the other is `eth0` in the namespace `netns`.
    pub(crate) fn add_pair(
        &mut self,
        name: &str,
        bridge: u32,
        netns: i32,
        mac: [u8; 6],
        mtu: u32,
    ) -> Result<(), Error> {
        let added = self.0.request(
            || format!("add link pair {name}"),
            libc::RTM_NEWLINK,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            |message| {
                header(message, 0, libc::IFF_UP, libc::IFF_UP);
                message.text(libc::IFLA_IFNAME, name).u32(libc::IFLA_MTU, mtu).u32(libc::IFLA_MASTER, bridge);
                message.nest(libc::IFLA_LINKINFO, |info| {
                    info.text(libc::IFLA_INFO_KIND, "veth").nest(libc::IFLA_INFO_DATA, |data| {
                        data.nest(VETH_PEER, |peer| {
                            // Not up: its other end does not exist yet, and the kernel says ENOTCONN.
                            header(peer, 0, 0, 0);
                            peer.text(libc::IFLA_IFNAME, "eth0").attribute(libc::IFLA_ADDRESS, &mac);
                            peer.u32(libc::IFLA_MTU, mtu)
                                .attribute(libc::IFLA_NET_NS_FD, &netns.to_ne_bytes());
                        });
                    });
                });
            },
        );
        present(added)?;
        // On a node with br_netfilter, a packet whose destination is translated to the pod that sent it is not routed
        // but bridged, back out of the port it came from.
        self.0.request(
            || format!("let bridge port {name} hairpin"),
            libc::RTM_NEWLINK,
            0,
            |message| {
                header(message, 0, 0, 0);
                message.text(libc::IFLA_IFNAME, name).nest(libc::IFLA_LINKINFO, |info| {
                    info.text(INFO_SLAVE_KIND, "bridge").nest(INFO_SLAVE_DATA, |data| {
                        data.u8(BRIDGE_PORT_HAIRPIN, 1);
                    });
                });
            },
        )
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Error> {
        missing(self.0.request(
            || format!("remove link {name}"),
            libc::RTM_DELLINK,
            0,
            |message| {
                header(message, 0, 0, 0);
                message.text(libc::IFLA_IFNAME, name);
            },
        ))
    }

    pub(crate) fn up(&mut self, index: u32) -> Result<(), Error> {
        self.0.request(
            || format!("bring link {index} up"),
            libc::RTM_NEWLINK,
            0,
            |message| {
                header(message, index, libc::IFF_UP, libc::IFF_UP);
            },
        )
    }

    pub(crate) fn add_address(&mut self, index: u32, address: Ipv4Net) -> Result<(), Error> {
        present(self.address(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, index, address))
    }

    pub(crate) fn remove_address(&mut self, index: u32, address: Ipv4Net) -> Result<(), Error> {
        missing(self.address(libc::RTM_DELADDR, 0, index, address))
    }

    fn address(&mut self, kind: u16, flags: i32, index: u32, address: Ipv4Net) -> Result<(), Error> {
        self.0.request(
            || format!("change address {address} of link {index}"),
            kind,
            flags,
            |message| {
                message.raw(&[libc::AF_INET as u8, address.prefix_len(), 0, 0]).raw(&index.to_ne_bytes());
                let octets = address.addr().octets();
                message.attribute(libc::IFA_LOCAL, &octets).attribute(libc::IFA_ADDRESS, &octets);
            },
        )
    }

    /// The IPv4 addresses of a link.
    pub(crate) fn addresses(&mut self, index: u32) -> Result<Vec<Ipv4Net>, Error> {
        let replies = self.0.query(
            || format!("list addresses of link {index}"),
            libc::RTM_GETADDR,
            libc::NLM_F_DUMP,
            |message| {
                message.raw(&[libc::AF_INET as u8, 0, 0, 0]).raw(&index.to_ne_bytes());
            },
        )?;
        let parse = |payload: &[u8]| {
            let prefix = *payload.get(1)?;
            let found = payload.get(4..).and_then(u32_ne)?;
            let octets: [u8; 4] = attribute(payload.get(8..)?, libc::IFA_LOCAL)?.try_into().ok()?;
            (found == index).then(|| Ipv4Net::new(octets.into(), prefix).ok()).flatten()
        };
        Ok(replies.iter().filter_map(|reply| parse(&reply.payload)).collect())
    }

    /// Adds a route, or replaces the one to the same destination that is ours.
    pub(crate) fn add_route(
        &mut self,
        to: Ipv4Net,
        via: Option<Ipv4Addr>,
        index: u32,
        source: Option<Ipv4Addr>,
    ) -> Result<(), Error> {
        let scope = if via.is_some() { libc::RT_SCOPE_UNIVERSE } else { libc::RT_SCOPE_LINK };
        self.0.request(
            || format!("add route to {to}"),
            libc::RTM_NEWROUTE,
            libc::NLM_F_CREATE | libc::NLM_F_REPLACE,
            |message| {
                message.raw(&[libc::AF_INET as u8, to.prefix_len(), 0, 0]);
                message.raw(&[libc::RT_TABLE_MAIN, ROUTE_OWNER, scope, libc::RTN_UNICAST]).raw(&[0; 4]);
                message.attribute(libc::RTA_DST, &to.network().octets()).u32(libc::RTA_OIF, index);
                if let Some(via) = via {
                    message.attribute(libc::RTA_GATEWAY, &via.octets());
                }
                if let Some(source) = source {
                    message.attribute(libc::RTA_PREFSRC, &source.octets());
                }
            },
        )
    }
}

/// `struct ifinfomsg`, of any address family.
fn header(message: &mut Writer, index: u32, flags: i32, change: i32) {
    message.raw(&[0; 4]).raw(&index.to_ne_bytes()).raw(&flags.to_ne_bytes()).raw(&change.to_ne_bytes());
}

fn parse(payload: &[u8]) -> Option<Link> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
    let attributes = payload.get(16..)?;
    let kind =
        attribute(attributes, libc::IFLA_LINKINFO).and_then(|info| attribute(info, libc::IFLA_INFO_KIND));
    Some(Link {
        index: payload.get(4..).and_then(u32_ne)?,
        name: text(attribute(attributes, libc::IFLA_IFNAME)?),
        kind: kind.map(text).unwrap_or_default(),
    })
}

fn present(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_present() => Ok(()),
        other => other,
    }
}

fn missing(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_missing() => Ok(()),
        other => other,
    }
}
