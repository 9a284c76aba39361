//! The past of one cache: events in order, bounded by count and by the memory that only they still hold.
//!
//! Subscribers hold a position, not a copy. One who falls behind the oldest event is told so and starts anew.

use std::collections::VecDeque;
use std::sync::Arc;

use api::Revision;
use api::object::Change;
use bytes::Bytes;
use parking_lot::Mutex;

/// How much of the past a cache keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events, at most.
    pub events: usize,
    /// Bytes of objects that no longer are in the cache, about.
    pub bytes: usize,
    /// Events that are kept whatever they weigh, so that one large batch does not shake off every watcher.
    pub least: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { events: 8192, bytes: 2 << 20, least: 128 }
    }
}

/// One change, shared by all who watch. Encoded forms of it are made once.
#[derive(Debug)]
pub struct Event {
    pub change: Change,
    forms: Mutex<Vec<(u64, Bytes)>>,
}

impl Event {
    pub(super) fn new(change: Change) -> Event {
        Event { change, forms: Mutex::new(Vec::new()) }
    }

    pub fn revision(&self) -> Revision {
        self.change.revision()
    }

    /// The encoding that `form` stands for, made by the first who asks. The caller chooses the numbers.
    pub fn form(&self, form: u64, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut forms = self.forms.lock();
        if let Some((_, bytes)) = forms.iter().find(|(other, _)| *other == form) {
            return bytes.clone();
        }
        let bytes = make();
        forms.push((form, bytes.clone()));
        bytes
    }

    /// Bytes that are in memory because of this event alone.
    fn weight(&self) -> usize {
        const HEADER: usize = 256;
        match &self.change {
            Change::Put { before, .. } => HEADER + before.as_ref().map_or(0, |object| object.json.len()),
            Change::Delete { object, before } => 2 * HEADER + object.json.len() + before.json.len(),
        }
    }
}

/// The newest events that keep their encodings.
const FRESH: usize = 128;

#[derive(Default)]
pub(super) struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Position of the first event kept.
    first: u64,
    bytes: usize,
    /// Watching from an earlier revision is [`super::Gone`].
    oldest: Revision,
}

impl Ring {
    pub(super) fn push(&mut self, event: Event, limits: &Limits) {
        self.bytes += event.weight();
        self.events.push_back(Arc::new(event));
        // Watchers that keep up have read this one; who comes late has it encoded again.
        if let Some(old) = self.events.len().checked_sub(FRESH).and_then(|at| self.events.get(at)) {
            old.forms.lock().clear();
        }
        while self.events.len() > limits.events
            || (self.bytes > limits.bytes && self.events.len() > limits.least)
        {
            let Some(event) = self.events.pop_front() else { break };
            self.bytes -= event.weight();
            self.first += 1;
            self.oldest = event.revision();
        }
    }

    /// Nothing before `revision` is known.
    pub(super) fn start_at(&mut self, revision: Revision) {
        self.oldest = self.oldest.max(revision);
    }

    pub(super) fn oldest(&self) -> Revision {
        self.oldest
    }

    /// The position after the last event.
    pub(super) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The position of the first event after `revision`; `None` if some of those are no longer kept.
    pub(super) fn position(&self, revision: Revision) -> Option<u64> {
        (revision >= self.oldest)
            .then(|| self.first + self.events.partition_point(|event| event.revision() <= revision) as u64)
    }

    /// At most `most` events from `position` on; `None` if it fell off.
    pub(super) fn read(&self, position: u64, most: usize) -> Option<Vec<Arc<Event>>> {
        let skip = usize::try_from(position.checked_sub(self.first)?).ok()?;
        Some(self.events.iter().skip(skip).take(most).cloned().collect())
    }

    /// The events after `revision`, newest first; the caller checked [`Ring::oldest`].
    pub(super) fn back_to(&self, revision: Revision) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter().rev().take_while(move |event| event.revision() > revision)
    }
}
