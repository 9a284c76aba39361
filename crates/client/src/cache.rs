//! The watch cache of one resource: ordered objects, a ring of past events, indexes, snapshots by revision (D4).
//!
//! Invariants: one writer; events are applied in order of revision; what a subscriber sees is exactly what
//! [`Cache::snapshot`] shows plus the events after its revision. [`Cache::revision`] says that every event up to and
//! with it is applied. Nothing here knows where the objects come from, nor decodes them.

mod index;
mod ring;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use api::object::Change;
use api::{Key, Kind, Object, Resource, Revision, Uid};
use parking_lot::RwLock;
use smol_str::SmolStr;
use tokio::sync::Notify;

use index::Indexes;
use ring::Ring;
pub use ring::{Event, Limits};
use tree::Tree;

/// What a cache must know of its kind.
#[derive(Clone, Debug)]
pub struct About {
    pub resource: Resource,
    pub kind: SmolStr,
    /// The version to make requests in, and of the objects' JSON: the storage version.
    pub version: SmolStr,
    pub namespaced: bool,
    /// What its storage version serves.
    pub verbs: Vec<SmolStr>,
    /// Labels of [`Object::fields`], in order.
    pub fields: Vec<SmolStr>,
    /// Dotted path of each of `fields` in the object.
    pub paths: Vec<SmolStr>,
    pub custom: bool,
}

impl About {
    pub fn of(kind: &Kind) -> About {
        let storage = kind.storage();
        About {
            resource: kind.resource.clone(),
            kind: kind.kind.clone(),
            version: storage.name.clone(),
            namespaced: kind.namespaced,
            verbs: storage.verbs.clone(),
            fields: kind.fields.iter().map(|field| field.label.clone()).collect(),
            paths: kind.fields.iter().map(|field| field.path.clone()).collect(),
            custom: kind.custom,
        }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.resource.group.as_str() {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The URL of one object, of the whole resource (`name` empty), or of a namespace's part of it.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let mut path = match self.resource.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        for part in [self.resource.plural.as_str(), name] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        path
    }
}

/// One step of the writer. The object's revision is that of the write, and for a delete that of the deletion.
#[derive(Clone, Debug)]
pub enum Update {
    Put(Arc<Object>),
    /// The last state of what is no more; ignored if the cache has no such key.
    Delete(Arc<Object>),
}

/// The ring no longer holds what follows the revision asked for: HTTP 410.
#[derive(Debug, thiserror::Error)]
#[error("too old resource version: {asked} ({oldest})")]
pub struct Gone {
    pub asked: Revision,
    pub oldest: Revision,
}

/// The subscription ended: its reader was too slow, or the resource is no longer served. Start anew from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscription fell behind or its cache was closed")]
pub struct Closed;

/// See the module. Filled by one writer, read by everyone.
pub struct Cache {
    about: About,
    limits: Limits,
    state: RwLock<State>,
    /// Every event up to and with it is in `state`. Grows under the lock in `apply`, without it in `advance`.
    revision: AtomicU64,
    synced: AtomicBool,
    closed: AtomicBool,
    /// Those who wait for events.
    news: Notify,
    /// Those who wait for a revision, or for the first fill.
    progress: Notify,
    waiting: AtomicUsize,
    /// Subscriptions that are held.
    watchers: AtomicUsize,
}

struct State {
    tree: Tree,
    ring: Ring,
    indexes: Indexes,
}

/// Fields that get an index where a kind has them: asked for each pod of a node, each event of an object.
const INDEXED: [&str; 1] = ["spec.nodeName"];

impl Cache {
    pub fn new(about: About, limits: Limits) -> Arc<Cache> {
        let indexed = about.fields.iter().enumerate().filter(|(_, label)| INDEXED.contains(&label.as_str()));
        let indexes = Indexes::new(indexed.map(|(place, _)| place));
        Arc::new(Cache {
            state: RwLock::new(State { tree: Tree::default(), ring: Ring::default(), indexes }),
            about,
            limits,
            revision: AtomicU64::new(0),
            synced: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            news: Notify::new(),
            progress: Notify::new(),
            waiting: AtomicUsize::new(0),
            watchers: AtomicUsize::new(0),
        })
    }

    pub fn about(&self) -> &About {
        &self.about
    }
    pub fn resource(&self) -> &Resource {
        &self.about.resource
    }
    /// Every event up to and with this revision is applied.
    pub fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::Acquire))
    }
    /// The first fill happened.
    pub fn synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
    pub fn len(&self) -> usize {
        self.state.read().tree.len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns once the first fill happened; for ever if it never does.
    pub async fn wait_synced(&self) {
        self.wait(|| self.synced()).await;
    }
    /// Returns once every event up to and with `revision` is applied.
    pub async fn wait_for(&self, revision: Revision) {
        self.wait(|| self.revision() >= revision).await;
    }
    async fn wait(&self, done: impl Fn() -> bool) {
        if done() {
            return;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _counted = Counted(&self.waiting);
        loop {
            let woken = self.progress.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            if done() {
                return;
            }
            woken.await;
        }
    }

    fn path(&self, namespace: &str, name: &str) -> String {
        let mut key = self.about.resource.prefix();
        if !namespace.is_empty() {
            key.push_str(namespace);
            key.push('/');
        }
        key.push_str(name);
        key
    }

    /// `namespace` is empty for cluster-scoped kinds.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let key = self.path(namespace, name);
        self.state.read().tree.get(&key).cloned()
    }
    pub fn get_key(&self, key: &Key) -> Option<Arc<Object>> {
        self.state.read().tree.get(key.as_str()).cloned()
    }

    /// All objects as of one revision; costs one reference.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.read();
        self.snap(&state)
    }
    fn snap(&self, state: &State) -> Snapshot {
        Snapshot { prefix: self.about.resource.prefix(), revision: self.revision(), tree: state.tree.clone() }
    }

    /// All objects as they were at `revision`, made by walking the ring back. The caller waits for a revision to come
    /// ([`Cache::wait_for`]) before asking for it.
    pub fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Gone> {
        let state = self.state.read();
        if revision < state.ring.oldest() {
            return Err(Gone { asked: revision, oldest: state.ring.oldest() });
        }
        let mut snapshot = self.snap(&state);
        if revision >= snapshot.revision {
            return Ok(snapshot);
        }
        for event in state.ring.back_to(revision) {
            match &event.change {
                Change::Put { before: Some(before), .. } | Change::Delete { before, .. } => {
                    snapshot.tree.insert(before.clone());
                }
                Change::Put { object, before: None } => {
                    snapshot.tree.remove(object.key.as_str());
                }
            }
        }
        snapshot.revision = revision;
        Ok(snapshot)
    }

    /// The value of a selectable field of `object`; empty if the kind has no such field.
    pub fn field<'a>(&self, object: &'a Object, label: &str) -> &'a str {
        let place = self.about.fields.iter().position(|field| field == label);
        place.and_then(|place| object.fields.get(place)).map_or("", SmolStr::as_str)
    }

    /// Objects that name `uid` among their owners.
    pub fn by_owner(&self, uid: &Uid) -> Vec<Arc<Object>> {
        let state = self.state.read();
        let keys = state.indexes.owned(uid).iter();
        keys.filter_map(|key| state.tree.get(key.as_str())).cloned().collect()
    }
    /// Every uid that some object names as an owner.
    pub fn owners(&self) -> Vec<Uid> {
        self.state.read().indexes.owners().cloned().collect()
    }

    /// Objects whose selectable field `label` is `value`; by index where there is one. An unknown label finds nothing.
    pub fn by_field(&self, label: &str, value: &str) -> Vec<Arc<Object>> {
        let state = self.state.read();
        let Some(place) = self.about.fields.iter().position(|field| field == label) else {
            return Vec::new();
        };
        if !value.is_empty()
            && let Some(keys) = state.indexes.with_field(place, value)
        {
            return keys.iter().filter_map(|key| state.tree.get(key.as_str())).cloned().collect();
        }
        let same = |object: &&Arc<Object>| object.fields.get(place).is_some_and(|field| field == value);
        state.tree.iter().filter(same).cloned().collect()
    }

    /// Every event after `from`, in order, then every one that comes. A revision that has not come yet is waited for.
    pub fn subscribe(self: &Arc<Self>, from: Revision) -> Result<Subscription, Gone> {
        let state = self.state.read();
        match state.ring.position(from) {
            Some(next) => Ok(Subscription::new(self, next, from, from)),
            None => Err(Gone { asked: from, oldest: state.ring.oldest() }),
        }
    }
    /// What there is, and every event after it.
    pub fn watch(self: &Arc<Self>) -> (Snapshot, Subscription) {
        let state = self.state.read();
        let snapshot = self.snap(&state);
        let (next, seen) = (state.ring.end(), snapshot.revision);
        (snapshot, Subscription::new(self, next, Revision(0), seen))
    }

    /// Makes the content exactly `objects`, as of `revision`: the first fill, or a list after a gap. Subscribers see
    /// what differs; a lost object is deleted at `revision`. Only the writer calls this.
    pub fn fill(&self, objects: Vec<Arc<Object>>, revision: Revision) {
        let mut state = self.state.write();
        let first = !self.synced();
        let new = Tree::of(objects);
        let old = std::mem::take(&mut state.tree);
        let mut changes: Vec<Change> = Vec::new();
        for object in new.iter() {
            match old.get(object.key.as_str()) {
                Some(before) if before.revision == object.revision => {}
                before => changes.push(Change::Put { object: object.clone(), before: before.cloned() }),
            }
        }
        for before in old.iter().filter(|before| new.get(before.key.as_str()).is_none()) {
            let object = Arc::new(Object { revision, ..Object::clone(before) });
            changes.push(Change::Delete { object, before: before.clone() });
        }
        changes.sort_by_key(Change::revision);
        for change in &changes {
            match change {
                Change::Put { object, before } => state.indexes.change(before.as_deref(), Some(object)),
                Change::Delete { before, .. } => state.indexes.change(Some(before), None),
            }
        }
        state.tree = new;
        if first {
            state.ring.start_at(revision);
        } else {
            for change in changes {
                state.ring.push(Event::new(change), &self.limits);
            }
        }
        self.revision.fetch_max(revision.0, Ordering::AcqRel);
        self.synced.store(true, Ordering::SeqCst);
        drop(state);
        self.news.notify_waiters();
        self.progress.notify_waiters();
    }

    /// Applies writes in order of revision; an update that is not newer than what is there is dropped. Only the writer
    /// calls this.
    pub fn apply(&self, updates: impl IntoIterator<Item = Update>) {
        let mut state = self.state.write();
        let mut newest = Revision(0);
        for update in updates {
            let change = match update {
                Update::Put(object) => {
                    newest = newest.max(object.revision);
                    let Ok(before) = state.tree.insert_newer(object.clone()) else { continue };
                    state.indexes.change(before.as_deref(), Some(&object));
                    Change::Put { object, before }
                }
                Update::Delete(object) => {
                    newest = newest.max(object.revision);
                    let Some(before) = state.tree.remove(object.key.as_str()) else { continue };
                    state.indexes.change(Some(&before), None);
                    Change::Delete { object, before }
                }
            };
            state.ring.push(Event::new(change), &self.limits);
        }
        self.revision.fetch_max(newest.0, Ordering::AcqRel);
        drop(state);
        self.news.notify_waiters();
        self.wake_waiting();
    }

    /// Nothing of this resource is still to come up to and with `revision`. Cheap: the writer says it to every cache
    /// after each commit.
    pub fn advance(&self, revision: Revision) {
        self.revision.fetch_max(revision.0, Ordering::SeqCst);
        self.wake_waiting();
    }
    fn wake_waiting(&self) {
        // SeqCst on both sides: either the waiter sees the new revision or we see the waiter.
        std::sync::atomic::fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.progress.notify_waiters();
        }
    }

    /// Ends every subscription: the resource is no longer served.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.news.notify_waiters();
    }
}

struct Counted<'a>(&'a AtomicUsize);
impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// All objects of a resource as of one revision, ordered by key. Holds them in memory: drop it soon.
#[derive(Clone)]
pub struct Snapshot {
    prefix: String,
    pub revision: Revision,
    tree: Tree,
}

impl Snapshot {
    pub fn len(&self) -> usize {
        self.tree.len()
    }
    pub fn is_empty(&self) -> bool {
        self.tree.len() == 0
    }
    pub fn get_key(&self, key: &Key) -> Option<&Arc<Object>> {
        self.tree.get(key.as_str())
    }
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.tree.iter()
    }
    /// How many objects [`Snapshot::range`] gives, without going through them.
    pub fn count(&self, namespace: &str, after: Option<&Key>) -> usize {
        let mut end = self.prefix.clone();
        if !namespace.is_empty() {
            end.push_str(namespace);
            end.push('/');
        }
        let from = match after.filter(|after| after.as_str() >= end.as_str()) {
            Some(after) => {
                self.tree.rank(after.as_str()) + usize::from(self.tree.get(after.as_str()).is_some())
            }
            None => self.tree.rank(&end),
        };
        // What follows every key that begins so: `0` comes after `/`.
        end.pop();
        end.push('0');
        self.tree.rank(&end).saturating_sub(from)
    }

    /// The objects of one namespace, or all if it is empty, whose key is greater than `after` (a page's last key).
    pub fn range<'a>(
        &'a self,
        namespace: &str,
        after: Option<&'a Key>,
    ) -> impl Iterator<Item = &'a Arc<Object>> {
        let mut prefix = self.prefix.clone();
        if !namespace.is_empty() {
            prefix.push_str(namespace);
            prefix.push('/');
        }
        let from = after.map_or(prefix.as_str(), |key| key.as_str().max(prefix.as_str())).to_string();
        self.tree
            .from(&from)
            .skip_while(move |object| after.is_some_and(|after| object.key <= *after))
            .take_while(move |object| object.key.as_str().starts_with(prefix.as_str()))
    }
}

/// A place in a cache's events. Costs a few words while nothing happens.
pub struct Subscription {
    cache: Arc<Cache>,
    next: u64,
    /// Events up to and with this revision are passed over: a subscription may start in the future.
    after: Revision,
    seen: Revision,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.cache.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Subscription {
    fn new(cache: &Arc<Cache>, next: u64, after: Revision, seen: Revision) -> Subscription {
        cache.watchers.fetch_add(1, Ordering::Relaxed);
        Subscription { cache: cache.clone(), next, after, seen }
    }

    /// How many subscriptions the cache has, this one among them.
    pub fn watchers(&self) -> usize {
        self.cache.watchers.load(Ordering::Relaxed)
    }

    /// Events, in order, at least one; waits for them. Cancel-safe.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Closed> {
        let cache = self.cache.clone();
        loop {
            let woken = cache.news.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let events = self.try_next()?;
            if !events.is_empty() {
                return Ok(events);
            }
            woken.await;
        }
    }

    /// The events that are there, at most a hundred; none if there are none.
    pub fn try_next(&mut self) -> Result<Vec<Arc<Event>>, Closed> {
        const MOST: usize = 100;
        loop {
            if self.cache.is_closed() {
                return Err(Closed);
            }
            let mut events = self.cache.state.read().ring.read(self.next, MOST).ok_or(Closed)?;
            let Some(last) = events.last() else { return Ok(events) };
            self.next += events.len() as u64;
            self.seen = self.seen.max(last.revision());
            events.retain(|event| event.revision() > self.after);
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Everything up to and with this revision has been yielded: what a bookmark says.
    pub fn progress(&mut self) -> Revision {
        let state = self.cache.state.read();
        if state.ring.end() == self.next {
            self.seen = self.seen.max(self.cache.revision());
        }
        self.seen
    }
}
