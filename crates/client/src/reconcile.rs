//! The reconcile engine: events become keys, keys are worked on, failures back off, a panic costs its key (D6, D16).
//!
//! One task a controller does everything: it maps events, holds the queue and runs up to `workers` reconciles at once.
//! While nothing happens it sleeps without a timer. Reconcilers see no event, only a key and the caches.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::object::Change;
use api::{Key, Object};
use async_trait::async_trait;
use base::Tasks;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;

use crate::{Cache, Caches, Queue};

/// Why a reconcile failed. Logged once with its causes; the key backs off.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a reconcile asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until something changes.
    Done,
    /// Another look after this time, if nothing changes before.
    After(Duration),
}

/// Turns a change into the keys to look at.
pub type Map = dyn Fn(&Change, &mut dyn FnMut(Key)) + Send + Sync;

/// A [`Map`] over one resource.
pub struct Watch {
    pub cache: Arc<Cache>,
    pub map: Arc<Map>,
}

impl Watch {
    /// Each object's own key.
    pub fn own(cache: &Arc<Cache>) -> Watch {
        Watch::by(cache, |change, add| add(change.object().key.clone()))
    }

    /// Keys by `map`; objects that are there at the start come as changes without a `before`.
    pub fn by(
        cache: &Arc<Cache>,
        map: impl Fn(&Change, &mut dyn FnMut(Key)) + Send + Sync + 'static,
    ) -> Watch {
        Watch { cache: cache.clone(), map: Arc::new(map) }
    }

    /// The key of the controlling owner, if `owner` caches its kind; of the former one too, if it changed.
    pub fn controlled(cache: &Arc<Cache>, owner: &Arc<Cache>) -> Watch {
        let owner = owner.clone();
        Watch::by(cache, move |change, add| {
            let key = |object: &Arc<Object>| {
                let reference = crate::informer::controller(object)?;
                let same = reference.kind == owner.about().kind
                    && reference.group() == owner.resource().group.as_str();
                same.then(|| Key::new(owner.resource(), object.key.namespace(), &reference.name))
            };
            let after = key(change.object());
            let (Change::Put { before, .. }, now) = (change, change.object()) else {
                return after.into_iter().for_each(add);
            };
            let before = before.as_ref().filter(|before| before.owners != now.owners).and_then(key);
            before.into_iter().filter(|key| Some(key) != after.as_ref()).chain(after.clone()).for_each(add);
        })
    }
}

/// Brings what one key names to its desired state. Reads caches, plans purely, writes idempotently, status last.
#[async_trait]
pub trait Reconciler: Send + Sync + 'static {
    /// For logs and metrics: `replicaset`.
    fn name(&self) -> &'static str;
    fn watches(&self) -> Vec<Watch>;
    /// A map over every resource that there is or will be, CustomResourceDefinitions' too.
    fn watches_all(&self) -> Option<(Caches, Arc<Map>)> {
        None
    }
    /// Caches that are read beside those watched; the first reconcile waits for their first fill too.
    fn reads(&self) -> Vec<Arc<Cache>> {
        Vec::new()
    }
    async fn reconcile(&self, key: &Key) -> Result<Action, Error>;
}

/// Counters of one controller, for metrics and `skiff status`.
#[derive(Debug, Default)]
pub struct Counters {
    pub reconciles: AtomicU64,
    pub errors: AtomicU64,
    pub panics: AtomicU64,
}

/// A running controller, as others see it.
#[derive(Clone)]
pub struct Handle {
    pub name: &'static str,
    pub queue: Arc<Queue>,
    pub counters: Arc<Counters>,
}

/// The queues of the controllers that run in this process, for `/metrics`.
static RUNNING: Mutex<Vec<(&'static str, Weak<Queue>)>> = Mutex::new(Vec::new());

/// The queues of this process' controllers, by name.
pub fn queues() -> Vec<(&'static str, Arc<Queue>)> {
    RUNNING.lock().iter().filter_map(|(name, queue)| Some((*name, queue.upgrade()?))).collect()
}

/// Runs `reconciler` with `workers` reconciles at once until `tasks` stop.
pub fn run(reconciler: Arc<dyn Reconciler>, workers: usize, tasks: &Tasks) -> Handle {
    let handle = Handle {
        name: reconciler.name(),
        queue: Arc::new(Queue::new()),
        counters: Arc::new(Counters::default()),
    };
    {
        let mut running = RUNNING.lock();
        running.retain(|(_, queue)| queue.strong_count() > 0);
        running.push((handle.name, Arc::downgrade(&handle.queue)));
    }
    let given = handle.clone();
    tasks.spawn(handle.name, async move {
        let watches = reconciler.watches();
        for cache in watches.iter().map(|watch| &watch.cache).chain(&reconciler.reads()) {
            cache.wait_synced().await;
        }
        let feeds = futures_util::future::join_all(watches.iter().map(|watch| feed(watch, &given.queue)));
        let every = async {
            if let Some((caches, map)) = reconciler.watches_all() {
                feed_all(&caches, &map, &given.queue).await;
            }
        };
        tokio::join!(feeds, every, work(&*reconciler, workers.max(1), &given));
    });
    handle
}

/// Turns the events of one cache into keys, until the cache is closed.
async fn feed(watch: &Watch, queue: &Queue) {
    let mut add = |key| queue.add(key);
    loop {
        let (snapshot, mut live) = watch.cache.watch();
        for object in snapshot.iter() {
            (watch.map)(&Change::Put { object: object.clone(), before: None }, &mut add);
        }
        drop(snapshot);
        while let Ok(events) = live.next().await {
            events.iter().for_each(|event| (watch.map)(&event.change, &mut add));
        }
        if watch.cache.is_closed() {
            return;
        }
        tracing::warn!(resource = %watch.cache.resource(), "fell behind; looking at every object again");
    }
}

/// Feeds from every cache of the table, and from those that are added to it.
async fn feed_all(caches: &Caches, map: &Arc<Map>, queue: &Queue) {
    let mut changed = caches.changed();
    // By where it is: there may be ten thousand.
    let mut fed: HashMap<usize, Arc<Cache>> = HashMap::new();
    let mut feeds = FuturesUnordered::new();
    loop {
        changed.mark_unchanged();
        fed.retain(|_, cache| !cache.is_closed());
        for cache in caches.all() {
            if let Entry::Vacant(place) = fed.entry(Arc::as_ptr(&cache) as usize) {
                place.insert(cache.clone());
                let watch = Watch { cache, map: map.clone() };
                feeds.push(async move {
                    watch.cache.wait_synced().await;
                    feed(&watch, queue).await;
                });
            }
        }
        loop {
            tokio::select! {
                news = changed.changed() => match news {
                    Ok(()) => break,
                    Err(_closed) => return while feeds.next().await.is_some() {},
                },
                Some(()) = feeds.next(), if !feeds.is_empty() => {}
            }
        }
    }
}

async fn work(reconciler: &dyn Reconciler, workers: usize, handle: &Handle) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            key = handle.queue.next(), if running.len() < workers => running.push(one(reconciler, key, handle)),
            Some(()) = running.next(), if !running.is_empty() => {}
        }
    }
}

async fn one(reconciler: &dyn Reconciler, key: Key, handle: &Handle) {
    let (queue, counters) = (&handle.queue, &handle.counters);
    counters.reconciles.fetch_add(1, Ordering::Relaxed);
    match AssertUnwindSafe(reconciler.reconcile(&key)).catch_unwind().await {
        Ok(Ok(action)) => {
            queue.forget(&key);
            if let Action::After(delay) = action {
                queue.add_after(key.clone(), delay);
            }
        }
        Ok(Err(error)) => {
            counters.errors.fetch_add(1, Ordering::Relaxed);
            let again = queue.retry(key.clone());
            // A conflict is how optimistic writes work, nothing to tell a person.
            if crate::writer::is_conflict(&*error) {
                tracing::debug!(controller = handle.name, %key, ?again, "lost a race; again");
            } else {
                let chain = base::chain(&*error);
                tracing::warn!(controller = handle.name, %key, ?again, error = %chain, "cannot reconcile");
            }
        }
        Err(panic) => {
            counters.panics.fetch_add(1, Ordering::Relaxed);
            let again = queue.retry(key.clone());
            let panic = base::task::panic_text(&*panic);
            tracing::error!(controller = handle.name, %key, ?again, panic, "a reconcile panicked");
        }
    }
    queue.done(&key);
}

#[cfg(test)]
mod tests {
    use api::Revision;
    use tokio::sync::mpsc;

    use super::*;
    use crate::cache::Update;
    use crate::cache::tests::{object, pods};

    struct Echo {
        cache: Arc<Cache>,
        seen: mpsc::UnboundedSender<String>,
    }

    #[async_trait]
    impl Reconciler for Echo {
        fn name(&self) -> &'static str {
            "echo"
        }
        fn watches(&self) -> Vec<Watch> {
            vec![Watch::own(&self.cache)]
        }
        async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
            let _ = self.seen.send(key.name().to_string());
            match key.name() {
                "panics" => panic!("on purpose"),
                "fails" => Err("on purpose".into()),
                _ => Ok(Action::Done),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_key_comes_back_and_costs_no_other() {
        let cache = pods();
        let (seen, mut keys) = mpsc::unbounded_channel();
        let tasks = Tasks::new();
        let handle = run(Arc::new(Echo { cache: cache.clone(), seen }), 2, &tasks);
        cache.fill(vec![object("a", "panics", 1), object("a", "fails", 2)], Revision(2));
        let mut all = Vec::new();
        while handle.counters.panics.load(Ordering::Relaxed) < 3
            || handle.counters.errors.load(Ordering::Relaxed) < 3
        {
            all.push(keys.recv().await.unwrap());
            tokio::task::yield_now().await;
        }
        cache.apply([Update::Put(object("a", "fine", 3))]);
        // What was told meanwhile counts too: the counters run ahead of the channel's reader.
        while all.last().is_none_or(|name| name != "fine") {
            all.push(keys.recv().await.unwrap());
        }
        tasks.stop().await;
        assert!(all.iter().filter(|name| *name == "panics").count() >= 3);
    }
}
