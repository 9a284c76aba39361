//! What the engine knows of live objects: metadata-only watches of just the kinds and namespaces in the inventories.
//!
//! Only tracked objects are remembered, a line each. An application is woken when one of its objects changed; whether
//! that is drift, it finds out by comparing the digest of our managed fields, without reading the object.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base::{Tasks, Token};
use futures_util::StreamExt;
use kube::core::WatchEvent;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::sync::Notify;

use crate::cluster::{Cluster, Kind, Metadata};
use crate::inventory::Id;
use crate::plan::Live;

/// Woken when something that concerns an application happened.
#[derive(Debug, Default)]
pub struct Bell {
    pub notify: Notify,
    /// Objects that changed since they were last looked at.
    pub dirty: Mutex<BTreeSet<Id>>,
}

/// What a front end reads off an object's metadata.
#[derive(Clone, Copy)]
pub struct Marks {
    /// The application whose mark it bears.
    pub by: fn(&Metadata) -> Option<String>,
    pub left_alone: fn(&Metadata) -> bool,
}

/// What is kept of an object's metadata. There are thousands of these, so that it holds nothing that can be told from the rest.
#[derive(Debug)]
struct Seen {
    uid: SmolStr,
    /// Digest of our fields.
    fields: SmolStr,
    mark: Option<SmolStr>,
    revision: u128,
    owned: bool,
    deleting: bool,
    left_alone: bool,
}

/// Whether an object is there.
enum Look {
    /// Not looked at yet.
    Unknown,
    Absent,
    There(Box<Seen>),
}

struct Tracked {
    /// Nearly always one.
    bells: Vec<Arc<Bell>>,
    seen: Look,
}

type Place = (Kind, SmolStr);

#[derive(Default)]
struct State {
    objects: HashMap<Id, Tracked>,
    watches: HashMap<Place, Token>,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Watches {
    cluster: Cluster,
    tasks: Tasks,
    marks: Marks,
    state: Arc<Mutex<State>>,
}

impl Watches {
    pub fn new(cluster: Cluster, tasks: Tasks, marks: Marks) -> Watches {
        Watches { cluster, tasks, marks, state: Arc::default() }
    }

    /// Makes `objects` what `bell` hears of, and watches their kinds.
    pub fn track(&self, bell: &Arc<Bell>, objects: &[(Id, Kind)]) {
        let mut state = self.state.lock();
        let ids: BTreeSet<&Id> = objects.iter().map(|(id, _)| id).collect();
        state.objects.retain(|id, tracked| {
            if !ids.contains(id) {
                tracked.bells.retain(|other| !Arc::ptr_eq(other, bell));
            }
            !tracked.bells.is_empty()
        });
        let mut needed = Vec::new();
        for (id, kind) in objects {
            let tracked = state
                .objects
                .entry(id.clone())
                .or_insert_with(|| Tracked { bells: Vec::with_capacity(1), seen: Look::Unknown });
            if !tracked.bells.iter().any(|other| Arc::ptr_eq(other, bell)) {
                tracked.bells.push(bell.clone());
            }
            needed.push((kind.clone(), id.namespace.clone()));
        }
        let alive: BTreeSet<(SmolStr, SmolStr, SmolStr)> = state
            .objects
            .keys()
            .map(|id| (id.group.clone(), id.kind.clone(), id.namespace.clone()))
            .collect();
        state.watches.retain(|(kind, namespace), token| {
            let used = alive.contains(&(kind.group.clone(), kind.kind.clone(), namespace.clone()));
            if !used {
                token.cancel();
            }
            used
        });
        for place in needed {
            if !state.watches.contains_key(&place) {
                let token = self.tasks.token().child_token();
                state.watches.insert(place.clone(), token.clone());
                let own = self.clone();
                self.tasks.spawn("fleet watch", async move {
                    token.run_until_cancelled(own.watch(place)).await;
                });
            }
        }
    }

    /// What is known of an object; the outer `None`: nothing yet.
    pub fn get(&self, id: &Id, instance: &str) -> Option<Option<Live>> {
        let state = self.state.lock();
        match &state.objects.get(id)?.seen {
            Look::Unknown => None,
            Look::Absent => Some(None),
            Look::There(seen) => Some(Some(seen.for_instance(instance))),
        }
    }

    /// Takes in what a request showed.
    pub fn observe(&self, id: &Id, meta: Option<&Metadata>, instance: &str) -> Option<Live> {
        let seen = meta.map(|meta| self.seen(meta));
        let live = seen.as_ref().map(|seen| seen.for_instance(instance));
        if let Some(tracked) = self.state.lock().objects.get_mut(id) {
            tracked.seen = Look::of(seen);
        }
        live
    }

    fn seen(&self, meta: &Metadata) -> Seen {
        Seen {
            uid: meta.uid.clone(),
            fields: meta.our_fields(),
            mark: (self.marks.by)(meta).map(Into::into),
            revision: meta.resource_version.parse().unwrap_or_default(),
            owned: meta.owner_references.iter().any(|owner| owner.controller),
            deleting: meta.deletion_timestamp.is_some(),
            left_alone: (self.marks.left_alone)(meta),
        }
    }

    fn put(&self, id: Id, seen: Option<Seen>) {
        let mut state = self.state.lock();
        let Some(tracked) = state.objects.get_mut(&id) else { return };
        let mut seen = seen;
        if let (Look::There(old), Some(new)) = (&tracked.seen, &mut seen) {
            new.share(old);
            // An event may be older than the answer to a request of ours.
            if new.revision < old.revision {
                return;
            }
        }
        tracked.seen = Look::of(seen);
        for bell in &tracked.bells {
            bell.dirty.lock().insert(id.clone());
            bell.notify.notify_one();
        }
    }

    async fn watch(&self, (kind, namespace): Place) {
        let mut pause = Duration::from_secs(1);
        loop {
            match self.follow(&kind, &namespace).await {
                Ok(()) => pause = Duration::from_secs(1),
                Err(error) => {
                    tracing::debug!(
                        kind = kind.kind.as_str(),
                        namespace = namespace.as_str(),
                        error = error.text(),
                        "a watch ended"
                    );
                    let jitter = rand::random_range(0..1000);
                    tokio::time::sleep(pause + Duration::from_millis(jitter)).await;
                    pause = (pause * 2).min(Duration::from_secs(60));
                }
            }
        }
    }

    /// Lists, then watches until the watch cannot go on.
    async fn follow(&self, kind: &Kind, namespace: &str) -> Result<(), crate::cluster::Error> {
        let id_of = |meta: &Metadata| {
            Id::new(kind.group.clone(), kind.kind.clone(), meta.namespace.clone(), meta.name.clone())
        };
        let mut missing: BTreeSet<Id> = {
            let state = self.state.lock();
            let here = |id: &&Id| id.group == kind.group && id.kind == kind.kind && id.namespace == namespace;
            state.objects.keys().filter(here).cloned().collect()
        };
        // What listing needs is not kept for the hours of watching.
        let mut revision = Box::pin(self.cluster.each_metadata(kind, namespace, |meta| {
            let id = id_of(&meta);
            missing.remove(&id);
            self.put(id, Some(self.seen(&meta)));
        }))
        .await?;
        for id in missing {
            self.put(id, None);
        }
        loop {
            let stream = self.cluster.watch_metadata(kind, namespace, &revision).await?;
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                match event? {
                    WatchEvent::Added(meta) | WatchEvent::Modified(meta) => {
                        revision = meta.metadata.resource_version.clone();
                        let seen = self.seen(&meta.metadata);
                        self.put(id_of(&meta.metadata), Some(seen));
                    }
                    WatchEvent::Deleted(meta) => {
                        revision = meta.metadata.resource_version.clone();
                        self.put(id_of(&meta.metadata), None);
                    }
                    WatchEvent::Bookmark(bookmark) => revision = bookmark.metadata.resource_version,
                    // 410: list again.
                    WatchEvent::Error(_) => return Ok(()),
                }
            }
        }
    }
}

impl Look {
    fn of(seen: Option<Seen>) -> Look {
        seen.map_or(Look::Absent, |seen| Look::There(Box::new(seen)))
    }
}

impl Seen {
    /// Takes the texts that did not change from what was seen before: they are the inventory's too.
    fn share(&mut self, old: &Seen) {
        if self.uid == old.uid {
            self.uid = old.uid.clone();
        }
        if self.mark == old.mark {
            self.mark = old.mark.clone();
        }
    }

    fn for_instance(&self, instance: &str) -> Live {
        Live {
            marked: self.mark.as_deref() == Some(instance),
            marked_by_other: self.mark.clone().filter(|mark| mark != instance),
            uid: self.uid.clone(),
            fields: self.fields.clone(),
            owned: self.owned,
            deleting: self.deleting,
            left_alone: self.left_alone,
        }
    }
}
