//! What is handed out from a range and comes back: addresses of Services, node ports. Pure: the server keeps the value,
//! fills it from the Services that are stored, and calls it under a lock.
//!
//! The lower part of a range is left to those who ask for a value by number (KEP-3070, KEP-3668); the rest is handed
//! out in turn, so that a value that was just given back is not used at once.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A value cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("range is full")]
    Full,
    #[error("provided {0} is already allocated")]
    Taken(&'static str),
    #[error("provided {what} is not in the valid range. The range of valid {what}s is {range}")]
    Outside { what: &'static str, range: String },
}

/// Numbers from 0 up to a size, each free or taken.
#[derive(Clone, Debug)]
struct Slots {
    size: u128,
    /// Numbers below this are handed out by number, and in turn only when the rest is full.
    reserved: u128,
    next: u128,
    taken: BTreeSet<u128>,
}

impl Slots {
    fn new(size: u128, reserved: u128) -> Slots {
        Slots { size, reserved, next: reserved, taken: BTreeSet::new() }
    }
    fn take(&mut self, slot: u128) -> bool {
        self.taken.insert(slot)
    }
    fn take_next(&mut self) -> Option<u128> {
        let free = |from: u128, to: u128, taken: &BTreeSet<u128>| {
            let mut at = from;
            // Taken numbers come in order: the first gap is where one is missing.
            for &slot in taken.range(from..to) {
                if slot != at {
                    break;
                }
                at += 1;
            }
            (at < to).then_some(at)
        };
        let slot = free(self.next, self.size, &self.taken)
            .or_else(|| free(self.reserved, self.next, &self.taken))
            .or_else(|| free(0, self.reserved, &self.taken))?;
        self.taken.insert(slot);
        self.next = if slot + 1 < self.size { (slot + 1).max(self.reserved) } else { self.reserved };
        Some(slot)
    }
}

/// Addresses of one CIDR; the network's own address and, for IPv4, the broadcast address are never handed out.
#[derive(Clone, Debug)]
pub struct IpRange {
    base: IpAddr,
    bits: u32,
    slots: Slots,
}

impl IpRange {
    /// `bits` is the length of the prefix.
    pub fn new(network: IpAddr, bits: u32) -> IpRange {
        let (width, ends) = if network.is_ipv4() { (32, 2) } else { (128, 1) };
        // Upstream hands out at most 2^16 addresses of an IPv6 range.
        let host_bits = width.min(bits.max(width - if width == 32 { 31 } else { 16 }));
        let size = (1u128 << (width - host_bits)).saturating_sub(ends);
        let reserved = match size {
            0..=16 => 0,
            size => (size / 16).clamp(16, 256),
        };
        IpRange { base: network, bits, slots: Slots::new(size, reserved) }
    }
    pub fn is_ipv4(&self) -> bool {
        self.base.is_ipv4()
    }
    fn at(&self, slot: u128) -> IpAddr {
        match self.base {
            IpAddr::V4(base) => Ipv4Addr::from(u32::from(base) + slot as u32 + 1).into(),
            IpAddr::V6(base) => Ipv6Addr::from(u128::from(base) + slot + 1).into(),
        }
    }
    fn slot(&self, ip: IpAddr) -> Option<u128> {
        let offset = match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => u128::from(u32::from(ip).checked_sub(u32::from(base))?),
            (IpAddr::V6(base), IpAddr::V6(ip)) => u128::from(ip).checked_sub(u128::from(base))?,
            _ => return None,
        };
        offset.checked_sub(1).filter(|slot| *slot < self.slots.size)
    }
    /// Takes the address asked for, or the next free one.
    pub fn take(&mut self, wanted: Option<IpAddr>) -> Result<IpAddr, Error> {
        match wanted {
            Some(ip) => {
                let range = format!("{}/{}", self.base, self.bits);
                let slot = self.slot(ip).ok_or(Error::Outside { what: "IP", range })?;
                if self.slots.take(slot) { Ok(ip) } else { Err(Error::Taken("IP")) }
            }
            None => self.slots.take_next().map(|slot| self.at(slot)).ok_or(Error::Full),
        }
    }
    pub fn give_back(&mut self, ip: IpAddr) {
        if let Some(slot) = self.slot(ip) {
            self.slots.taken.remove(&slot);
        }
    }
}

/// Node ports, both ends included.
#[derive(Clone, Debug)]
pub struct PortRange {
    first: u16,
    last: u16,
    slots: Slots,
}

impl PortRange {
    pub fn new(first: u16, last: u16) -> PortRange {
        let size = u128::from(last.saturating_sub(first)) + 1;
        let reserved = match size {
            0..=16 => 0,
            size => (size / 32).clamp(16, 128),
        };
        PortRange { first, last, slots: Slots::new(size, reserved) }
    }
    fn slot(&self, port: u16) -> Option<u128> {
        (self.first..=self.last).contains(&port).then(|| u128::from(port - self.first))
    }
    /// Takes the port asked for, or the next free one.
    pub fn take(&mut self, wanted: Option<u16>) -> Result<u16, Error> {
        match wanted {
            Some(port) => {
                let range = range_text(self.first, self.last);
                let slot = self.slot(port).ok_or(Error::Outside { what: "port", range })?;
                if self.slots.take(slot) { Ok(port) } else { Err(Error::Taken("port")) }
            }
            None => self.slots.take_next().map(|slot| self.first + slot as u16).ok_or(Error::Full),
        }
    }
    pub fn give_back(&mut self, port: u16) {
        if let Some(slot) = self.slot(port) {
            self.slots.taken.remove(&slot);
        }
    }
}

impl Default for PortRange {
    /// 30000-32767
    fn default() -> PortRange {
        PortRange::new(30000, 32767)
    }
}

fn range_text(first: impl Display, last: impl Display) -> String {
    format!("{first}-{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_each_address_once() {
        let mut range = IpRange::new("10.43.0.0".parse().unwrap(), 28);
        let first: IpAddr = "10.43.0.1".parse().unwrap();
        assert_eq!(range.take(Some(first)), Ok(first));
        assert_eq!(range.take(Some(first)), Err(Error::Taken("IP")));
        let all: BTreeSet<IpAddr> = std::iter::from_fn(|| range.take(None).ok()).collect();
        assert_eq!(all.len(), 13, "sixteen without network, broadcast and the one taken");
        assert_eq!(range.take(None), Err(Error::Full));
        range.give_back(first);
        assert_eq!(range.take(None), Ok(first));
        let outside = range.take(Some("10.44.0.1".parse().unwrap())).unwrap_err();
        assert!(outside.to_string().ends_with("The range of valid IPs is 10.43.0.0/28"), "{outside}");
    }

    #[test]
    fn leaves_the_lower_part_to_those_who_choose() {
        let mut range = IpRange::new("10.43.0.0".parse().unwrap(), 16);
        assert_eq!(range.take(None), Ok("10.43.1.1".parse().unwrap()));
        assert_eq!(range.take(None), Ok("10.43.1.2".parse().unwrap()));
        let mut ports = PortRange::default();
        assert_eq!(ports.take(None), Ok(30086));
        assert_eq!(ports.take(Some(30000)), Ok(30000));
        assert!(ports.take(Some(80)).is_err());
        ports.give_back(30086);
        assert_eq!(ports.take(None), Ok(30087), "not at once again");
    }
}
