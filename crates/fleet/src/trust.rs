//! By which time the certificates of sources are judged (D12): the clock's, unless it is decades from all that is known to be
//! past. A board whose clock jumped to 2088 would take every server's certificate for expired and never hear of Git again;
//! it is then judged by the last time at which a server was believed, so that an expired certificate is taken at most as
//! long as it was good for then.

use std::path::{Path, PathBuf};

use base::Clock;
use jiff::{Span, Timestamp, ToSpan, tz::TimeZone};

/// So much after the last good time, or after this program was built, no clock is believed.
fn lifetime() -> Span {
    10.years()
}
/// The good time on disk may be so much older than the one that is known: a look that finds nothing writes nothing.
const STEP_SECONDS: i64 = 30 * 24 * 3600;

/// See the module.
#[derive(Debug)]
pub struct Trust {
    file: PathBuf,
    /// When a server was last believed by a clock that could be.
    good: Option<Timestamp>,
    doubted: bool,
}

impl Trust {
    /// Goes on from what is on disk.
    pub fn open(directory: &Path) -> Trust {
        let file = directory.join("trusted-time");
        let good = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
        Trust { file, good, doubted: false }
    }

    /// The time to judge by now.
    pub fn time(&mut self, clock: &Clock) -> Timestamp {
        let now = clock.now();
        let floor = clock.floor().filter(|floor| floor.as_second() > 0);
        let Some(known) = self.good.max(floor) else { return now };
        let end = known.to_zoned(TimeZone::UTC).saturating_add(lifetime()).timestamp();
        if now <= end {
            self.doubted = false;
            return now;
        }
        if !std::mem::replace(&mut self.doubted, true) {
            tracing::warn!(
                "this machine's clock says {now}, years after anything that was ever seen; certificates of sources are judged by {known}"
            );
        }
        known
    }

    /// A server was believed at a time that [`Trust::time`] gave.
    pub fn believed(&mut self, at: Timestamp) {
        // Less than a step is not worth a write, and less than nothing is no news.
        if self.good.is_some_and(|good| at.as_second() - good.as_second() < STEP_SECONDS) {
            return;
        }
        self.good = Some(at);
        if let Err(error) = crate::files::replace(&self.file, at.to_string().as_bytes()) {
            tracing::warn!(%error, file = %self.file.display(), "cannot write the last good time");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_decades_ahead_is_not_believed_and_one_years_ahead_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut trust = Trust::open(directory.path());
        let future = Clock::fixed(at("2088-01-01T00:00:00Z"));
        // Nothing is known that could speak against it.
        assert_eq!(trust.time(&future), future.now());
        trust.believed(at("2026-11-21T00:00:00Z"));
        assert_eq!(trust.time(&future), at("2026-11-21T00:00:00Z"));
        let mut again = Trust::open(directory.path());
        assert_eq!(again.time(&future), at("2026-11-21T00:00:00Z"));
        let later = Clock::fixed(at("2034-01-01T00:00:00Z"));
        assert_eq!(again.time(&later), later.now());
        // When it was built, it was no earlier than that.
        let built = Clock::system(at("2090-01-01T00:00:00Z"));
        assert_eq!(again.time(&built), at("2090-01-01T00:00:00Z"));
    }

    #[test]
    fn the_file_is_written_once_a_month_at_the_most() {
        let directory = tempfile::tempdir().unwrap();
        let mut trust = Trust::open(directory.path());
        let text = || std::fs::read_to_string(directory.path().join("trusted-time")).unwrap();
        trust.believed(at("2026-11-01T00:00:00Z"));
        trust.believed(at("2026-11-20T00:00:00Z"));
        assert_eq!(text(), "2026-11-01T00:00:00Z");
        trust.believed(at("2026-12-02T00:00:00Z"));
        assert_eq!(text(), "2026-12-02T00:00:00Z");
        trust.believed(at("1970-01-02T00:00:00Z"));
        assert_eq!(text(), "2026-12-02T00:00:00Z");
    }
}
