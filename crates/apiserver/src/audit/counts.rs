//! What `/metrics` tells of the audit log, by upstream's names (k8s.io/apiserver/pkg/audit/metrics.go).

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use super::policy::{LEVELS, Level};

/// Who may lose an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    Log,
    Webhook,
    /// An event was too large for its backend.
    Truncate,
}

const PLUGINS: [&str; 3] = ["log", "webhook", "truncate"];

#[derive(Default)]
pub(crate) struct Counts {
    events: AtomicU64,
    levels: [AtomicU64; LEVELS.len()],
    lost: [AtomicU64; PLUGINS.len()],
}

impl Counts {
    pub fn event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was judged by the policy.
    pub fn level(&self, level: Level) {
        self.levels[level as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// An event did not get to its backend. The first of each thousand is told.
    pub fn lost(&self, plugin: Plugin) {
        let before = self.failed(plugin, 1);
        if before.is_multiple_of(1000) {
            let name = PLUGINS[plugin as usize];
            tracing::warn!(
                plugin = name,
                lost = before + 1,
                "audit events are lost: too large, or faster than the backend"
            );
        }
    }

    /// Events that a backend could not hand on, which it tells of itself; how many there were before.
    pub fn failed(&self, plugin: Plugin, events: u64) -> u64 {
        self.lost[plugin as usize].fetch_add(events, Ordering::Relaxed)
    }

    pub fn write(&self, out: &mut String) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // A String takes every write.
        let _ = writeln!(
            out,
            "# HELP apiserver_audit_event_total Events of the audit log.\n\
             # TYPE apiserver_audit_event_total counter\n\
             apiserver_audit_event_total {}\n\
             # HELP apiserver_audit_level_total Requests by the level that the audit policy gives them.\n\
             # TYPE apiserver_audit_level_total counter",
            read(&self.events)
        );
        for ((name, _), count) in LEVELS.iter().zip(&self.levels) {
            let _ = writeln!(out, "apiserver_audit_level_total{{level={name:?}}} {}", read(count));
        }
        let _ = writeln!(
            out,
            "# HELP apiserver_audit_error_total Events that were lost, by what lost them.\n\
             # TYPE apiserver_audit_error_total counter"
        );
        for (name, count) in PLUGINS.iter().zip(&self.lost) {
            let _ = writeln!(out, "apiserver_audit_error_total{{plugin={name:?}}} {}", read(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_by_upstreams_names() {
        let counts = Counts::default();
        counts.event();
        counts.level(Level::Metadata);
        counts.lost(Plugin::Truncate);
        let mut text = String::new();
        counts.write(&mut text);
        for line in [
            "apiserver_audit_event_total 1",
            "apiserver_audit_level_total{level=\"Metadata\"} 1",
            "apiserver_audit_error_total{plugin=\"truncate\"} 1",
            "apiserver_audit_error_total{plugin=\"log\"} 0",
        ] {
            assert!(text.lines().any(|own| own == line), "{text}");
        }
    }
}
