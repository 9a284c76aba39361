//! The work queue: each key is waiting once, worked on by one worker at a time, and comes back if it was added meanwhile.
//!
//! Failures back a key off exponentially with jitter; delayed adds of one key coalesce to the earliest. While nothing
//! is delayed there is no timer (D10).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Key;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Delay after the first failure, doubled with each; upstream's default rate limiter starts there too.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    wake: Notify,
    adds: AtomicU64,
    retries: AtomicU64,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    keys: HashMap<Key, Stage>,
    delayed: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Working,
    /// Added while worked on.
    Again,
}

impl State {
    fn add(&mut self, key: Key) -> bool {
        match self.keys.get_mut(&key) {
            Some(Stage::Waiting | Stage::Again) => false,
            Some(stage) => {
                *stage = Stage::Again;
                false
            }
            None => {
                self.keys.insert(key.clone(), Stage::Waiting);
                self.ready.push_back(key);
                true
            }
        }
    }

    /// Moves what is due to the ready ones; gives the next time to look.
    fn ripen(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, _)) = self.delayed.first() {
            if *at > now {
                return Some(*at);
            }
            if let Some((_, key)) = self.delayed.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
        None
    }
}

impl Queue {
    pub fn new() -> Queue {
        Queue::default()
    }

    /// Asks for work on `key`, now.
    pub fn add(&self, key: Key) {
        self.adds.fetch_add(1, Ordering::Relaxed);
        if self.state.lock().add(key) {
            self.wake.notify_one();
        }
    }

    /// Asks for work on `key` after `delay`, or earlier if that was asked for already.
    pub fn add_after(&self, key: Key, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + delay;
        let mut state = self.state.lock();
        match state.due.get(&key).copied() {
            Some(due) if due <= at => return,
            Some(due) => drop(state.delayed.remove(&(due, key.clone()))),
            None => {}
        }
        state.due.insert(key.clone(), at);
        state.delayed.insert((at, key));
        drop(state);
        self.wake.notify_one();
    }

    /// The work on `key` failed: asks for it again after its back-off, which is given back.
    pub fn retry(&self, key: Key) -> Duration {
        self.retries.fetch_add(1, Ordering::Relaxed);
        let failures = {
            let mut state = self.state.lock();
            let failures = state.failures.entry(key.clone()).or_default();
            *failures += 1;
            *failures
        };
        let whole = FIRST.saturating_mul(1 << (failures - 1).min(20)).min(LONGEST);
        // Three quarters to five quarters, so that keys that fail together do not come back together.
        let delay = whole.mul_f64(rand::random_range(0.75..1.25));
        self.add_after(key, delay);
        delay
    }

    /// The work on `key` went well: its next failure is its first.
    pub fn forget(&self, key: &Key) {
        self.state.lock().failures.remove(key);
    }

    /// The next key to work on; the caller says [`Queue::done`] after. Cancel-safe.
    pub async fn next(&self) -> Key {
        loop {
            let due = {
                let mut state = self.state.lock();
                let due = state.ripen(Instant::now());
                if let Some(key) = state.ready.pop_front() {
                    state.keys.insert(key.clone(), Stage::Working);
                    if !state.ready.is_empty() {
                        self.wake.notify_one();
                    }
                    return key;
                }
                due
            };
            match due {
                None => self.wake.notified().await,
                Some(due) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
            }
        }
    }

    /// The work on `key` ended; if it was added meanwhile it waits again.
    pub fn done(&self, key: &Key) {
        let mut state = self.state.lock();
        if state.keys.remove(key) == Some(Stage::Again) && state.add(key.clone()) {
            self.wake.notify_one();
        }
    }

    /// Keys that wait, now or for their time.
    pub fn len(&self) -> usize {
        let state = self.state.lock();
        state.ready.len() + state.delayed.len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// How often a key was added, and how often one came back after a failure: for metrics.
    pub fn counts(&self) -> (u64, u64) {
        (self.adds.load(Ordering::Relaxed), self.retries.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn key(name: &str) -> Key {
        format!("core/pods/ns/{name}").parse().unwrap()
    }

    fn now(queue: &Queue) -> Option<String> {
        queue.next().now_or_never().map(|key| key.name().to_string())
    }

    #[tokio::test]
    async fn a_key_waits_once_and_is_worked_on_once() {
        let queue = Queue::new();
        for name in ["a", "b", "a"] {
            queue.add(key(name));
        }
        assert_eq!(now(&queue).as_deref(), Some("a"));
        queue.add(key("a"));
        assert_eq!(now(&queue).as_deref(), Some("b"));
        assert_eq!(now(&queue), None, "a is being worked on");
        queue.done(&key("a"));
        assert_eq!(now(&queue).as_deref(), Some("a"));
        queue.done(&key("a"));
        queue.done(&key("b"));
        assert_eq!(now(&queue), None);
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_adds_coalesce_to_the_earliest() {
        let queue = Queue::new();
        let start = Instant::now();
        queue.add_after(key("a"), Duration::from_secs(10));
        queue.add_after(key("a"), Duration::from_secs(2));
        queue.add_after(key("a"), Duration::from_secs(5));
        queue.add_after(key("b"), Duration::from_secs(3));
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed().as_secs(), 2);
        assert_eq!(queue.next().await, key("b"));
        assert_eq!(start.elapsed().as_secs(), 3);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_success_forgets() {
        let queue = Queue::new();
        let delays: Vec<_> = (0..20).map(|_| queue.retry(key("a"))).collect();
        assert!(delays[0] < Duration::from_millis(7) && delays[3] > Duration::from_millis(29));
        assert!(delays.iter().all(|delay| *delay <= LONGEST.mul_f64(1.25)));
        queue.forget(&key("a"));
        assert!(queue.retry(key("a")) < Duration::from_millis(7));
    }
}
