//! What the sources of a site cost this month, in bytes, and whether that is within what its owner allows.
//!
//! Looks write nothing: the count is on disk in steps of a two-hundredth of the budget, and a power cut forgets no more
//! than one step. Without a budget it is in memory only.

use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::wire::Traffic;

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    file: PathBuf,
    /// Bytes a month; `None`: as many as it takes.
    budget: Option<u64>,
    count: Count,
    /// Of the count, as it is on disk.
    written: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    /// `2026-11`, in UTC.
    month: String,
    bytes: u64,
}

fn month(now: Timestamp) -> String {
    now.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string()
}

impl Ledger {
    /// Goes on from what is on disk.
    pub fn open(directory: &Path, budget: Option<u64>) -> Ledger {
        let file = directory.join("bytes.json");
        let count: Count = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let written = count.bytes;
        Ledger { file, budget, count, written }
    }

    /// Bytes of this month so far.
    pub fn spent(&self) -> u64 {
        self.count.bytes
    }

    pub fn add(&mut self, traffic: Traffic, now: Timestamp) {
        if traffic.total() == 0 {
            return;
        }
        self.turn(now);
        self.count.bytes = self.count.bytes.saturating_add(traffic.total());
        let Some(budget) = self.budget else { return };
        if self.count.bytes - self.written >= (budget / 200).max(1) {
            self.written = self.count.bytes;
            let bytes = serde_json::to_vec(&self.count).expect("because it is plain data");
            if let Err(error) = crate::files::replace(&self.file, &bytes) {
                tracing::warn!(%error, file = %self.file.display(), "cannot write what was spent");
            }
        }
    }

    /// Starts again with a new month. A clock that goes back into an earlier one does too: nobody is locked out by it.
    fn turn(&mut self, now: Timestamp) {
        let month = month(now);
        if self.count.month != month {
            self.count = Count { month, bytes: 0 };
            self.written = 0;
        }
    }

    /// Why nothing more may be asked for by itself now; `None`: it may.
    pub fn refusal(&mut self, now: Timestamp) -> Option<String> {
        self.turn(now);
        let budget = self.budget.filter(|budget| self.count.bytes >= *budget)?;
        let zoned = now.to_zoned(TimeZone::UTC);
        let next = zoned.date().first_of_month().saturating_add(1.month());
        Some(format!(
            "the budget of {} this month is used up ({} so far): Git is asked again on {next}, or when a sync is asked for by hand",
            shown(budget),
            shown(self.count.bytes)
        ))
    }
}

/// `500 MB`, as people write it.
pub fn shown(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} bytes");
    };
    let text = format!("{:.1}", bytes as f64 / unit as f64);
    format!("{} {name}", text.trim_end_matches(".0"))
}

/// Reads `500M`, `2G`, `800k` (thousands) or a plain number of bytes.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim().trim_end_matches(['B', 'b']);
    let (digits, unit) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1_000),
        (at, 'M' | 'm') => (&text[..at], 1_000_000),
        (at, 'G' | 'g') => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_month_has_its_budget_and_a_restart_does_not_renew_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(directory.path(), Some(1_000_000));
        let november = at("2026-11-21T10:00:00Z");
        ledger.add(Traffic { sent: 1_000, received: 2_000 }, november);
        assert!(!directory.path().join("bytes.json").exists(), "less than a step writes nothing");
        ledger.add(Traffic { sent: 0, received: 997_000 }, november);
        let mut ledger = Ledger::open(directory.path(), Some(1_000_000));
        let told = ledger.refusal(november).unwrap();
        assert_eq!(
            told,
            "the budget of 1 MB this month is used up (1 MB so far): Git is asked again on 2026-12-01, or when a sync is asked for by hand"
        );
        assert_eq!(ledger.refusal(at("2026-12-01T00:00:00Z")), None);
        assert_eq!(ledger.spent(), 0);
        let mut free = Ledger::open(directory.path(), None);
        free.add(Traffic { sent: u64::MAX, received: 1 }, november);
        assert_eq!(free.refusal(november), None);
    }

    #[test]
    fn amounts_are_read_and_shown() {
        assert_eq!(
            ["500M", "2GB", "800k", "7"].map(parse),
            [Some(500_000_000), Some(2_000_000_000), Some(800_000), Some(7)]
        );
        assert_eq!([parse(""), parse("x"), parse("-1M")], [None, None, None]);
        assert_eq!([shown(500_000_000), shown(1_500), shown(7)], ["500 MB", "1.5 kB", "7 bytes"]);
    }
}
