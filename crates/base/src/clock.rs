//! Time as an argument. Planning code takes a `now`; whoever waits takes a [`Clock`], so that tests move time by hand.
//!
//! [`Clock::now`] is the *trusted* time of D12: the largest of system time, build time and the last time saved, so
//! that a board whose clock starts in 1970 still accepts its own certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// A source of wall-clock time that never runs behind a known floor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Microseconds since the epoch below which the clock never reads; raised by [`Clock::observe`].
    floor: AtomicI64,
    /// Microseconds since the epoch, or `i64::MIN` for the system's clock.
    fixed: AtomicI64,
}

impl Clock {
    /// The system's clock, held up by `floor` (build time, or the last time saved).
    pub fn system(floor: Timestamp) -> Clock {
        Clock(Arc::new(Inner {
            floor: AtomicI64::new(floor.as_microsecond()),
            fixed: AtomicI64::new(i64::MIN),
        }))
    }

    /// A clock that stands still until [`Clock::advance`] moves it, for tests.
    pub fn fixed(at: Timestamp) -> Clock {
        let micros = at.as_microsecond();
        Clock(Arc::new(Inner { floor: AtomicI64::new(i64::MIN), fixed: AtomicI64::new(micros) }))
    }

    /// The trusted time.
    pub fn now(&self) -> Timestamp {
        let fixed = self.0.fixed.load(Ordering::Acquire);
        let read = if fixed == i64::MIN { Timestamp::now().as_microsecond() } else { fixed };
        let micros = read.max(self.0.floor.load(Ordering::Acquire));
        Timestamp::from_microsecond(micros).expect("because both came from a Timestamp")
    }

    /// What it never runs behind: build time, the last time saved, or what was shown; `None`: nothing is known.
    pub fn floor(&self) -> Option<Timestamp> {
        Timestamp::from_microsecond(self.0.floor.load(Ordering::Acquire)).ok()
    }

    /// Raises the floor to a time that somebody trustworthy has shown; never lowers it.
    pub fn observe(&self, seen: Timestamp) {
        self.0.floor.fetch_max(seen.as_microsecond(), Ordering::AcqRel);
    }

    /// Moves a fixed clock forward; on the system's clock it does nothing.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        let _ = self.0.fixed.fetch_update(Ordering::AcqRel, Ordering::Acquire, |at| {
            (at != i64::MIN).then(|| at.saturating_add(by))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_reads_below_the_floor() {
        let late: Timestamp = "2090-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(Clock::system(late).now(), late);
        let clock = Clock::system(Timestamp::UNIX_EPOCH);
        clock.observe(late);
        clock.observe(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), late);
    }

    #[test]
    fn a_fixed_clock_moves_only_by_hand() {
        let clock = Clock::fixed(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now().as_second(), 5);
    }
}
