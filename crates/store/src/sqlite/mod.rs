//! The embedded engine: one SQLite file in WAL mode, one writer thread that commits many writes at once (D5).
//!
//! Every write is a row of `log`, keyed by its revision and appended; the newest row of a key is its value, a row without a
//! value a deletion. Which rows a key has is in memory ([`index::Index`]). Writes that need not be durable live in
//! [`overlay::Overlay`] until a durable one takes them along. Reads go to a small pool of read-only connections and lay the
//! overlay over what they find.

mod checkpoint;
mod copy;
mod index;
mod overlay;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::{Key, Revision};
use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::{mpsc, oneshot};

use crate::{Batch, Error, Event, Page, Record, Store, Write};
pub use copy::{begin_after, copy, restored};
use index::Index;
use overlay::Overlay;

/// How an engine is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The store refuses creates and updates past this many bytes; deletes still work. Default 2 GiB.
    pub limit: u64,
    /// How long, and how many revisions, of history a watch may resume from at the least; less
    /// when 100,000 revisions or an eighth of the limit were written in that time.
    pub history: Duration,
    pub history_revisions: u64,
    /// Writes that may wait for the writer; more callers wait in line.
    pub queue: usize,
    /// Pages of 4 KiB that the write-ahead log grows by between checkpoints.
    pub checkpoint_pages: i32,
    /// A registered SQLite VFS, for tests that cut the power.
    pub vfs: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            limit: 2 << 30,
            history: Duration::from_secs(300),
            history_revisions: 2_000,
            queue: 1024,
            checkpoint_pages: 2048,
            vfs: None,
        }
    }
}

/// See the module.
pub struct Sqlite {
    shared: Arc<Shared>,
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

/// What readers and the writer share.
struct Shared {
    path: PathBuf,
    options: Options,
    /// Newest revision that was published.
    current: AtomicU64,
    /// Newest revision that was compacted away.
    compacted: AtomicU64,
    epoch: Revision,
    /// Changed by the writer before `current` is.
    index: RwLock<Index>,
    overlay: Mutex<Overlay>,
    /// Idle read connections.
    readers: Mutex<Vec<Connection>>,
    /// What the last commit failed with, until one succeeds.
    trouble: Mutex<Option<String>>,
    /// Held for as long as the engine is open: one process a database.
    _lock: std::fs::File,
}

enum Command {
    Write(Write, oneshot::Sender<Result<Revision, Error>>),
    Watch { prefix: String, from: Revision, answer: oneshot::Sender<Result<mpsc::Receiver<Batch>, Error>> },
    Compact(Revision, oneshot::Sender<Result<(), Error>>),
    Close(oneshot::Sender<()>),
}

/// Idle read connections that are kept open.
const READERS: usize = 2;

fn engine(operation: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| {
        use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
        match source.sqlite_error_code() {
            Some(DiskFull) => Error::Full(format!("no space left on the disk while trying to {operation}")),
            Some(DatabaseCorrupt | NotADatabase) => Error::Unusable(format!(
                "the database is damaged ({source}, while trying to {operation}); move it away and restore a \
                 backup, or start with an empty one"
            )),
            _ => Error::Engine { operation, source: source.into() },
        }
    }
}

impl Sqlite {
    /// Opens or makes the database at `path`; its folder is made too. Blocks for a moment.
    ///
    /// # Errors
    /// [`Error::Unusable`] when another process has it, when it is damaged, no skiff database, or of a newer version.
    pub fn open(path: &Path, options: Options) -> Result<Sqlite, Error> {
        let lock = schema::lock(path)?;
        let connection = schema::connect(path, &options)?;
        let mut state = schema::load(&connection).map_err(engine("read the store's state"))?;
        let shared = Arc::new(Shared {
            path: path.into(),
            options,
            current: AtomicU64::new(state.next.0),
            compacted: AtomicU64::new(state.compacted.0),
            epoch: state.next,
            index: RwLock::new(std::mem::take(&mut state.index)),
            overlay: Mutex::default(),
            readers: Mutex::default(),
            trouble: Mutex::default(),
            _lock: lock,
        });
        let (commands, queue) = mpsc::channel(shared.options.queue);
        let writer = writer::Writer::new(connection, shared.clone(), state)?;
        let thread = std::thread::Builder::new()
            .name("skiff-store".into())
            .spawn(move || writer.run(queue))
            .map_err(|source| Error::Engine { operation: "start the writer", source: source.into() })?;
        Ok(Sqlite { shared, commands: Mutex::new(Some(commands)), thread: Mutex::new(Some(thread)) })
    }

    fn commands(&self) -> Result<mpsc::Sender<Command>, Error> {
        self.commands.lock().clone().ok_or(Error::Closed)
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        self.commands()?.send(make(sender)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)
    }

    /// Runs a read on a connection of the pool, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection, &Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if self.commands.lock().is_none() {
            return Err(Error::Closed);
        }
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            let pooled = shared.readers.lock().pop();
            let connection = match pooled {
                Some(connection) => connection,
                None => shared.reader().map_err(engine(operation))?,
            };
            let result = read(&connection, &shared);
            let mut readers = shared.readers.lock();
            if readers.len() < READERS {
                readers.push(connection);
            }
            result
        });
        done.await.map_err(|source| Error::Engine { operation, source: source.into() })?
    }
}

/// Without [`Store::close`] the writer still ends in order: the lock is free when this returns.
impl Drop for Sqlite {
    fn drop(&mut self) {
        self.commands.lock().take();
        if let Some(thread) = self.thread.lock().take() {
            let _panicked = thread.join();
        }
    }
}

impl Shared {
    fn reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.options.vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(&self.path, flags, vfs.as_str())?,
            None => Connection::open_with_flags(&self.path, flags)?,
        };
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "cache_size", -512)?;
        Ok(connection)
    }

    fn current(&self) -> Revision {
        Revision(self.current.load(Ordering::Acquire))
    }

    fn compacted(&self) -> Revision {
        Revision(self.compacted.load(Ordering::Acquire))
    }

    /// Reads at a revision, or at the newest, again if a compaction overtook a read of the newest.
    fn read_at<T>(
        &self,
        asked: Option<Revision>,
        mut read: impl FnMut(Revision) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let at = self.at(asked)?;
            let result = read(at)?;
            let oldest = self.compacted();
            if at >= oldest {
                return Ok(result);
            }
            if let Some(asked) = asked {
                return Err(Error::Compacted { asked, oldest });
            }
        }
    }

    /// The revision to read at, checked against what is kept.
    fn at(&self, asked: Option<Revision>) -> Result<Revision, Error> {
        let current = self.current();
        let Some(asked) = asked else { return Ok(current) };
        if asked > current {
            return Err(Error::Future { asked, current });
        }
        let oldest = self.compacted();
        if asked < oldest {
            return Err(Error::Compacted { asked, oldest });
        }
        Ok(asked)
    }
}

/// The value of a row; `None`: a compaction has just removed it.
fn value(connection: &Connection, revision: Revision) -> rusqlite::Result<Option<Vec<u8>>> {
    let value = connection
        .prepare_cached("SELECT value FROM log WHERE revision = ?1")?
        .query_row([revision.0 as i64], |row| row.get::<_, Option<Vec<u8>>>(0))
        .optional()?;
    Ok(value.flatten())
}

/// One page at a revision: the rows of the file with the overlay laid over them, in order of the key.
fn range(
    connection: &Connection,
    shared: &Shared,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    at: Revision,
) -> Result<Page, Error> {
    let after = after.filter(|after| *after >= prefix);
    // Taken before the rows are read: a row that leaves the overlay meanwhile has become durable.
    let mut over = shared.overlay.lock().range(prefix, after, at);
    let mut records = Vec::new();
    let most = if limit == 0 { usize::MAX } else { limit + 1 };
    // Each write in memory may take one row away.
    let rows = shared.index.read().range(prefix, after, at, most.saturating_add(over.len()));
    for (key, revision) in rows {
        while over.first_key_value().is_some_and(|(first, _)| *first < key) {
            records.extend(over.pop_first().and_then(|(_, event)| event.record()));
        }
        match over.remove(&key) {
            Some(event) => records.extend(event.record()),
            None => {
                let found = value(connection, revision).map_err(engine("list objects"))?;
                records.extend(found.map(|value| Record { key, revision, value: value.into() }));
            }
        }
        if records.len() >= most {
            break;
        }
    }
    records.extend(over.into_values().filter_map(|event| event.record()));
    let more = records.len() >= most;
    if more {
        records.truncate(limit);
    }
    Ok(Page { records, revision: at, more })
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &Key, at: Option<Revision>) -> Result<Option<Record>, Error> {
        let key = key.clone();
        self.read("read an object", move |connection, shared| {
            shared.read_at(at, |at| {
                if let Some(event) = shared.overlay.lock().newest(&key, at) {
                    return Ok(event.record());
                }
                let row = shared.index.read().newest(&key, at);
                let Some(row) = row.filter(|row| !row.is_deleted()) else { return Ok(None) };
                let found = value(connection, row.revision()).map_err(engine("read an object"))?;
                Ok(found.map(|value| Record {
                    key: key.clone(),
                    value: value.into(),
                    revision: row.revision(),
                }))
            })
        })
        .await
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read("list objects", move |connection, shared| {
            shared.read_at(at, |at| range(connection, shared, &prefix, after.as_deref(), limit, at))
        })
        .await
    }

    async fn write(&self, write: Write) -> Result<Revision, Error> {
        self.ask(|answer| Command::Write(write, answer)).await?
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<mpsc::Receiver<Batch>, Error> {
        let prefix = prefix.to_owned();
        self.ask(|answer| Command::Watch { prefix, from, answer }).await?
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.ask(|answer| Command::Compact(revision, answer)).await?
    }

    async fn before_last(&self, changes: usize) -> Result<Revision, Error> {
        self.read("find a past revision", move |connection, shared| {
            let found: Option<i64> = connection
                .prepare_cached("SELECT revision FROM log ORDER BY revision DESC LIMIT 1 OFFSET ?1")
                .and_then(|mut statement| statement.query_row([changes as i64], |row| row.get(0)).optional())
                .map_err(engine("find a past revision"))?;
            Ok(shared.compacted().max(Revision(found.unwrap_or(0) as u64)))
        })
        .await
    }

    async fn current(&self) -> Result<Revision, Error> {
        Ok(self.shared.current())
    }

    fn epoch(&self) -> Revision {
        self.shared.epoch
    }

    fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().clone()
    }

    async fn size(&self) -> Result<u64, Error> {
        let size = |suffix: &str| {
            let mut path = self.shared.path.clone().into_os_string();
            path.push(suffix);
            std::fs::metadata(path).map_or(0, |file| file.len())
        };
        Ok(size("") + size("-wal") + size("-shm"))
    }

    async fn close(&self) {
        let commands = self.commands.lock().take();
        if let Some(commands) = commands {
            let (answer, closed) = oneshot::channel();
            if commands.send(Command::Close(answer)).await.is_ok() {
                let _writer_gone = closed.await;
            }
        }
        self.shared.readers.lock().clear();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _panicked = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Event {
    fn record(&self) -> Option<Record> {
        let value = self.value.clone()?;
        Some(Record { key: self.key.clone(), value, revision: self.revision })
    }
}
