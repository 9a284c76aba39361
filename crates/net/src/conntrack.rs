//! Connection tracking over ctnetlink: forgetting UDP flows whose endpoint is gone.
//!
//! TCP needs none of this, as its clients notice. A UDP client that keeps its port would be sent to a dead endpoint for
//! as long as it goes on sending.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use crate::netlink::{Error, Protocol, Socket, attribute, u16_be};

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ZONE: u16 = 18;
const ID: u16 = 12;
const UDP: u8 = 17;

/// One direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tuple {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    source_port: u16,
    destination_port: u16,
}

/// UDP flows to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stale {
    /// To `service`, as the client sees it, that were sent to `endpoint`.
    To { service: (Ipv4Addr, u16), endpoint: (Ipv4Addr, u16) },
    /// To any address of the node at this port, that were sent to `endpoint`.
    ToPort { port: u16, endpoint: (Ipv4Addr, u16) },
    /// To `service`, that were sent nowhere else: they began before it had endpoints.
    Untranslated { service: (Ipv4Addr, u16) },
    /// To any address at this port of the node, that were sent nowhere else.
    UntranslatedPort { port: u16 },
}

/// Forgets all flows that match one of `stale`, and returns how many there were. One walk over the kernel's table.
pub fn forget(stale: &HashSet<Stale>) -> Result<usize, Error> {
    if stale.is_empty() {
        return Ok(0);
    }
    let mut socket = Socket::open(Protocol::Netfilter)?;
    let flows = socket.query(
        || "list connections".to_owned(),
        SUBSYSTEM << 8 | GET,
        libc::NLM_F_DUMP,
        |message| {
            message.raw(&[libc::AF_INET as u8, 0, 0, 0]);
        },
    )?;
    let mut count = 0;
    for flow in &flows {
        let attributes = flow.payload.get(4..).unwrap_or_default();
        let Some((original, reply)) = attribute(attributes, ORIGINAL).zip(attribute(attributes, REPLY))
        else {
            continue;
        };
        let Some((to, from)) = tuple(original).zip(tuple(reply)) else { continue };
        if to.protocol != UDP || !matches(stale, to, from) {
            continue;
        }
        let deleted = socket.request(
            || "forget a connection".to_owned(),
            SUBSYSTEM << 8 | DELETE,
            0,
            |message| {
                message.raw(&[libc::AF_INET as u8, 0, 0, 0]).attribute(ORIGINAL | 0x8000, original);
                for kind in [ZONE, ID] {
                    if let Some(value) = attribute(attributes, kind) {
                        message.attribute(kind, value);
                    }
                }
            },
        );
        match deleted {
            Ok(()) => count += 1,
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn matches(stale: &HashSet<Stale>, to: Tuple, from: Tuple) -> bool {
    let service = (to.destination, to.destination_port);
    let endpoint = (from.source, from.source_port);
    if service == endpoint {
        return stale.contains(&Stale::Untranslated { service })
            || stale.contains(&Stale::UntranslatedPort { port: service.1 });
    }
    stale.contains(&Stale::To { service, endpoint })
        || stale.contains(&Stale::ToPort { port: service.1, endpoint })
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ip, protocol) = (attribute(bytes, 1)?, attribute(bytes, 2)?);
    let address = |kind| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = attribute(ip, kind)?.try_into().ok()?;
        Some(octets.into())
    };
    Some(Tuple {
        source: address(1)?,
        destination: address(2)?,
        protocol: *attribute(protocol, 1)?.first()?,
        source_port: attribute(protocol, 2).and_then(u16_be)?,
        destination_port: attribute(protocol, 3).and_then(u16_be)?,
    })
}
