//! The caches of one process, by resource. In the server's process `apiserver` fills them, elsewhere [`crate::reflector`].
//!
//! The table grows and shrinks with CustomResourceDefinitions; who cares about every resource (garbage collection,
//! namespaces) waits for [`Caches::changed`].

use std::collections::HashMap;
use std::sync::Arc;

use api::Resource;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::{Cache, Informer};

/// See the module. Cheap to clone; all clones are one table.
#[derive(Clone)]
pub struct Caches(Arc<Inner>);

struct Inner {
    caches: RwLock<HashMap<Resource, Arc<Cache>>>,
    generation: watch::Sender<u64>,
}

impl Default for Caches {
    fn default() -> Caches {
        Caches(Arc::new(Inner { caches: RwLock::default(), generation: watch::Sender::new(0) }))
    }
}

impl Caches {
    pub fn new() -> Caches {
        Caches::default()
    }

    pub fn get(&self, resource: &Resource) -> Option<Arc<Cache>> {
        self.0.caches.read().get(resource).cloned()
    }

    /// The cache of a resource by group and plural.
    pub fn named(&self, group: &str, plural: &str) -> Option<Arc<Cache>> {
        self.get(&Resource::new(group, plural))
    }

    /// The cache of a kind, as an owner reference names it: the version does not matter.
    pub fn kind(&self, group: &str, kind: &str) -> Option<Arc<Cache>> {
        let caches = self.0.caches.read();
        let same = |cache: &&Arc<Cache>| cache.about().kind == kind && cache.resource().group == group;
        caches.values().filter(same).min_by_key(|cache| cache.resource()).cloned()
    }

    /// Every cache, in order of group and plural.
    pub fn all(&self) -> Vec<Arc<Cache>> {
        let mut all: Vec<Arc<Cache>> = self.0.caches.read().values().cloned().collect();
        all.sort_by(|one, other| one.resource().cmp(other.resource()));
        all
    }

    /// Adds a cache; one of the same resource is closed and replaced.
    pub fn insert(&self, cache: Arc<Cache>) {
        let old = self.0.caches.write().insert(cache.resource().clone(), cache);
        if let Some(old) = old {
            old.close();
        }
        self.0.generation.send_modify(|generation| *generation += 1);
    }

    /// Closes and forgets the cache of a resource that is no longer served.
    pub fn remove(&self, resource: &Resource) {
        if let Some(old) = self.0.caches.write().remove(resource) {
            old.close();
            self.0.generation.send_modify(|generation| *generation += 1);
        }
    }

    /// Yields whenever a cache was added or removed.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// The caches of two kinds, once this process has both: a reflector may add them later. `None`: the table is gone.
    pub async fn both<A: k8s_openapi::Resource, B: k8s_openapi::Resource>(
        &self,
    ) -> Option<(Arc<Cache>, Arc<Cache>)> {
        let mut changed = self.changed();
        loop {
            if let Some(both) = self.get(&resource::<A>()).zip(self.get(&resource::<B>())) {
                return Some(both);
            }
            changed.changed().await.ok()?;
        }
    }

    /// A typed view of the cache of `K`; `None` if this process has no such cache.
    pub fn informer<K>(&self) -> Option<Informer<K>>
    where
        K: k8s_openapi::Resource + DeserializeOwned,
    {
        self.get(&resource::<K>()).map(Informer::new)
    }

    /// Returns once every cache had its first fill.
    pub async fn wait_synced(&self) {
        for cache in self.all() {
            cache.wait_synced().await;
        }
    }
}

/// The resource of a typed kind.
pub fn resource<K: k8s_openapi::Resource>() -> Resource {
    Resource { group: SmolStr::new_static(K::GROUP), plural: SmolStr::new_static(K::URL_PATH_SEGMENT) }
}
