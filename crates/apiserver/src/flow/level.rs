//! One priority level: its seats, and the fair queues of those who wait for one.
//!
//! A flow is dealt a hand of queues and waits in the shortest of them (shuffle sharding), so that one that floods fills
//! its own few queues; seats go to the queues in turn. Idle seats that others may lend are used too. A seat comes back
//! when it is dropped, also when the request's task ended while the seat was on its way to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// What a PriorityLevelConfiguration says, with shares made into seats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Nobody waits, and nothing is counted against others.
    pub exempt: bool,
    pub seats: usize,
    /// Of `seats`, those that others may use while they are idle.
    pub lendable: usize,
    /// Seats of others that may be used at most.
    pub borrowing: usize,
    /// 0: who finds no seat is sent away.
    pub queues: usize,
    pub hand: usize,
    pub queue_length: usize,
}

/// See the module.
pub(super) struct Level {
    pub name: String,
    state: Mutex<State>,
    /// The same as in `state`, for who lends.
    in_use: AtomicUsize,
}

#[derive(Default)]
struct State {
    limits: Limits,
    queues: Vec<VecDeque<oneshot::Sender<Seat>>>,
    waiting: usize,
    /// The queue whose turn it is.
    turn: usize,
    /// All levels but this one.
    lenders: Vec<Arc<Level>>,
}

/// A request's right to run.
pub(crate) struct Seat(Option<Arc<Level>>);

/// Why there is no seat, by the reason of upstream's metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    QueueFull,
    NoQueue,
    TimedOut,
}

impl Refused {
    pub fn reason(self) -> &'static str {
        match self {
            Refused::QueueFull => "queue-full",
            Refused::NoQueue => "concurrency-limit",
            Refused::TimedOut => "time-out",
        }
    }
}

/// For `/metrics`.
pub(super) struct Now {
    pub limits: Limits,
    pub in_use: usize,
    pub waiting: usize,
}

impl Level {
    pub fn new(name: &str) -> Arc<Level> {
        Arc::new(Level { name: name.into(), state: Mutex::default(), in_use: AtomicUsize::new(0) })
    }

    /// Takes over new limits; who waits goes on waiting.
    pub fn set(&self, limits: Limits, lenders: Vec<Arc<Level>>) {
        let mut state = self.state.lock();
        let waiting: Vec<_> = state.queues.drain(..).flatten().collect();
        state.queues.resize_with(limits.queues, VecDeque::new);
        let queues = state.queues.len();
        for (at, sender) in waiting.into_iter().enumerate() {
            if queues > 0 {
                state.queues[at % queues].push_back(sender);
            }
        }
        state.waiting = state.queues.iter().map(VecDeque::len).sum();
        (state.limits, state.lenders) = (limits, lenders);
    }

    /// Forgets the other levels, so that those that are no more are freed.
    pub fn retire(&self) {
        self.state.lock().lenders.clear();
    }

    pub fn now(&self) -> Now {
        let state = self.state.lock();
        Now {
            limits: state.limits.clone(),
            in_use: self.in_use.load(Ordering::Relaxed),
            waiting: state.waiting,
        }
    }

    /// A seat, at once or after waiting in the queue that `flow` is dealt, at most for `patience`.
    pub async fn enter(self: &Arc<Self>, flow: u64, patience: Duration) -> Result<Seat, Refused> {
        let waiting = {
            let mut state = self.state.lock();
            if state.limits.exempt {
                self.in_use.fetch_add(1, Ordering::Relaxed);
                return Ok(Seat(Some(self.clone())));
            }
            if state.waiting == 0 && self.has_room(&state) {
                return Ok(self.seat());
            }
            self.queue(&mut state, flow)?
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(Ok(seat)) => Ok(seat),
            // The level's queues were taken away under it.
            Ok(Err(_)) => Err(Refused::NoQueue),
            Err(_) => Err(Refused::TimedOut),
        }
    }

    fn seat(self: &Arc<Self>) -> Seat {
        self.in_use.fetch_add(1, Ordering::Relaxed);
        Seat(Some(self.clone()))
    }

    fn has_room(&self, state: &State) -> bool {
        let in_use = self.in_use.load(Ordering::Relaxed);
        if in_use < state.limits.seats {
            return true;
        }
        let borrowed = in_use - state.limits.seats;
        borrowed < state.limits.borrowing
            && borrowed < state.lenders.iter().map(|lender| lender.idle()).sum::<usize>()
    }

    /// Seats that others may use now. Not exact while others change it: a seat more or less for a moment is no harm.
    fn idle(&self) -> usize {
        let Some(state) = self.state.try_lock() else { return 0 };
        let free = state.limits.seats.saturating_sub(self.in_use.load(Ordering::Relaxed));
        free.min(state.limits.lendable)
    }

    fn queue(&self, state: &mut State, flow: u64) -> Result<oneshot::Receiver<Seat>, Refused> {
        let count = state.queues.len();
        if count == 0 {
            return Err(Refused::NoQueue);
        }
        let shortest = hand(flow, count, state.limits.hand).min_by_key(|at| state.queues[*at].len());
        let at = shortest.ok_or(Refused::NoQueue)?;
        if state.queues[at].len() >= state.limits.queue_length {
            // Those who gave up still stand in it.
            let before = state.queues[at].len();
            state.queues[at].retain(|sender| !sender.is_closed());
            state.waiting -= before - state.queues[at].len();
            if state.queues[at].len() >= state.limits.queue_length {
                return Err(Refused::QueueFull);
            }
        }
        let (sender, receiver) = oneshot::channel();
        state.queues[at].push_back(sender);
        state.waiting += 1;
        Ok(receiver)
    }

    /// A seat is free: to the next who waits.
    fn leave(self: &Arc<Self>) {
        let mut state = self.state.lock();
        self.in_use.fetch_sub(1, Ordering::Relaxed);
        while state.waiting > 0 && self.has_room(&state) {
            let count = state.queues.len();
            let Some(at) =
                (0..count).map(|step| (state.turn + step) % count).find(|at| !state.queues[*at].is_empty())
            else {
                break;
            };
            state.turn = (at + 1) % count;
            state.waiting -= 1;
            let Some(sender) = state.queues[at].pop_front() else { break };
            if let Err(mut seat) = sender.send(self.seat()) {
                // Nobody waits for it any more; its drop must not find the lock held.
                self.in_use.fetch_sub(1, Ordering::Relaxed);
                seat.0 = None;
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(level) = self.0.take() {
            level.leave();
        }
    }
}

/// Different queues for a flow, the same ones every time.
fn hand(flow: u64, queues: usize, size: usize) -> impl Iterator<Item = usize> {
    let mut dealt: Vec<usize> = Vec::with_capacity(size);
    let mut entropy = flow;
    for card in 0..size.clamp(1, queues) {
        let left = (queues - card) as u64;
        let mut at = (entropy % left) as usize;
        entropy /= left;
        // Count over what was dealt before.
        dealt.sort_unstable();
        for taken in &dealt {
            at += usize::from(*taken <= at);
        }
        dealt.push(at);
    }
    dealt.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn level(seats: usize, queues: usize, queue_length: usize) -> Arc<Level> {
        let level = Level::new("a");
        level.set(Limits { seats, queues, hand: 1, queue_length, ..Limits::default() }, Vec::new());
        level
    }

    #[test]
    fn hands_hold_different_queues() {
        for flow in [0, 1, u64::MAX, 0x9e37_79b9_7f4a_7c15] {
            for (queues, size) in [(1, 1), (8, 8), (64, 6), (3, 9)] {
                let mut all: Vec<usize> = hand(flow, queues, size).collect();
                all.sort_unstable();
                all.dedup();
                assert_eq!(all.len(), size.min(queues));
                assert!(all.iter().all(|at| *at < queues));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_does_not_starve_another_flow() {
        let level = level(1, 2, 50);
        let running = level.enter(0, LONG).await.ok().unwrap();
        // Ten of flow 0 wait, then one of flow 1.
        let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(level.enter(0, LONG))).collect();
        for one in &mut waiting {
            assert!(futures_util::poll!(one.as_mut()).is_pending());
        }
        let mut other = Box::pin(level.enter(1, LONG));
        assert!(futures_util::poll!(other.as_mut()).is_pending());
        assert_eq!(level.now().waiting, 11);
        drop(running);
        let first = waiting.remove(0).await.ok().unwrap();
        drop(first);
        // The second seat is flow 1's, though nine of flow 0 came before it.
        assert!(futures_util::poll!(waiting[0].as_mut()).is_pending());
        let other = other.await.ok().unwrap();
        assert_eq!(level.now().in_use, 1);
        drop(waiting);
        drop(other);
        assert_eq!(level.now().in_use, 0);
        assert!(level.enter(5, LONG).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_is_refused() {
        let full = level(1, 1, 1);
        let _running = full.enter(0, LONG).await.ok().unwrap();
        let mut waiting = Box::pin(full.enter(0, LONG));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert_eq!(full.enter(0, LONG).await.err(), Some(Refused::QueueFull));
        // Who gave up makes room.
        drop(waiting);
        assert_eq!(full.enter(0, Duration::from_secs(1)).await.err(), Some(Refused::TimedOut));
        let none = level(1, 0, 0);
        let _running = none.enter(0, LONG).await.ok().unwrap();
        assert_eq!(none.enter(0, LONG).await.err(), Some(Refused::NoQueue));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_seats_are_lent() {
        let (lender, borrower) = (level(4, 1, 1), Level::new("b"));
        lender.set(
            Limits { seats: 4, lendable: 2, queues: 1, hand: 1, queue_length: 1, ..Limits::default() },
            Vec::new(),
        );
        let limits =
            Limits { seats: 1, borrowing: 9, queues: 1, hand: 1, queue_length: 1, ..Limits::default() };
        borrower.set(limits, vec![lender.clone()]);
        let mut seats = Vec::new();
        for _ in 0..3 {
            seats.push(borrower.enter(0, LONG).await.ok().unwrap());
        }
        assert_eq!(borrower.enter(0, Duration::from_secs(1)).await.err(), Some(Refused::TimedOut));
        // The lender still has all of its own.
        for _ in 0..4 {
            seats.push(lender.enter(0, LONG).await.ok().unwrap());
        }
    }
}
