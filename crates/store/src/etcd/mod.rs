//! The engine for several servers: an etcd v3 cluster that somebody runs (D5), spoken to over gRPC, with upstream's layout of keys.
//!
//! A revision is etcd's own: `mod_revision` of what was written, shared by all servers. Reads are linearizable. Every server holds one
//! watch ([`hub::Hub`]) and answers a write only once that has handed it on, so that the contract is SQLite's. Every write is durable,
//! whatever it asks for. Objects of one resource come in order of their keys; resources in the order of upstream's names.
//!
//! Not here: the cluster itself, its backups and its defragmentation.

mod client;
mod compactor;
mod hub;
mod keys;
mod message;
mod tls;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::{Key, Revision};
use async_trait::async_trait;
use base::Tasks;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use self::client::{Again, Client, Failure, Watch, engine};
use self::compactor::Compactor;
use self::hub::Hub;
pub(crate) use self::keys::Layout;
use self::message::{Compare, Done, Is, KeyValue, Operation, Range, Target};
use crate::{Batch, Error, Expect, Page, Record, Store, Write};

/// Where the etcd is, and who we are to it.
#[derive(Clone, Debug)]
pub struct Options {
    /// `https://HOST:PORT` or `http://HOST:PORT` of its members.
    pub endpoints: Vec<String>,
    /// PEM file of the CA that signed its certificates; none: the machine's.
    pub ca: Option<PathBuf>,
    /// PEM files of the client's certificate and key.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// What all keys of objects begin with; upstream's is `/registry`.
    pub root: String,
    /// How long history is kept at the least.
    pub history: Duration,
    /// How long a lease takes more keys, which may outlive their time by as much (as upstream's leaseManager).
    pub lease_reuse: Duration,
}

impl Options {
    pub fn new(endpoints: Vec<String>) -> Options {
        Options {
            endpoints,
            ca: None,
            certificate: None,
            key: None,
            root: "/registry".into(),
            history: Duration::from_secs(300),
            lease_reuse: Duration::from_secs(60),
        }
    }
}

/// Records of one read; a list of more is several reads of one revision. Of the largest that etcd takes (1.5 MiB) they are
/// less than the largest message that `grpc` takes.
const PAGE: usize = 250;
/// Reads of the newest revision that are made as one.
const READERS: usize = 1024;
/// Keys of one lease.
const LEASE_KEYS: usize = 1000;
/// How long a watch that begins in the past waits for etcd to say how far it is, before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// See the module.
pub struct Etcd {
    shared: Arc<Shared>,
    readers: mpsc::Sender<oneshot::Sender<Result<Revision, Error>>>,
    tasks: Tasks,
}

struct Shared {
    client: Arc<Client>,
    layout: Arc<Layout>,
    hub: Hub,
    leases: Mutex<HashMap<u32, Lease>>,
    lease_reuse: Duration,
    closed: AtomicBool,
}

#[derive(Clone, Copy)]
struct Lease {
    id: i64,
    granted: Instant,
    keys: usize,
}

impl Etcd {
    /// Connects, and begins to watch and to compact.
    ///
    /// # Errors
    /// [`Error::Unusable`] when the options are no good, [`Error::Engine`] when no member answers.
    pub async fn open(options: Options) -> Result<Etcd, Error> {
        let client = Arc::new(Client::new(&options)?);
        let layout = Arc::new(Layout::new(&options.root));
        let now = newest(&client).await?;
        let hub = Hub::new(client.clone(), layout.clone(), now);
        let shared = Arc::new(Shared {
            client: client.clone(),
            layout,
            hub,
            leases: Mutex::default(),
            lease_reuse: options.lease_reuse,
            closed: AtomicBool::new(false),
        });
        let tasks = Tasks::new();
        let own = shared.clone();
        tasks.spawn("etcd-watch", async move { own.hub.run().await });
        tasks.spawn("etcd-compact", Compactor { client: client.clone(), interval: options.history }.run());
        let (readers, waiting) = mpsc::channel(READERS);
        tasks.spawn("etcd-revision", revisions(client, waiting));
        Ok(Etcd { shared, readers, tasks })
    }

    /// The version of the member that is asked.
    pub async fn version(&self) -> Result<String, Error> {
        Ok(self.status().await?.0)
    }

    async fn status(&self) -> Result<(String, u64), Error> {
        let shared = self.open_shared()?;
        let answer =
            shared.client.call("ask for the status", message::STATUS, Bytes::new(), Again::Reads).await;
        let answer = answer.map_err(|failure| shared.unlikely("ask for the status", failure))?;
        message::status(&answer).map_err(|error| engine("ask for the status", error))
    }

    /// A value beside the objects, under a full key of etcd, and its revision.
    pub async fn aside(&self, key: &str) -> Result<Option<(Bytes, Revision)>, Error> {
        let shared = self.open_shared()?;
        let found = shared.client.range("read", Range { key, ..Range::default() }).await;
        let found = found.map_err(|failure| shared.unlikely("read", failure))?;
        Ok(found.records.into_iter().next().map(|record| (record.value, Revision(record.mod_revision))))
    }

    /// Writes a value beside the objects if what is there is as expected; `false`: it is not.
    pub async fn put_aside(&self, key: &str, expect: Expect, value: &[u8]) -> Result<bool, Error> {
        let shared = self.open_shared()?;
        let put = Operation::Put { key, value, lease: 0 };
        Ok(shared.transact("write", &[expected(key, expect)], &[put], key).await?.succeeded)
    }

    fn open_shared(&self) -> Result<&Shared, Error> {
        match self.shared.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(&self.shared),
        }
    }
}

fn expected(key: &str, expect: Expect) -> Compare<'_> {
    let revision = match expect {
        Expect::Absent => 0,
        Expect::At(revision) => revision.0,
    };
    Compare { key, target: Target::ModRevision, is: Is::Equal(revision) }
}

/// Where upstream's API server keeps an object below its root: `services/specs/default/kubernetes`.
pub fn upstream_name(key: &Key) -> String {
    Layout::new("").of(key.as_str())
}

/// A revision at or after all that was answered.
async fn newest(client: &Client) -> Result<Revision, Error> {
    match client.range("read the revision", Range { key: "\0", ..Range::default() }).await {
        Ok(found) => Ok(Revision(found.revision)),
        Err(Failure::Other(error)) => Err(error),
        Err(_) => Err(engine("read the revision", "etcd has none")),
    }
}

/// Reads the newest revision for all who asked before the read began: a thousand reads of a moment cost a few of etcd's.
async fn revisions(
    client: Arc<Client>,
    mut waiting: mpsc::Receiver<oneshot::Sender<Result<Revision, Error>>>,
) {
    let mut asked = Vec::new();
    while waiting.recv_many(&mut asked, READERS).await > 0 {
        let answer = newest(&client).await;
        for caller in asked.drain(..) {
            let same = match &answer {
                Ok(revision) => Ok(*revision),
                Err(error) => Err(engine("read the revision", base::chain(error).to_string())),
            };
            let _gone = caller.send(same);
        }
    }
}

impl Shared {
    /// A failure of a call that names no revision.
    fn unlikely(&self, operation: &'static str, failure: Failure) -> Error {
        match failure {
            Failure::Other(error) => error,
            Failure::Compacted | Failure::Future => {
                engine(operation, "etcd speaks of a revision that nobody asked for")
            }
        }
    }

    async fn failed(&self, operation: &'static str, failure: Failure, asked: Option<Revision>) -> Error {
        match (failure, asked) {
            (Failure::Compacted, Some(asked)) => match self.client.oldest().await {
                Ok(oldest) => Error::Compacted { asked, oldest },
                Err(error) => error,
            },
            (Failure::Future, Some(asked)) => match newest(&self.client).await {
                Ok(current) => Error::Future { asked, current },
                Err(error) => error,
            },
            (failure, _) => self.unlikely(operation, failure),
        }
    }

    fn record(&self, found: KeyValue) -> Option<Record> {
        let key = self.layout.key(&found.key)?;
        Some(Record { key, value: found.value, revision: Revision(found.mod_revision) })
    }

    /// Carries `success` out if all of `compares` hold; else gives what is under `key`.
    async fn transact(
        &self,
        operation: &'static str,
        compares: &[Compare<'_>],
        success: &[Operation<'_>],
        key: &str,
    ) -> Result<Done, Error> {
        let asked = message::transaction(compares, success, &[Operation::Get { key }]);
        let answer = self.client.call(operation, message::TXN, asked, Again::Writes).await;
        let answer = answer.map_err(|failure| self.unlikely(operation, failure))?;
        Done::read(&answer).map_err(|error| engine(operation, error))
    }

    /// One write; `pool`: with its key, and up to which revision the writer knows it.
    async fn write(
        &self,
        write: Write,
        pool: Option<(&'static str, &str, Revision)>,
    ) -> Result<Revision, Error> {
        let key = self.layout.of(write.key.as_str());
        let lease = match write.ttl {
            Some(ttl) if write.value.is_some() => self.lease(ttl).await?,
            _ => 0,
        };
        let (operation, own) = match &write.value {
            Some(value) => ("write an object", Operation::Put { key: &key, value, lease }),
            None => ("delete an object", Operation::Delete { key: &key }),
        };
        let (mut compares, mut success) = (vec![expected(&key, write.expect)], vec![own]);
        if let Some((_, key, seen)) = pool {
            compares.push(Compare { key, target: Target::ModRevision, is: Is::Less(seen.0 + 1) });
            success.push(Operation::Put { key, value: b"", lease: 0 });
        }
        let done = self.transact(operation, &compares, &success, &key).await?;
        if !done.succeeded {
            let current = done.found.into_iter().find_map(|record| self.record(record));
            let held = match write.expect {
                Expect::Absent => current.is_none(),
                Expect::At(revision) => current.as_ref().is_some_and(|record| record.revision == revision),
            };
            return Err(match pool {
                Some((pool, ..)) if held => Error::Raced(pool),
                _ => Error::Conflict { key: write.key, current },
            });
        }
        let revision = Revision(done.revision);
        self.hub.wait(revision).await?;
        Ok(revision)
    }

    /// A new lease of so many seconds. One that nobody uses ends by itself.
    async fn granted(&self, seconds: u32) -> Result<i64, Error> {
        let asked = message::lease_grant(seconds);
        let answer = self.client.call("grant a lease", message::LEASE_GRANT, asked, Again::Reads).await;
        let answer = answer.map_err(|failure| self.unlikely("grant a lease", failure))?;
        message::lease_id(&answer).map_err(|error| engine("grant a lease", error))
    }

    /// A lease that ends a key after `ttl` seconds, or up to [`Options::lease_reuse`] later.
    async fn lease(&self, ttl: u32) -> Result<i64, Error> {
        {
            let mut leases = self.leases.lock();
            if let Some(lease) = leases.get_mut(&ttl)
                && lease.granted.elapsed() < self.lease_reuse
                && lease.keys < LEASE_KEYS
            {
                lease.keys += 1;
                return Ok(lease.id);
            }
        }
        let granted = Instant::now();
        let id = self.granted(ttl.saturating_add(self.lease_reuse.as_secs() as u32)).await?;
        self.leases.lock().insert(ttl, Lease { id, granted, keys: 1 });
        Ok(id)
    }
}

#[async_trait]
impl Store for Etcd {
    async fn get(&self, key: &Key, at: Option<Revision>) -> Result<Option<Record>, Error> {
        let shared = self.open_shared()?;
        let text = shared.layout.of(key.as_str());
        let range = Range { key: &text, revision: at.map_or(0, |at| at.0), ..Range::default() };
        match shared.client.range("read an object", range).await {
            Ok(found) => Ok(found.records.into_iter().find_map(|record| shared.record(record))),
            Err(failure) => Err(shared.failed("read an object", failure, at).await),
        }
    }

    async fn range(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        at: Option<Revision>,
    ) -> Result<Page, Error> {
        let shared = self.open_shared()?;
        let prefix = shared.layout.of(prefix);
        let end = keys::end(&prefix);
        let mut from = prefix.clone();
        if let Some(after) = after.map(|after| shared.layout.of(after) + "\0").filter(|after| *after > prefix)
        {
            from = after;
        }
        let begin = from.clone();
        let mut page = Page { records: Vec::new(), revision: at.unwrap_or_default(), more: true };
        while page.more && (limit == 0 || page.records.len() < limit) {
            let most = if limit == 0 { PAGE } else { PAGE.min(limit - page.records.len()) };
            let range =
                Range { key: &from, end: &end, limit: most, revision: page.revision.0, count_only: false };
            let found = match shared.client.range("list objects", range).await {
                Ok(found) => found,
                // A compaction overtook a list of the newest: it begins again.
                Err(Failure::Compacted) if at.is_none() => {
                    page = Page { records: Vec::new(), revision: Revision(0), more: true };
                    from.clone_from(&begin);
                    continue;
                }
                Err(failure) => {
                    return Err(shared.failed("list objects", failure, Some(page.revision)).await);
                }
            };
            if page.revision == Revision(0) {
                page.revision = Revision(found.revision);
            }
            page.more = found.more;
            if let Some(last) = found.records.last() {
                from = String::from_utf8_lossy(&last.key).into_owned() + "\0";
            }
            page.records.extend(found.records.into_iter().filter_map(|record| shared.record(record)));
        }
        Ok(page)
    }

    async fn write(&self, write: Write) -> Result<Revision, Error> {
        self.open_shared()?.write(write, None).await
    }

    async fn write_from(&self, pool: &'static str, seen: Revision, write: Write) -> Result<Revision, Error> {
        let shared = self.open_shared()?;
        // Beside the objects: nobody watches it.
        let key = format!("/skiff{}pools/{pool}", shared.layout.root());
        shared.write(write, Some((pool, &key, seen))).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<mpsc::Receiver<Batch>, Error> {
        let shared = self.open_shared()?;
        let from = from.max(Revision(1));
        let there = Range { key: "\0", revision: from.0, count_only: true, ..Range::default() };
        if let Err(failure) = shared.client.range("watch", there).await {
            return Err(shared.failed("watch", failure, Some(from)).await);
        }
        shared.hub.wait(from).await?;
        let attach = |backlog: Vec<crate::Event>, complete: Revision| {
            shared.hub.still(|watchers, published| {
                if complete < published {
                    return Err(backlog);
                }
                let mut backlog = backlog;
                backlog.retain(|event| event.revision <= published);
                Ok(watchers.add(prefix.into(), backlog, published))
            })
        };
        let mut backlog = match attach(Vec::new(), from) {
            Ok(watch) => return Ok(watch),
            Err(backlog) => backlog,
        };
        // What was between is fetched by a watch of its own, until it has come as far as everybody's.
        let text = shared.layout.of(prefix);
        let mut past = Watch::open(&shared.client, &text, &keys::end(&text), from.0 + 1).await?;
        loop {
            let answer = match tokio::time::timeout(ASK_AGAIN, past.next()).await {
                Ok(answer) => answer?,
                Err(_) => {
                    past.ask().await;
                    continue;
                }
            };
            if answer.compacted > 0 {
                return Err(Error::Compacted { asked: from, oldest: Revision(answer.compacted) });
            }
            if answer.canceled {
                return Err(engine("watch", answer.reason));
            }
            if answer.created {
                past.ask().await;
                continue;
            }
            let complete = match answer.changes.last() {
                Some(change) => change.record.mod_revision,
                None => answer.revision,
            };
            backlog.extend(hub::events(&shared.layout, answer.changes, |_| true));
            backlog = match attach(backlog, Revision(complete)) {
                Ok(watch) => return Ok(watch),
                Err(backlog) => backlog,
            };
            past.ask().await;
        }
    }

    async fn announce(&self, name: &str, lasts: Duration) -> Result<Option<Vec<String>>, Error> {
        const WHAT: &str = "say that this server is there";
        let shared = self.open_shared()?;
        let folder = shared.layout.servers();
        let lease = shared.granted(lasts.as_secs() as u32).await?;
        let key = format!("{folder}{name}");
        let value = keys::server(name);
        let put = Operation::Put { key: &key, value: value.as_bytes(), lease };
        shared.transact(WHAT, &[], &[put], &key).await?;
        let all = Range { key: &folder, end: &keys::end(&folder), ..Range::default() };
        let found = shared.client.range("list servers", all).await;
        let found = found.map_err(|failure| shared.unlikely("list servers", failure))?;
        let name = |record: KeyValue| {
            Some(String::from_utf8_lossy(record.key.strip_prefix(folder.as_bytes())?).into_owned())
        };
        Ok(Some(found.records.into_iter().filter_map(name).collect()))
    }

    async fn withdraw(&self, name: &str) -> Result<(), Error> {
        let shared = self.open_shared()?;
        let key = format!("{}{name}", shared.layout.servers());
        shared.transact("take a server away", &[], &[Operation::Delete { key: &key }], &key).await.map(drop)
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        let shared = self.open_shared()?;
        let asked = message::compaction(revision.0);
        match shared.client.call("compact", message::COMPACT, asked, Again::Reads).await {
            Ok(_) | Err(Failure::Compacted) => Ok(()),
            Err(failure) => Err(shared.failed("compact", failure, Some(revision)).await),
        }
    }

    async fn before_last(&self, changes: usize) -> Result<Revision, Error> {
        let shared = self.open_shared()?;
        let current = self.current().await?;
        let past = Revision(current.0.saturating_sub(changes as u64).max(1));
        let there = Range { key: "\0", revision: past.0, count_only: true, ..Range::default() };
        match shared.client.range("find a past revision", there).await {
            Ok(_) => Ok(past),
            Err(Failure::Compacted) => shared.client.oldest().await,
            Err(failure) => Err(shared.failed("find a past revision", failure, Some(past)).await),
        }
    }

    async fn current(&self) -> Result<Revision, Error> {
        let shared = self.open_shared()?;
        let (caller, answer) = oneshot::channel();
        self.readers.send(caller).await.map_err(|_| Error::Closed)?;
        let revision = answer.await.map_err(|_| Error::Closed)??;
        // Who asks for it waits for its cache to come so far.
        shared.hub.want(revision);
        Ok(revision)
    }

    fn epoch(&self) -> Revision {
        Revision(0)
    }

    fn trouble(&self) -> Option<String> {
        self.shared.client.trouble.lock().clone()
    }

    async fn size(&self) -> Result<u64, Error> {
        Ok(self.status().await?.1)
    }

    async fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        self.tasks.stop().await;
        self.shared.hub.end();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.tasks.token().cancel();
    }
}
