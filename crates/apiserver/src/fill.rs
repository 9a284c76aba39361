//! Filling the watch caches from the store: one load, one watch over everything, one task (D4).
//!
//! Invariant: a cache says a revision only when every event of its resource up to it is applied. The load is of a past
//! revision where the store still has one, and what came after it is replayed, so that clients' watches resume over a
//! restart. Leases and Events start at the present: writes of theirs may have been lost (D5), and their old watches get 410.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::{Kind, Object, Resource, Revision};
use base::Tasks;
use client::{About, Cache, Caches, Limits, Update};
use store::{Batch, Event, Record, Store};
use tokio::sync::{mpsc, oneshot};

use crate::encryption;
use crate::server::Error;

/// How many past changes a start replays at the most.
const REPLAY: usize = 2000;
/// Records a read of the load.
const PAGE: usize = 500;

/// Told of every change of the resources that the server itself must know at once.
pub(crate) type Observer = Arc<dyn Fn(&Resource, &Update) + Send + Sync>;

enum Command {
    Add(Arc<Kind>, oneshot::Sender<()>),
    Remove(Resource, oneshot::Sender<()>),
}

/// The filling task's handle.
pub(crate) struct Filler(mpsc::Sender<Command>);

impl Filler {
    /// Makes and fills the cache of a new or changed kind; returns once it is there.
    pub async fn add(&self, kind: Arc<Kind>) {
        let (done, wait) = oneshot::channel();
        if self.0.send(Command::Add(kind, done)).await.is_ok() {
            let _ = wait.await;
        }
    }
    /// Closes the cache of a kind that is no longer served.
    pub async fn remove(&self, resource: Resource) {
        let (done, wait) = oneshot::channel();
        if self.0.send(Command::Remove(resource, done)).await.is_ok() {
            let _ = wait.await;
        }
    }
}

struct State {
    store: Arc<dyn Store>,
    caches: Caches,
    /// By the store's `<group>/<plural>`.
    rows: HashMap<String, (Arc<Kind>, Arc<Cache>)>,
    observer: Observer,
    /// Everything up to and with it is in the caches.
    applied: Revision,
    /// What the start found and nobody reads, with why: history, if a later write follows; else the start fails.
    unread: BTreeMap<api::Key, String>,
}

/// Loads every stored kind of `kinds`, then follows the store in a task.
pub(crate) async fn start(
    store: Arc<dyn Store>,
    kinds: &[Arc<Kind>],
    caches: Caches,
    observer: Observer,
    tasks: &Tasks,
) -> Result<Filler, Error> {
    let current = store.current().await.map_err(|source| failed("the current revision", source))?;
    let mut state = State {
        store,
        caches,
        rows: HashMap::new(),
        observer,
        applied: Revision(0),
        unread: BTreeMap::new(),
    };
    for kind in kinds {
        let cache = Cache::new(About::of(kind), Limits::default());
        state.add(kind.clone(), cache);
    }
    let from = state.load().await?;
    let batches = state.store.watch("", from).await.map_err(|source| failed("what changed", source))?;
    let (commands, receiver) = mpsc::channel(16);
    let (ready, wait) = oneshot::channel();
    tasks.spawn("watch-cache", state.run(batches, receiver, current, ready));
    match wait.await {
        Ok(Err(why)) => Err(failed("all objects", store::Error::Unusable(why))),
        _ => Ok(Filler(commands)),
    }
}

/// Why a value is no JSON that a start can go on with; `None`: it may be.
fn unreadable(key: &api::Key, value: &[u8]) -> Option<String> {
    if value.starts_with(api::protobuf::MAGIC) {
        return Some(format!(
            "{key} is in protobuf, as kube-apiserver stores it: this etcd holds another server's cluster, which skiff does not take \
             over; give skiff an etcd of its own, and that cluster's objects by kubectl"
        ));
    }
    encryption::is_sealed(value).then(|| encryption::unreadable(key, value).to_string())
}

fn readable(record: &Record) -> Result<(), store::Error> {
    unreadable(&record.key, &record.value).map_or(Ok(()), |why| Err(store::Error::Unusable(why)))
}

fn failed(what: impl Into<String>, source: store::Error) -> Error {
    Error::Load { what: what.into(), source }
}

/// Writes of these may be lost with the power.
fn may_lose(resource: &Resource) -> bool {
    matches!(
        (resource.group.as_str(), resource.plural.as_str()),
        ("", "events") | ("coordination.k8s.io", "leases")
    )
}

/// `<group>/<plural>` of a key, without a copy.
fn row_of(key: &api::Key) -> &str {
    let text = key.as_str();
    let group = text.find('/').unwrap_or(text.len());
    let end = text[group..].char_indices().skip(1).find(|(_, letter)| *letter == '/');
    end.map_or(text, |(at, _)| &text[..group + at])
}

fn row_name(resource: &Resource) -> String {
    let mut name = resource.prefix();
    name.pop();
    name
}

fn object_of(kind: &Kind, mut record: Record) -> Option<Arc<Object>> {
    if kind.custom {
        record.value = as_defined(kind, record.value);
    }
    match Object::from_stored(kind, &record.value, record.key, record.revision) {
        Ok(object) => Some(Arc::new(object)),
        Err(error) => {
            tracing::error!(%error, "a stored object cannot be read and is left out");
            None
        }
    }
}

/// A custom resource as today's definition has it: in the storage version, with its defaults. Versions of one definition
/// differ in their name only (no webhook converts).
fn as_defined(kind: &Kind, stored: bytes::Bytes) -> bytes::Bytes {
    // A converter is asked when somebody reads it.
    if kind.converter.is_some() {
        return stored;
    }
    let version = kind.storage();
    let Ok(mut value) = api::json::parse(&stored) else { return stored };
    let before = value.clone();
    kind.rules.default(&version.name, &mut value);
    crate::codec::type_meta(&mut value, &kind.kind, &kind.api_version(&version.name));
    if value == before { stored } else { api::object::stored(&value).into() }
}

impl State {
    /// Shows a cache; one of the same resource is closed, so that there is always one to be found.
    fn add(&mut self, kind: Arc<Kind>, cache: Arc<Cache>) {
        self.rows.insert(row_name(&kind.resource), (kind, cache.clone()));
        self.caches.insert(cache);
    }

    /// Fills all caches; gives the revision that the watch goes on from.
    async fn load(&mut self) -> Result<Revision, Error> {
        let past = self.store.before_last(REPLAY).await;
        let mut from = past.map_err(|source| failed("a past revision", source))?;
        let mut objects: HashMap<String, Vec<Arc<Object>>> = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = match self.store.range("", after.as_deref(), PAGE, Some(from)).await {
                Err(store::Error::Compacted { oldest, .. }) if oldest > from && after.is_none() => {
                    from = oldest;
                    continue;
                }
                page => page.map_err(|source| failed("all objects", source))?,
            };
            after = page.records.last().map(|record| record.key.as_str().to_string());
            for record in page.records {
                let Some((kind, _)) = self.rows.get(row_of(&record.key)) else { continue };
                let name = row_of(&record.key).to_string();
                if let Some(why) = unreadable(&record.key, &record.value) {
                    self.unread.insert(record.key, why);
                    continue;
                }
                if !may_lose(&kind.resource)
                    && let Some(object) = object_of(kind, record)
                {
                    objects.entry(name).or_default().push(object);
                }
            }
            if !page.more {
                break;
            }
        }
        for (name, (kind, cache)) in &self.rows {
            if may_lose(&kind.resource) {
                let (records, revision) = all_of(&*self.store, kind, None).await?;
                self.fill(kind, cache, records, revision);
            } else {
                self.fill(kind, cache, objects.remove(name).unwrap_or_default(), from);
            }
        }
        self.applied = from;
        Ok(from)
    }

    fn fill(&self, kind: &Kind, cache: &Cache, objects: Vec<Arc<Object>>, revision: Revision) {
        for object in &objects {
            (self.observer)(&kind.resource, &Update::Put(object.clone()));
        }
        cache.fill(objects, revision);
    }

    async fn run(
        mut self,
        mut batches: mpsc::Receiver<Batch>,
        mut commands: mpsc::Receiver<Command>,
        current: Revision,
        ready: oneshot::Sender<Result<(), String>>,
    ) {
        let mut ready = Some(ready);
        loop {
            if self.applied >= current
                && let Some(ready) = ready.take()
            {
                // The first is named; what to do is the same for all.
                let unread = self.unread.pop_first();
                let failed = unread.is_some();
                let _ = ready.send(unread.map_or(Ok(()), |(_, why)| Err(why)));
                if failed {
                    return;
                }
            }
            tokio::select! {
                batch = batches.recv() => match batch {
                    Some(batch) => self.apply(batch),
                    None => match self.resume().await {
                        Some(again) => batches = again,
                        None => return,
                    },
                },
                Some(command) = commands.recv() => self.command(command).await,
            }
        }
    }

    /// The store dropped the watch: go on from where we were, or load anew if that is gone.
    async fn resume(&mut self) -> Option<mpsc::Receiver<Batch>> {
        loop {
            match self.store.watch("", self.applied).await {
                Ok(batches) => return Some(batches),
                Err(store::Error::Closed) => return None,
                Err(error) => {
                    tracing::error!(error = %base::chain(&error), "cannot follow the store, loading anew");
                    match self.load().await {
                        Ok(_) => {}
                        Err(Error::Load { source: store::Error::Closed, .. }) => return None,
                        Err(_) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
                    }
                }
            }
        }
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Add(kind, done) => {
                // As of what is applied: what follows comes by the watch.
                let objects = match all_of(&*self.store, &kind, Some(self.applied)).await {
                    Ok((objects, _)) => objects,
                    Err(error) => {
                        tracing::error!(error = %base::chain(&error), "cannot load a new kind");
                        Vec::new()
                    }
                };
                let cache = Cache::new(About::of(&kind), Limits::default());
                self.fill(&kind, &cache, objects, self.applied);
                self.add(kind, cache);
                let _ = done.send(());
            }
            Command::Remove(resource, done) => {
                self.rows.remove(&row_name(&resource));
                self.caches.remove(&resource);
                let _ = done.send(());
            }
        }
    }

    fn apply(&mut self, batch: Batch) {
        let last = match batch {
            Batch::Progress(revision) => revision,
            Batch::Events(events) => {
                let last = events.last().map_or(self.applied, |event| event.revision);
                // A batch is of few resources, mostly of one.
                let mut updates: Vec<(Arc<Cache>, Vec<Update>)> = Vec::new();
                for event in events {
                    let Some((kind, cache)) = self.rows.get(row_of(&event.key)) else { continue };
                    match event.value.as_deref().and_then(|value| unreadable(&event.key, value)) {
                        Some(why) => {
                            tracing::warn!(%why, "a change in the store cannot be read");
                            self.unread.insert(event.key, why);
                            continue;
                        }
                        None if self.unread.is_empty() => {}
                        None => drop(self.unread.remove(&event.key)),
                    }
                    if event.revision <= cache.revision() {
                        continue;
                    }
                    let place = updates.iter().position(|(other, _)| Arc::ptr_eq(other, cache));
                    let pending = place.map_or(&[][..], |at| &updates[at].1);
                    let Some(update) = update_of(kind, cache, event, pending) else { continue };
                    (self.observer)(&kind.resource, &update);
                    match place {
                        Some(at) => updates[at].1.push(update),
                        None => updates.push((cache.clone(), vec![update])),
                    }
                }
                for (cache, updates) in updates {
                    cache.apply(updates);
                }
                last
            }
        };
        self.applied = self.applied.max(last);
        for (_, cache) in self.rows.values() {
            cache.advance(self.applied);
        }
    }
}

/// A deletion carries the last state with its own revision; that state may be in the same batch.
fn update_of(kind: &Kind, cache: &Cache, event: Event, pending: &[Update]) -> Option<Update> {
    match event.value {
        Some(value) => {
            object_of(kind, Record { key: event.key, value, revision: event.revision }).map(Update::Put)
        }
        None => {
            let last = pending.iter().rev().find_map(|update| match update {
                Update::Put(object) if object.key == event.key => Some(object.clone()),
                _ => None,
            });
            let last = last.or_else(|| cache.get_key(&event.key))?;
            object_of(kind, Record { key: event.key, value: last.json.clone(), revision: event.revision })
                .map(Update::Delete)
        }
    }
}

/// All objects of one kind.
async fn all_of(
    store: &dyn Store,
    kind: &Kind,
    at: Option<Revision>,
) -> Result<(Vec<Arc<Object>>, Revision), Error> {
    let page = store
        .range(&kind.resource.prefix(), None, 0, at)
        .await
        .map_err(|source| failed(kind.resource.to_string(), source))?;
    let unread = page.records.iter().try_for_each(readable);
    unread.map_err(|source| failed(kind.resource.to_string(), source))?;
    Ok((page.records.into_iter().filter_map(|record| object_of(kind, record)).collect(), page.revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_key() {
        for key in ["core/nodes/n1", "apps/deployments/default/web"] {
            let key: api::Key = key.parse().unwrap();
            assert_eq!(row_of(&key), row_name(&key.resource()));
        }
    }
}
