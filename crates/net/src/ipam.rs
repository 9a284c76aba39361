//! Which address a pod gets: the next free one after the last given, so that an address rests before it is used again.
//! Pure; what is taken is told by the leases.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Addresses of one range. The network, gateway (first host) and broadcast addresses are never given.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    range: Ipv4Net,
    taken: BTreeSet<u32>,
    last: u32,
}

impl Pool {
    pub(crate) fn new(range: Ipv4Net) -> Pool {
        let range = range.trunc();
        Pool { range, taken: BTreeSet::new(), last: u32::from(range.network()) + 1 }
    }

    /// The bridge's own address.
    pub(crate) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.range.network()) + 1)
    }

    /// Marks an address as taken; one outside the range (of an earlier configuration) is simply remembered.
    pub(crate) fn take(&mut self, address: Ipv4Addr) {
        self.taken.insert(address.into());
        if self.range.contains(&address) {
            self.last = self.last.max(address.into());
        }
    }

    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.taken.remove(&address.into());
    }

    /// Takes the next free address, or `None` if all are taken.
    pub(crate) fn allocate(&mut self) -> Option<Ipv4Addr> {
        let first = u32::from(self.range.network()) + 2;
        let end = u32::from(self.range.broadcast());
        if first >= end {
            return None;
        }
        let start = (self.last + 1).clamp(first, end);
        let free = (start..end).chain(first..start).find(|address| !self.taken.contains(address))?;
        self.taken.insert(free);
        self.last = free;
        Some(free.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(range: &str) -> Pool {
        Pool::new(range.parse().unwrap())
    }

    #[test]
    fn an_address_rests_before_it_is_used_again() {
        let mut pool = pool("10.42.0.0/29");
        let mut next = || pool.allocate().map(|address| address.octets()[3]);
        assert_eq!([next(), next()], [Some(2), Some(3)]);
        pool.release([10, 42, 0, 2].into());
        let rest: Vec<_> =
            std::iter::from_fn(|| pool.allocate()).map(|address| address.octets()[3]).collect();
        assert_eq!(rest, [4, 5, 6, 2]);
        pool.release([10, 42, 0, 5].into());
        assert_eq!(pool.allocate(), Some([10, 42, 0, 5].into()));
    }

    #[test]
    fn a_restart_goes_on_behind_what_is_taken() {
        let mut pool = pool("10.42.3.7/24");
        assert_eq!(pool.gateway(), Ipv4Addr::new(10, 42, 3, 1));
        pool.take([10, 42, 3, 9].into());
        pool.take([10, 99, 0, 9].into());
        assert_eq!(pool.allocate(), Some([10, 42, 3, 10].into()));
    }

    #[test]
    fn a_range_without_room_gives_nothing() {
        for range in ["10.0.0.0/30", "10.0.0.0/31", "10.0.0.0/32"] {
            let mut pool = pool(range);
            while let Some(address) = pool.allocate() {
                assert_eq!(address, Ipv4Addr::new(10, 0, 0, 2), "{range}");
            }
        }
    }
}
