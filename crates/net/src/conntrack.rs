//! Connection tracking over ctnetlink: forgetting UDP flows whose endpoint is gone.
//!
//! TCP needs none of this, as its clients notice. A UDP client that keeps its port would be sent to a dead endpoint for
//! as long as it goes on sending.

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
struct Tuple {
    source: (Ipv4Addr, u16),
    destination: (Ipv4Addr, u16),
    protocol: u8,
}

/// A UDP flow: where its client sends, and who answers. Both are the same if nothing was translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub to: (Ipv4Addr, u16),
    pub endpoint: (Ipv4Addr, u16),
}

/// Forgets all UDP flows that are `stale`, and returns how many there were. One walk over the kernel's table.
pub fn forget(stale: impl Fn(&Flow) -> bool) -> Result<usize, Error> {
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
        let flow = Flow { to: to.destination, endpoint: from.source };
        if to.protocol != UDP || !stale(&flow) {
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

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ip, protocol) = (attribute(bytes, 1)?, attribute(bytes, 2)?);
    let address = |kind| -> Option<Ipv4Addr> {
        let octets: [u8; 4] = attribute(ip, kind)?.try_into().ok()?;
        Some(octets.into())
    };
    Some(Tuple {
        source: (address(1)?, attribute(protocol, 2).and_then(u16_be)?),
        destination: (address(2)?, attribute(protocol, 3).and_then(u16_be)?),
        protocol: *attribute(protocol, 1)?.first()?,
    })
}
