//! Pods that wait: those to look at now, those in back-off, and those for whom something must happen first.
//!
//! Important pods first, then the oldest. A rejected pod is woken only by what may help it, and then waits out its
//! back-off; nothing here runs by the clock while nothing is in back-off (D10).

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::Key;
use tokio::time::Instant;

use crate::cluster::Happened;
use crate::filter::Plugin;
use crate::pod::Pod;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

struct Entry {
    pod: Arc<Pod>,
    attempts: u32,
    /// Not before.
    until: Option<Instant>,
    stage: Stage,
    plugins: Vec<Plugin>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Active,
    BackOff,
    Rejected,
    /// Taken out to be decided on or bound.
    Taken,
}

type Order = (Reverse<i32>, Option<jiff::Timestamp>, Key);

fn order(pod: &Pod) -> Order {
    (Reverse(pod.priority), pod.created, pod.key.clone())
}

/// See the module.
#[derive(Default)]
pub struct Queue {
    entries: HashMap<Key, Entry>,
    active: BTreeSet<Order>,
    back_off: BTreeSet<(Instant, Key)>,
}

impl Queue {
    /// A pod came or changed. One that was rejected is looked at again only if what it asks for changed.
    pub fn put(&mut self, pod: Arc<Pod>) {
        if pod.gated {
            self.remove(&pod.key);
            return;
        }
        let key = pod.key.clone();
        match self.entries.get_mut(&key) {
            Some(entry) if entry.pod.uid == pod.uid => {
                let same = entry.pod.generation == pod.generation && entry.pod.labels == pod.labels;
                let (old, stage) = (order(&entry.pod), entry.stage);
                entry.pod = pod;
                if stage == Stage::Active && self.active.remove(&old) {
                    self.active.insert(order(&self.entries[&key].pod));
                } else if stage == Stage::Rejected && !same {
                    self.wake(&key);
                }
            }
            _ => {
                self.remove(&key);
                self.active.insert(order(&pod));
                let entry =
                    Entry { pod, attempts: 0, until: None, stage: Stage::Active, plugins: Vec::new() };
                self.entries.insert(key, entry);
            }
        }
    }

    pub fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.active.remove(&order(&entry.pod));
            if let Some(until) = entry.until {
                self.back_off.remove(&(until, key.clone()));
            }
        }
    }

    /// The next pod to decide on.
    pub fn pop(&mut self) -> Option<Arc<Pod>> {
        let now = Instant::now();
        while let Some((until, _)) = self.back_off.first()
            && *until <= now
        {
            if let Some((_, key)) = self.back_off.pop_first() {
                self.activate(&key);
            }
        }
        let (_, _, key) = self.active.pop_first()?;
        let entry = self.entries.get_mut(&key)?;
        entry.stage = Stage::Taken;
        entry.attempts += 1;
        entry.until = None;
        Some(entry.pod.clone())
    }

    /// When to call [`Queue::pop`] again if nothing happens before.
    pub fn next_time(&self) -> Option<Instant> {
        self.back_off.first().map(|(until, _)| *until)
    }

    /// The pod fits nowhere; it waits for what may help `plugins`.
    pub fn reject(&mut self, key: &Key, plugins: Vec<Plugin>) {
        if let Some(entry) = self.entries.get_mut(key) {
            let delay = FIRST.saturating_mul(1 << (entry.attempts.max(1) - 1).min(8)).min(LONGEST);
            entry.until = Some(Instant::now() + delay);
            entry.stage = Stage::Rejected;
            entry.plugins = plugins;
        }
    }

    /// The decision could not be carried out; again after the back-off.
    pub fn retry(&mut self, key: &Key) {
        self.reject(key, Vec::new());
        self.wake(key);
    }

    /// Wakes those whom it may help.
    pub fn happened(&mut self, what: Happened) {
        let helped = self.entries.iter().filter(|(_, entry)| {
            entry.stage == Stage::Rejected && entry.plugins.iter().any(|plugin| plugin.helped_by(what))
        });
        let keys: Vec<Key> = helped.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.wake(key));
    }

    fn wake(&mut self, key: &Key) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match entry.until {
            Some(until) if until > Instant::now() => {
                entry.stage = Stage::BackOff;
                self.back_off.insert((until, key.clone()));
            }
            _ => self.activate(key),
        }
    }

    fn activate(&mut self, key: &Key) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.stage = Stage::Active;
            entry.until = None;
            self.active.insert(order(&entry.pod));
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
