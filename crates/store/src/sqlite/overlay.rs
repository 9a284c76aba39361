//! Writes that were answered and published but are not on disk: relaxed ones, which the next durable commit takes along,
//! and volatile ones, which never go there. Readers lay it over what they read.

use std::collections::BTreeMap;

use api::{Key, Revision};

use crate::Event;

/// Answered writes by key and revision. A volatile write replaces the volatile one before it.
#[derive(Default)]
pub(super) struct Overlay(BTreeMap<Key, Vec<Entry>>);

struct Entry {
    event: Event,
    /// Unix seconds.
    expires: Option<i64>,
    volatile: bool,
}

impl Overlay {
    pub(super) fn add(&mut self, event: Event, expires: Option<i64>, volatile: bool) {
        let entries = self.0.entry(event.key.clone()).or_default();
        if volatile {
            entries.retain(|entry| !entry.volatile);
        }
        entries.push(Entry { event, expires, volatile });
    }

    /// What is newest of a key at or before a revision, if that is in here.
    pub(super) fn newest(&self, key: &Key, at: Revision) -> Option<Event> {
        let found = self.0.get(key)?.iter().rev().find(|entry| entry.event.revision <= at)?;
        Some(found.event.clone())
    }

    pub(super) fn range(&self, prefix: &str, after: Option<&str>, at: Revision) -> BTreeMap<Key, Event> {
        let wanted =
            |key: &Key| key.as_str().starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
        self.0
            .keys()
            .filter(|key| wanted(key))
            .filter_map(|key| Some((key.clone(), self.newest(key, at)?)))
            .collect()
    }

    /// Everything after a revision, in no order.
    pub(super) fn since(&self, from: Revision) -> impl Iterator<Item = &Event> {
        self.0.values().flatten().map(|entry| &entry.event).filter(move |event| event.revision > from)
    }

    /// The relaxed writes with their expiry, for a commit.
    pub(super) fn relaxed(&self) -> impl Iterator<Item = (&Event, Option<i64>)> {
        self.0.values().flatten().filter(|entry| !entry.volatile).map(|entry| (&entry.event, entry.expires))
    }

    pub(super) fn has_relaxed(&self) -> bool {
        self.relaxed().next().is_some()
    }

    /// After a commit: the relaxed writes are on disk, and volatile ones that it overwrote are history.
    pub(super) fn committed(&mut self, overwritten: &[Event]) {
        for event in overwritten {
            if let Some(entries) = self.0.get_mut(&event.key) {
                entries.retain(|entry| !entry.volatile || entry.event.revision > event.revision);
            }
        }
        self.0.retain(|_, entries| {
            entries.retain(|entry| entry.volatile);
            !entries.is_empty()
        });
    }
}
