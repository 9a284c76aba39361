//! The one thread that writes. It takes all commands that wait, evaluates each compare-and-swap against the pending tip,
//! gives each write its own revision, commits them together, and only then, in order, publishes and answers (D5).
//!
//! Invariants: a failed commit fails its whole batch and shows nothing of it; a revision that was shown is on disk or
//! below the reserved block, so that it is never given again. This is the only place that may end the process, and it
//! does so only by a panic in SQLite's own code.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use api::{Key, Revision};
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::{self, Checkpoints};
use super::schema::State;
use super::{Command, Shared, engine, value};
use crate::watchers::Watchers;
use crate::{Batch, Durability, Error, Event, Expect, Record, Write};

/// Commands taken into one commit.
const BATCH: usize = 512;
/// Revisions reserved on disk at a time, so that writes that stay in memory need no commit of their own.
const BLOCK: u64 = 10_000;
/// Relaxed writes reach the disk at the latest after this.
const RELAXED: Duration = Duration::from_secs(55);
/// Rows looked at in one step of a compaction, so that writers wait a few milliseconds at the most.
const COMPACT_STEP: usize = 500;
/// Revisions after which half of the history goes, however young it is: it costs memory and disk.
const MOST_HISTORY: u64 = 100_000;
/// Expired keys are collected in steps of this many seconds, so that timers coalesce (D10).
const EXPIRE_STEP: i64 = 30;

type Answer = oneshot::Sender<Result<Revision, Error>>;

pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    watchers: Watchers,
    /// The last revision given.
    last: Revision,
    reserved: Revision,
    expiries: BinaryHeap<Reverse<(i64, Key, Revision)>>,
    /// When the oldest relaxed write must be on disk.
    flush_at: Option<Instant>,
    /// (when, revision) marks for compaction by age.
    marks: std::collections::VecDeque<(Instant, Revision)>,
    compact: Option<Compaction>,
    checkpoints: Checkpoints,
    max_pages: i64,
    /// Bytes of values that were committed since the last compaction began.
    written: u64,
}

thread_local! {
    /// Pages in the write-ahead log, as SQLite tells after each commit. Its file keeps its size over a checkpoint: to write
    /// over it needs no change of the file system's own records, and half the flushes.
    static WAL_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// A compaction under way: up to which revision, and how far the log was walked.
struct Compaction {
    to: Revision,
    at: Revision,
}

/// A write that was accepted into the batch but is not committed yet.
struct Pending {
    event: Event,
    expires: Option<i64>,
    durability: Durability,
    answer: Answer,
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

impl Writer {
    pub(super) fn new(connection: Connection, shared: Arc<Shared>, state: State) -> Result<Writer, Error> {
        let page: i64 = connection
            .pragma_query_value(None, "page_size", |row| row.get(0))
            .map_err(engine("read the page size"))?;
        let step = shared.options.checkpoint_pages;
        Ok(Writer {
            max_pages: (shared.options.limit as i64 / page).max(16),
            expiries: state.expiries.into_iter().map(Reverse).collect(),
            connection,
            shared,
            watchers: Watchers::default(),
            last: state.next,
            reserved: state.reserved,
            flush_at: None,
            marks: Default::default(),
            compact: None,
            checkpoints: Checkpoints::new(step),
            written: 0,
        })
    }

    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        self.connection.wal_hook(Some(|_, pages| {
            WAL_PAGES.set(pages);
            Ok(())
        }));
        // The thread sleeps in its own small runtime: it has a deadline only while something is due.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("because a runtime without I/O needs no resource that can be missing");
        let mut commands = Vec::with_capacity(BATCH);
        loop {
            let wait = self.due();
            let received = runtime.block_on(async {
                match wait {
                    None => queue.recv_many(&mut commands, BATCH).await,
                    Some(wait) if wait.is_zero() => {
                        while commands.len() < BATCH {
                            let Ok(command) = queue.try_recv() else { break };
                            commands.push(command);
                        }
                        usize::from(!queue.is_closed() || !commands.is_empty())
                    }
                    Some(wait) => {
                        tokio::time::timeout(wait, queue.recv_many(&mut commands, BATCH)).await.unwrap_or(1)
                    }
                }
            });
            if received == 0 {
                self.close();
                return;
            }
            let mut writes = Vec::new();
            for command in commands.drain(..) {
                match command {
                    Command::Write(write, answer) => writes.push((write, answer)),
                    Command::Watch { prefix, from, answer } => {
                        // A watch sees what was written before it in its backlog.
                        self.batch(std::mem::take(&mut writes));
                        let _caller_gone = answer.send(self.watch(prefix, from));
                    }
                    Command::Compact(to, answer) => {
                        self.batch(std::mem::take(&mut writes));
                        let _caller_gone = answer.send(self.compact_now(to));
                    }
                    Command::Close(answer) => {
                        self.batch(std::mem::take(&mut writes));
                        self.close();
                        drop(self);
                        let _caller_gone = answer.send(());
                        return;
                    }
                }
            }
            self.batch(writes);
            self.upkeep();
        }
    }

    /// How long nothing needs doing; `None`: until a command comes.
    fn due(&self) -> Option<Duration> {
        if self.compact.is_some() {
            return Some(Duration::ZERO);
        }
        let flush = self.flush_at.map(|at| at.saturating_duration_since(Instant::now()));
        let expire = self.expiries.peek().map(|Reverse((at, ..))| {
            let step = (at / EXPIRE_STEP + 1) * EXPIRE_STEP;
            Duration::from_secs((step - unix_now()).clamp(1, 3600) as u64)
        });
        flush.into_iter().chain(expire).min()
    }

    /// Evaluates, commits, publishes and answers some writes.
    fn batch(&mut self, writes: Vec<(Write, Answer)>) {
        if writes.is_empty() {
            return;
        }
        let first = self.last;
        let mut tip: HashMap<Key, (Revision, Option<bytes::Bytes>)> = HashMap::new();
        let mut pending = Vec::with_capacity(writes.len());
        let full = self.is_full();
        for (write, answer) in writes {
            match self.evaluate(&write, &tip, full) {
                Ok(()) => {
                    self.last.0 += 1;
                    tip.insert(write.key.clone(), (self.last, write.value.clone()));
                    let event = Event { key: write.key, revision: self.last, value: write.value };
                    let expires = write.ttl.map(|ttl| unix_now() + i64::from(ttl));
                    pending.push(Pending { event, expires, durability: write.durability, answer });
                }
                Err(error) => {
                    if let Error::Full(why) = &error {
                        *self.shared.trouble.lock() = Some(why.clone());
                    }
                    let _caller_gone = answer.send(Err(error));
                }
            }
        }
        if pending.is_empty() {
            return;
        }
        let durable = pending.iter().any(|write| write.durability == Durability::Durable);
        let commit = durable || self.last > self.reserved;
        if commit && let Err(error) = self.commit(&pending, None) {
            tracing::error!(error = %base::chain(&error), writes = pending.len(), "a commit failed");
            self.last = first;
            for write in pending {
                let _caller_gone = write.answer.send(Err(repeat(&error)));
            }
            return;
        }
        self.show(pending, commit);
    }

    /// The compare of compare-and-swap, against the batch so far, the overlay and the file.
    fn evaluate(
        &self,
        write: &Write,
        tip: &HashMap<Key, (Revision, Option<bytes::Bytes>)>,
        full: bool,
    ) -> Result<(), Error> {
        let (revision, there) = match tip.get(&write.key) {
            Some((revision, value)) => (*revision, value.is_some()),
            None => self.newest(&write.key),
        };
        let held = match write.expect {
            Expect::Absent => !there,
            Expect::At(expected) => there && expected == revision,
        };
        if !held {
            let value = match tip.get(&write.key) {
                Some((_, value)) => value.clone(),
                None if there => self.read(&write.key, revision)?,
                None => None,
            };
            let current = value.map(|value| Record { key: write.key.clone(), value, revision });
            return Err(Error::Conflict { key: write.key.clone(), current });
        }
        if full && write.value.is_some() {
            return Err(Error::Full(format!(
                "the database is at its limit of {} MiB; delete objects, or raise the limit",
                self.shared.options.limit >> 20
            )));
        }
        Ok(())
    }

    /// The newest revision of a key outside of the batch, and whether there is a value.
    fn newest(&self, key: &Key) -> (Revision, bool) {
        if let Some(event) = self.shared.overlay.lock().newest(key, Revision(u64::MAX)) {
            return (event.revision, event.value.is_some());
        }
        let row = self.shared.index.read().newest(key, Revision(u64::MAX));
        row.map_or((Revision(0), false), |row| (row.revision(), !row.is_deleted()))
    }

    /// The value that [`Writer::newest`] told of.
    fn read(&self, key: &Key, revision: Revision) -> Result<Option<bytes::Bytes>, Error> {
        if let Some(event) = self.shared.overlay.lock().newest(key, Revision(u64::MAX)) {
            return Ok(event.value);
        }
        let found = value(&self.connection, revision).map_err(engine("read an object"))?;
        Ok(found.map(Into::into))
    }

    fn is_full(&self) -> bool {
        let pages =
            |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or(0);
        pages("page_count") - pages("freelist_count") > self.max_pages
    }

    /// One transaction: the durable and relaxed writes of the batch, the relaxed ones before it, the reserved block.
    fn commit(&mut self, pending: &[Pending], reserve: Option<u64>) -> Result<(), Error> {
        let reserve = reserve.or_else(|| (self.last.0 + BLOCK / 20 > self.reserved.0).then_some(BLOCK));
        let reserved = reserve.map(|block| Revision(self.last.0 + block));
        let run = |writer: &mut Writer| -> rusqlite::Result<()> {
            let transaction = writer.connection.transaction()?;
            {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO log (revision, key, value, expires) VALUES (?1, ?2, ?3, ?4)",
                )?;
                let mut put = |event: &Event, expires: Option<i64>| {
                    let value = event.value.as_deref();
                    insert.execute(params![event.revision.0 as i64, event.key.as_str(), value, expires])
                };
                for (event, expires) in writer.shared.overlay.lock().relaxed() {
                    put(event, expires)?;
                }
                for write in pending.iter().filter(|write| write.durability != Durability::Volatile) {
                    put(&write.event, write.expires)?;
                }
                if let Some(reserved) = reserved {
                    transaction
                        .prepare_cached("INSERT OR REPLACE INTO meta VALUES ('reserved', ?1)")?
                        .execute([reserved.0 as i64])?;
                }
            }
            transaction.commit()
        };
        if let Err(error) = run(self).map_err(engine("commit")) {
            *self.shared.trouble.lock() = Some(base::chain(&error).to_string());
            return Err(error);
        }
        *self.shared.trouble.lock() = None;
        {
            let (mut index, overlay) = (self.shared.index.write(), self.shared.overlay.lock());
            let batch = pending.iter().filter(|write| write.durability != Durability::Volatile);
            let events = overlay.relaxed().map(|(event, _)| event).chain(batch.map(|write| &write.event));
            for event in events {
                index.insert(&event.key, event.revision, event.value.is_none());
                self.written += event.value.as_ref().map_or(0, |value| value.len() as u64);
            }
        }
        self.reserved = reserved.unwrap_or(self.reserved);
        self.flush_at = None;
        Ok(())
    }

    /// Makes a batch visible, in order: overlay, current revision, watchers, answers.
    fn show(&mut self, pending: Vec<Pending>, committed: bool) {
        let events: Vec<Event> = pending.iter().map(|write| write.event.clone()).collect();
        {
            let mut overlay = self.shared.overlay.lock();
            if committed {
                overlay.committed(&events);
            }
            for write in &pending {
                let volatile = write.durability == Durability::Volatile;
                if volatile || !committed {
                    overlay.add(write.event.clone(), write.expires, volatile);
                }
            }
            if overlay.has_relaxed() && self.flush_at.is_none() {
                self.flush_at = Some(Instant::now() + RELAXED);
            }
        }
        self.shared.current.store(self.last.0, Ordering::Release);
        self.watchers.publish(&events, self.last);
        for write in pending {
            if let (Some(expires), Some(_)) = (write.expires, &write.event.value) {
                self.expiries.push(Reverse((expires, write.event.key.clone(), write.event.revision)));
            }
            let _caller_gone = write.answer.send(Ok(write.event.revision));
        }
    }

    fn watch(&mut self, prefix: String, from: Revision) -> Result<mpsc::Receiver<Batch>, Error> {
        if from > self.last {
            return Err(Error::Future { asked: from, current: self.last });
        }
        let oldest = self.shared.compacted();
        if from < oldest {
            return Err(Error::Compacted { asked: from, oldest });
        }
        let read = |connection: &Connection| -> rusqlite::Result<Vec<Event>> {
            let mut statement = connection.prepare_cached(
                "SELECT revision, key, value FROM log WHERE revision > ?1 ORDER BY revision",
            )?;
            let mut rows = statement.query([from.0 as i64])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let key = row.get_ref(1)?.as_str()?;
                if !key.starts_with(&prefix) {
                    continue;
                }
                let Ok(key) = key.parse() else { continue };
                let value: Option<Vec<u8>> = row.get(2)?;
                let revision = Revision(row.get::<_, i64>(0)? as u64);
                events.push(Event { key, revision, value: value.map(Into::into) });
            }
            Ok(events)
        };
        let mut backlog = read(&self.connection).map_err(engine("read the history"))?;
        let overlay = self.shared.overlay.lock();
        backlog.extend(overlay.since(from).filter(|event| event.key.as_str().starts_with(&prefix)).cloned());
        drop(overlay);
        backlog.sort_by_key(|event| event.revision);
        Ok(self.watchers.add(prefix, backlog, self.last))
    }

    /// What is due between batches: expiry, the flush of relaxed writes, compaction, a checkpoint.
    fn upkeep(&mut self) {
        self.expire();
        if self.flush_at.is_some_and(|at| at <= Instant::now()) {
            self.flush();
        }
        self.mark();
        self.compact_step();
        if self.checkpoints.step(&self.shared, WAL_PAGES.get()) == checkpoint::Next::Finish
            && let Err(error) = checkpoint::passive(&self.connection)
        {
            tracing::warn!(%error, "a checkpoint failed; the next one tries again");
        }
    }

    /// Moves the whole write-ahead log into the database and gives its space back.
    fn truncate(&mut self) {
        self.checkpoints.join();
        let done =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        match done {
            Ok(0) => WAL_PAGES.set(0),
            // A reader stands in it; what could be moved was.
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a checkpoint failed; the next one tries again"),
        }
    }

    /// Writes the relaxed writes to disk.
    fn flush(&mut self) {
        match self.commit(&[], None) {
            Ok(()) => self.shared.overlay.lock().committed(&[]),
            Err(error) => {
                tracing::warn!(error = %base::chain(&error), "relaxed writes could not be flushed");
                self.flush_at = Some(Instant::now() + RELAXED);
            }
        }
    }

    /// Deletes what is past its time, as writes of their own.
    fn expire(&mut self) {
        let now = unix_now();
        let mut gone = Vec::new();
        while let Some(Reverse((at, ..))) = self.expiries.peek() {
            if *at > now || gone.len() == BATCH {
                break;
            }
            let Some(Reverse((_, key, revision))) = self.expiries.pop() else { break };
            let (answer, _) = oneshot::channel();
            let expect = Expect::At(revision);
            let durability = Durability::Relaxed;
            gone.push((Write { key, expect, value: None, durability, ttl: None }, answer));
        }
        self.batch(gone);
    }

    /// Remembers how far the store was at what time, and starts a compaction of what is both old and far behind.
    fn mark(&mut self) {
        let now = Instant::now();
        let step = self.shared.options.history / 10;
        if self.marks.back().is_none_or(|(at, revision)| *revision < self.last && now - *at >= step) {
            self.marks.push_back((now, self.last));
        }
        let mut to = None;
        while let Some((at, revision)) = self.marks.front().copied() {
            let old = now - at >= self.shared.options.history;
            if !old || revision.0 + self.shared.options.history_revisions > self.last.0 {
                break;
            }
            to = Some(revision);
            self.marks.pop_front();
        }
        if let Some(to) = to.or(self.too_much()).filter(|_| self.compact.is_none())
            && let Err(error) = self.begin_compaction(to)
        {
            tracing::warn!(error = %base::chain(&error), "a compaction could not start");
        }
    }

    /// What to compact when much was written in a short time: half of the history.
    fn too_much(&self) -> Option<Revision> {
        let kept = self.last.0 - self.shared.compacted().0.min(self.last.0);
        let crowded = kept > MOST_HISTORY || self.written > self.shared.options.limit / 8;
        crowded.then(|| Revision(self.last.0 - kept / 2))
    }

    fn begin_compaction(&mut self, to: Revision) -> Result<(), Error> {
        let at = self.shared.compacted();
        if to <= at {
            return Ok(());
        }
        if to > self.last {
            return Err(Error::Future { asked: to, current: self.last });
        }
        // Watches and reads below are refused before the first row goes.
        self.connection
            .execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?1)", [to.0 as i64])
            .map_err(engine("compact"))?;
        self.shared.compacted.store(to.0, Ordering::Release);
        self.written = 0;
        // Rows below the last compaction may be superseded by rows above it: walk from the start.
        self.compact = Some(Compaction { to, at: Revision(0) });
        Ok(())
    }

    fn compact_now(&mut self, to: Revision) -> Result<(), Error> {
        self.flush();
        self.begin_compaction(to)?;
        while self.compact.is_some() {
            self.compact_step();
        }
        self.truncate();
        Ok(())
    }

    /// One bounded step of a compaction: removes rows that a later row, at or before the goal, supersedes, and deletions. It
    /// is not flushed by itself: what a cut brings back goes with the next compaction.
    fn compact_step(&mut self) {
        let Some(Compaction { to, at }) = self.compact else { return };
        let shared = self.shared.clone();
        let step = |connection: &mut Connection| -> rusqlite::Result<Option<Revision>> {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            let transaction = connection.transaction()?;
            let (mut end, mut past) = (None, Vec::new());
            {
                let mut statement = transaction.prepare_cached(
                    "SELECT revision, key FROM log WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3",
                )?;
                let mut rows = statement.query(params![at.0 as i64, to.0 as i64, COMPACT_STEP as i64])?;
                let index = shared.index.read();
                while let Some(row) = rows.next()? {
                    let revision = Revision(row.get::<_, i64>(0)? as u64);
                    end = Some(revision);
                    let Ok(key) = row.get_ref(1)?.as_str()?.parse::<Key>() else { continue };
                    if index.is_past(&key, revision, to) {
                        past.push((key, revision));
                    }
                }
                let mut delete = transaction.prepare_cached("DELETE FROM log WHERE revision = ?1")?;
                for (_, revision) in &past {
                    delete.execute([revision.0 as i64])?;
                }
            }
            transaction.commit()?;
            let mut index = shared.index.write();
            past.iter().for_each(|(key, revision)| index.remove(key, *revision));
            Ok(end)
        };
        let stepped = step(&mut self.connection);
        self.compact = match stepped {
            Ok(Some(at)) => Some(Compaction { to, at }),
            Ok(None) => {
                // Give freed pages back to the disk.
                if let Err(error) = vacuum(&self.connection) {
                    tracing::warn!(%error, "the database could not be shrunk");
                }
                None
            }
            Err(error) => {
                tracing::warn!(%error, "a compaction stopped; the next one goes over its rows again");
                None
            }
        };
        // Cannot fail outside of a transaction; were it to, the next commit must not be answered unflushed.
        self.connection
            .pragma_update(None, "synchronous", "FULL")
            .expect("because the setting needs neither memory nor disk");
    }

    fn close(&mut self) {
        // A clean stop gives back what was reserved and not used, so that revisions stay dense.
        if self.shared.overlay.lock().has_relaxed() || self.reserved > self.last {
            match self.commit(&[], Some(0)) {
                Ok(()) => self.shared.overlay.lock().committed(&[]),
                Err(error) => tracing::warn!(error = %base::chain(&error), "the last flush failed"),
            }
        }
        self.truncate();
    }
}

/// One page is freed a step: the statement must be read to its end.
fn vacuum(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// The same failure again, for each write of a failed batch.
fn repeat(error: &Error) -> Error {
    match error {
        Error::Full(text) => Error::Full(text.clone()),
        Error::Unusable(text) => Error::Unusable(text.clone()),
        other => Error::Engine { operation: "commit", source: base::chain(other).to_string().into() },
    }
}
