//! Where chance, time and time zones come from: one source, real in the product and pinned in tests.

use std::sync::atomic::Ordering::Relaxed;

/// The only things outside its arguments that a rendering can see.
pub trait World: Sync {
    /// Nanoseconds since the start of 1970 in UTC.
    fn now(&self) -> i128;
    /// Fills the buffer with bytes that nobody can foresee.
    fn random(&self, buffer: &mut [u8]);
    /// The TZif file of a zone by its IANA name, `Local` being the machine's own.
    fn zone(&self, name: &str) -> Option<Vec<u8>>;
    /// What a cluster has: an object, or without a name the list of all; none if it is not there, as where no cluster is asked.
    fn lookup(&self, _: &Lookup<'_>) -> Result<Option<api::Value>, String> {
        Ok(None)
    }
}

/// The arguments of a template's `lookup`. The namespace and the name may be empty.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
}

/// A world in which nothing happens: the clock stands at `now`, chance counts up, every zone but UTC is unknown.
pub struct Fixed {
    pub now: i128,
    pub chance: std::sync::atomic::AtomicU64,
}

impl Fixed {
    pub fn at(now: i128) -> Fixed {
        Fixed { now, chance: 1.into() }
    }
}

impl World for Fixed {
    fn now(&self) -> i128 {
        self.now
    }
    fn random(&self, buffer: &mut [u8]) {
        for byte in buffer {
            // xorshift64: repeatable, and every value appears, so that loops which reject samples end.
            let mut state = self.chance.load(Relaxed);
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            self.chance.store(state, Relaxed);
            *byte = (state >> 32) as u8;
        }
    }
    fn zone(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}
