//! The one place where desired state is durable: a key-value store with one revision a write and a watch (D5).
//!
//! Engines stand behind [`Store`] and pass one contract suite (`contract`). Only `apiserver` uses a store; everyone
//! else reads a `client::Cache`. Values are opaque here: JSON of the storage version without `resourceVersion` (D3).

pub mod etcd;
pub mod kine;
pub mod sqlite;
mod watchers;

use async_trait::async_trait;
use bytes::Bytes;

pub use etcd::Etcd;
pub use sqlite::Sqlite;

pub use api::{Key, Revision};

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Key,
    pub value: Bytes,
    /// Revision of the write that made this value.
    pub revision: Revision,
}

/// What must hold for a write to happen (compare), evaluated against the newest pending state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is nothing under the key.
    Absent,
    /// The key's value has exactly this revision.
    At(Revision),
}

/// How long a write may stay in memory only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On disk before it is answered.
    #[default]
    Durable,
    /// On disk with the next durable write, or within a minute (Events).
    Relaxed,
    /// In memory only; lost at a restart (a Lease's `renewTime`).
    Volatile,
}

/// One compare-and-swap.
#[derive(Clone, Debug)]
pub struct Write {
    pub key: Key,
    pub expect: Expect,
    /// `None` deletes.
    pub value: Option<Bytes>,
    pub durability: Durability,
    /// Seconds until the store deletes the key by itself (Events); `None`: never.
    pub ttl: Option<u32>,
}

/// One page of a range read, all of one revision.
#[derive(Clone, Debug)]
pub struct Page {
    pub records: Vec<Record>,
    /// The revision that the page shows.
    pub revision: Revision,
    /// More keys follow the last record.
    pub more: bool,
}

/// A committed write, as watchers see it: in order of revision, none missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub key: Key,
    pub revision: Revision,
    /// `None`: deleted.
    pub value: Option<Bytes>,
}

/// What a watch yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Batch {
    /// One commit, in order.
    Events(Vec<Event>),
    /// Nothing up to and with this revision is still to come.
    Progress(Revision),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The compare failed; `current` is what is there, for a retry without another read.
    #[error("{key} changed: it is {}", match .current { Some(record) => format!("at revision {}", record.revision), None => "absent".into() })]
    Conflict { key: Key, current: Option<Record> },
    /// Somebody else took from the same pool meanwhile: look again at what is left of it.
    #[error("another server took from {0} in the same moment")]
    Raced(&'static str),
    /// The revision is older than what the store keeps: HTTP 410 Gone.
    #[error("revision {asked} was compacted, the oldest kept is {oldest}")]
    Compacted { asked: Revision, oldest: Revision },
    /// The revision has not happened yet.
    #[error("revision {asked} is in the future, the newest is {current}")]
    Future { asked: Revision, current: Revision },
    /// The write was not made, because the store is at its size limit or the disk is full; deletes still work.
    #[error("the store is full: {0}")]
    Full(String),
    /// The write was not made: the object is larger than the engine takes. In the engine's own words.
    #[error("{0}")]
    TooLarge(String),
    /// The store cannot be used: another process has it, it is corrupt, or of a newer version.
    #[error("{0}")]
    Unusable(String),
    /// The engine failed; nothing is known of the write.
    #[error("cannot {operation}")]
    Engine { operation: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// The contract. Linearizable: an answered write is seen by every later read and, before it is answered, was handed
/// to every watch.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The value of a key: newest, or as it was at a revision.
    async fn get(&self, key: &Key, at: Option<Revision>) -> Result<Option<Record>, Error>;

    /// Records whose key starts with `prefix` and comes after `after`, at most `limit` (0: all), at a revision or the newest.
    /// `prefix` is empty, or ends with the slash after a resource or a namespace. Those of a resource come in order of bytes of
    /// the key; the order of the resources is the engine's own, and always the same.
    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error>;

    /// Compare and swap; gives the write's own revision. A delete has a revision too.
    async fn write(&self, write: Write) -> Result<Revision, Error>;

    /// [`Store::write`] of something taken from a pool that all servers on this store draw from (addresses, ports): refused with
    /// [`Error::Raced`] if another such write was made after `seen`, up to which the caller knows what is taken. Where only one
    /// process has the store open it is a write like any other: that process keeps its own accounts.
    async fn write_from(&self, pool: &'static str, seen: Revision, write: Write) -> Result<Revision, Error> {
        let _alone = (pool, seen);
        self.write(write).await
    }

    /// Everything after `from` under `prefix`, then everything that comes. [`Error::Compacted`] if `from` is too old.
    /// The receiver is bounded: a watcher that does not read is dropped, sees the end of the stream, and starts anew.
    async fn watch(&self, prefix: &str, from: Revision) -> Result<tokio::sync::mpsc::Receiver<Batch>, Error>;

    /// Forgets what was overwritten or deleted at or before `revision`.
    async fn compact(&self, revision: Revision) -> Result<(), Error>;

    /// A revision after which at most `changes` writes are kept, as old as is kept: where to begin a replay of bounded length. (Revisions
    /// cannot be subtracted for that: a start skips those that were reserved.)
    async fn before_last(&self, changes: usize) -> Result<Revision, Error>;

    /// Says to all processes that have this store open that this one is there, for as long; gives the names of those that said so
    /// and whose time is not over. `None`: only one process has the store open.
    async fn announce(&self, name: &str, lasts: std::time::Duration) -> Result<Option<Vec<String>>, Error> {
        let _alone = (name, lasts);
        Ok(None)
    }

    /// Takes back what [`Store::announce`] said.
    async fn withdraw(&self, name: &str) -> Result<(), Error> {
        let _alone = name;
        Ok(())
    }

    /// A revision at or after every write answered so far (on SQLite a load, on etcd a quorum read).
    async fn current(&self) -> Result<Revision, Error>;

    /// The first revision that can have been given since the store was opened. Writes that were only
    /// [`Durability::Relaxed`] or [`Durability::Volatile`] may be missing before it: a watch on such a kind from an
    /// older revision gets 410 Gone.
    fn epoch(&self) -> Revision;

    /// Why writes are refused or fail, told of the last one that was tried; `None` while they work.
    fn trouble(&self) -> Option<String>;

    /// Bytes that the store takes on disk.
    async fn size(&self) -> Result<u64, Error>;

    /// Writes what is pending and closes; further calls fail with [`Error::Closed`].
    async fn close(&self);
}
