//! How long a failing thing waits before it is tried again: 10 s, doubled up to a limit, forgotten after twice the limit.

use std::time::Duration;

use jiff::Timestamp;

const FIRST: Duration = Duration::from_secs(10);

/// See the module. The rules are those of client-go's `flowcontrol.Backoff`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    entry: Option<(Duration, Timestamp)>,
}

impl Backoff {
    /// When the thing that ended at `ended` may start again; `None` is at once.
    pub fn until(&self, ended: Timestamp, limit: Duration) -> Option<Timestamp> {
        let (delay, updated) = self.entry?;
        (!expired(ended, updated, limit)).then(|| ended + delay)
    }

    pub fn delay(&self) -> Duration {
        self.entry.map_or(FIRST, |(delay, _)| delay)
    }

    /// Counts one more start (or failure) at `now` of what ended at `ended`.
    pub fn next(&mut self, ended: Timestamp, now: Timestamp, limit: Duration) {
        let delay = match self.entry {
            Some((delay, updated)) if !expired(ended, updated, limit) => (delay * 2).min(limit),
            _ => FIRST.min(limit),
        };
        self.entry = Some((delay, now));
    }
}

fn expired(ended: Timestamp, updated: Timestamp, limit: Duration) -> bool {
    ended.duration_since(updated)
        > jiff::SignedDuration::try_from(limit * 2).unwrap_or(jiff::SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);

    #[test]
    fn doubles_and_is_forgotten() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.until(at(5), LIMIT), None);
        let mut now = 5;
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            backoff.next(at(now), at(now), LIMIT);
            assert_eq!(backoff.until(at(now), LIMIT), Some(at(now + expected)));
            now += expected;
        }
        // It ran for more than ten minutes: a fresh start.
        assert_eq!(backoff.until(at(now + 601), LIMIT), None);
    }
}
