//! The engine: one task an application, woken by its object, by its objects and by time.
//!
//! [`run`] installs what is missing, then follows the driving objects of each front end. State on disk (artifact,
//! inventory) lies in one folder an application, so that an agent that starts offline goes on where it stopped.

mod clones;
mod events;
mod hooks;
pub(crate) mod index;
mod lanes;
mod sync;
mod task;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use base::{Clock, Tasks};
use futures_util::StreamExt;
use kube::core::WatchEvent;
use parking_lot::Mutex;

use crate::cluster::{Apply, Cluster, Error, Kind};
use crate::frontends::{self, FrontEnd, Settings};
use crate::git::Polls;
use crate::known::{Known, Ref};
use crate::ledger::Ledger;
use crate::live::{Bell, Marks, Watches};
use crate::neighbours::{Neighbours, Standing};
use crate::packed::Packed;
use crate::report::Ring;
use crate::source::Limits;
use crate::trust::Trust;
use crate::{Site, child};
use lanes::Lanes;

/// What the engine is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clones, artifacts and inventories are kept.
    pub directory: PathBuf,
    pub site: Site,
    pub child: child::Command,
    pub settings: Settings,
    /// Instead of the front end's interval, without jitter.
    pub interval: Option<Duration>,
    pub limits: Limits,
    /// Bytes to and from sources that a month may cost; looks that somebody asks for are made all the same.
    pub monthly_bytes: Option<u64>,
    /// How long clones are kept that nothing follows.
    pub forget: Duration,
    /// Where webhooks are listened for; `None`: nowhere.
    pub webhooks: Option<SocketAddr>,
    /// Where metrics are served to whoever asks; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Names of front ends; empty: all.
    pub front_ends: Vec<String>,
}

impl Config {
    pub fn new(directory: impl Into<PathBuf>) -> Config {
        Config {
            directory: directory.into(),
            site: Site::default(),
            child: child::Command::default(),
            settings: Settings::default(),
            interval: None,
            limits: Limits::default(),
            monthly_bytes: None,
            forget: clones::FORGET,
            webhooks: None,
            metrics: None,
            front_ends: Vec::new(),
        }
    }

    fn follows(&self, owner: &str) -> bool {
        self.front_ends.is_empty() || self.front_ends.iter().any(|name| name == owner)
    }
}

/// What all tasks share.
struct Shared {
    config: Config,
    cluster: Cluster,
    clock: Clock,
    reports: Mutex<Ring>,
    ledger: Mutex<Ledger>,
    trust: Mutex<Trust>,
    polls: Polls,
    lanes: Lanes,
    known: Known,
    hooks: hooks::Hooks,
    clones: clones::Clones,
}

/// The driving object of one application, as last seen.
struct Handle {
    /// `None`: it is gone.
    object: Mutex<Option<Packed>>,
    bell: Arc<Bell>,
}

/// Keeps the cluster in step until `tasks` are stopped.
pub async fn run(config: Config, client: kube::Client, clock: Clock, tasks: Tasks) {
    let reports = Mutex::new(Ring::open(&config.directory, &config.site.name));
    let ledger = Mutex::new(Ledger::open(&config.directory, config.monthly_bytes));
    let trust = Mutex::new(Trust::open(&config.directory));
    let cluster = Cluster::new(client);
    let (lanes, known) = (Lanes::default(), Known::default());
    let shared = Arc::new(Shared {
        config,
        cluster,
        clock,
        reports,
        ledger,
        trust,
        polls: Polls::default(),
        lanes,
        known,
        hooks: hooks::Hooks::default(),
        clones: clones::Clones::default(),
    });
    let own = shared.clone();
    tasks.spawn("fleet clones", async move { clones::tidy(own).await });
    if let Some(address) = shared.config.metrics {
        tasks.spawn("fleet metrics", crate::metrics::listen(address));
    }
    if let Some(address) = shared.config.webhooks {
        let (shared, own) = (shared.clone(), tasks.clone());
        tasks.spawn("fleet webhooks", async move { hooks::listen(shared, address, own).await });
    }
    for owner in frontends::owners().filter(|owner| shared.config.follows(owner)) {
        let (shared, own) = (shared.clone(), tasks.clone());
        tasks.spawn("fleet front end", async move { keep(&shared, owner, &own).await });
    }
    tasks.token().cancelled().await;
}

/// Runs the front ends of one owner, but never beside that owner's own controller.
async fn keep(shared: &Arc<Shared>, owner: &'static str, tasks: &Tasks) {
    let neighbours = Neighbours::new(&shared.cluster, owner);
    let own = neighbours.clone();
    tasks.spawn("fleet neighbours", async move { own.follow().await });
    let mut standing = neighbours.changes(None).await;
    loop {
        let group = tasks.part();
        match &standing {
            Standing::Free => {
                tracing::info!(front_end = owner, "on");
                for front in frontends::ALL.iter().filter(|front| front.name == owner) {
                    let (shared, own) = (shared.clone(), group.clone());
                    group.spawn("fleet front end", async move { run_front(shared, front, own).await });
                }
                if shared.config.webhooks.is_some() {
                    let shared = shared.clone();
                    group.spawn("fleet receivers", async move { hooks::stay_open(&shared, owner).await });
                }
            }
            Standing::Taken(sign) => {
                tracing::warn!(
                    front_end = owner,
                    "off: {sign} is live and follows the same objects; scale it down"
                );
                let text = format!(
                    "the fleet agent of skiff follows the same objects and stays off while {} is live; scale it down to let the agent take over",
                    sign.name
                );
                events::about_sign(shared, sign, "FrontEndOff", &text).await;
            }
            Standing::Unknown(fault) => {
                tracing::warn!(
                    front_end = owner,
                    "off: whether another controller is live cannot be told: {fault}"
                );
            }
        }
        standing = neighbours.changes(Some(&standing)).await;
        group.stop().await;
    }
}

async fn run_front(shared: Arc<Shared>, front: &'static FrontEnd, tasks: Tasks) {
    let mut pause = Duration::from_millis(500);
    // The API server may come later than we do.
    while let Err(error) = install(&shared.cluster, front).await {
        tracing::info!(front_end = front.name, error = error.text(), "waiting for the API server");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(15));
    }
    for reference in front.references {
        let shared = shared.clone();
        tasks.spawn("fleet references", async move { follow_references(&shared, *reference).await });
    }
    follow(shared, front, tasks).await;
}

/// Keeps what is known of a kind that front ends ask for.
async fn follow_references(shared: &Shared, reference: (&'static str, &'static str)) {
    let mut pause = Duration::from_secs(1);
    loop {
        if let Err(error) = references(shared, reference, &mut pause).await {
            tracing::debug!(kind = reference.1, error = error.text(), "a watch ended");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

async fn references(
    shared: &Shared,
    (api_version, name): (&'static str, &'static str),
    pause: &mut Duration,
) -> Result<(), Error> {
    let kind = shared.cluster.kind(api_version, name).await?;
    let (objects, mut revision) = shared.cluster.list_all(&kind).await?;
    let objects: Vec<Arc<Value>> = objects.into_iter().map(|object| Arc::new(slim(object))).collect();
    shared.known.replace(name, &objects);
    *pause = Duration::from_secs(1);
    loop {
        let stream = shared.cluster.watch_objects(&kind, "", &revision).await?;
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    revision = object.str_at(&["metadata", "resourceVersion"]).into();
                    shared.known.put(Ref::of(name, &object), Some(Packed::of(&slim(object))));
                }
                WatchEvent::Deleted(object) => {
                    revision = object.str_at(&["metadata", "resourceVersion"]).into();
                    shared.known.put(Ref::of(name, &object), None);
                }
                WatchEvent::Bookmark(bookmark) => revision = bookmark.metadata.resource_version,
                WatchEvent::Error(_) => return Ok(()),
            }
        }
    }
}

/// Without what nobody here reads.
fn slim(mut object: Value) -> Value {
    object.remove(&["metadata", "managedFields"]);
    object
}

async fn install(cluster: &Cluster, front: &FrontEnd) -> Result<(), Error> {
    make((front.definitions)(), cluster).await?;
    cluster.kind(front.api_version, front.kind).await.map(drop)
}

/// Makes what is needed and nobody made yet; never changes what is there.
async fn make(objects: Vec<Value>, cluster: &Cluster) -> Result<(), Error> {
    for object in objects {
        let name = object.str_at(&["metadata", "name"]);
        let namespace = object.str_at(&["metadata", "namespace"]);
        let kind = cluster.kind(object.str_at(&["apiVersion"]), object.str_at(&["kind"])).await?;
        if cluster.get(&kind, namespace, name).await?.is_none() {
            cluster.apply(&kind, &object, Apply { dry_run: false, strict: false }).await?;
            cluster.forget_kinds();
        }
    }
    Ok(())
}

async fn follow(shared: Arc<Shared>, front: &'static FrontEnd, tasks: Tasks) {
    let marks = Marks { by: front.marked_by, left_alone: front.left_alone };
    let watches = Watches::new(shared.cluster.clone(), tasks.clone(), marks);
    let mut all = Applications { shared: shared.clone(), front, watches, tasks, handles: HashMap::new() };
    let mut pause = Duration::from_secs(1);
    loop {
        match all.follow(&shared.cluster).await {
            Ok(()) => pause = Duration::from_secs(1),
            Err(error) => {
                tracing::debug!(
                    front_end = front.name,
                    error = error.text(),
                    "the watch of applications ended"
                );
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
            }
        }
    }
}

type Key = (String, String);

fn key(object: &Value) -> Key {
    (object.str_at(&["metadata", "namespace"]).into(), object.str_at(&["metadata", "name"]).into())
}

/// The applications of one front end, each with its task.
struct Applications {
    shared: Arc<Shared>,
    front: &'static FrontEnd,
    watches: Watches,
    tasks: Tasks,
    handles: HashMap<Key, Arc<Handle>>,
}

impl Applications {
    fn put(&mut self, key: Key, object: Packed) {
        let which = Ref { kind: self.front.kind.into(), namespace: key.0.clone(), name: key.1.clone() };
        self.shared.known.put(which, Some(object.clone()));
        let object = Some(object);
        if let Some(handle) = self.handles.get(&key) {
            *handle.object.lock() = object;
            handle.bell.notify.notify_one();
            return;
        }
        // The object is there before its task is: a task that finds none takes its application for gone.
        let handle = Arc::new(Handle { object: Mutex::new(object), bell: Arc::default() });
        let task = task::Task::new(
            self.shared.clone(),
            self.front,
            self.watches.clone(),
            handle.clone(),
            key.clone(),
        );
        self.handles.insert(key, handle);
        self.tasks.spawn("fleet application", task.run());
    }

    fn remove(&mut self, key: &Key) {
        let which = Ref { kind: self.front.kind.into(), namespace: key.0.clone(), name: key.1.clone() };
        self.shared.clones.is_gone(&which);
        self.shared.known.put(which, None);
        if let Some(handle) = self.handles.remove(key) {
            *handle.object.lock() = None;
            handle.bell.notify.notify_one();
        }
    }

    /// Lists, then watches until the watch cannot go on.
    async fn follow(&mut self, cluster: &Cluster) -> Result<(), Error> {
        let front = self.front;
        let kind: Kind = cluster.kind(front.api_version, front.kind).await?;
        let (objects, mut revision) = cluster.list_all(&kind).await?;
        let gone: Vec<Key> = self
            .handles
            .keys()
            .filter(|known| !objects.iter().any(|one| key(one) == **known))
            .cloned()
            .collect();
        gone.iter().for_each(|key| self.remove(key));
        let mut all = HashMap::with_capacity(objects.len());
        for mut object in objects {
            // Items of a list may not say what they are.
            object.set(&["apiVersion"], front.api_version);
            object.set(&["kind"], front.kind);
            all.insert(Ref::of(front.kind, &object), Packed::of(&slim(object)));
        }
        // All are known before one is read: they refer to each other.
        self.shared.known.take_list(front.kind, all.clone());
        all.into_iter().for_each(|(which, object)| self.put((which.namespace, which.name), object));
        loop {
            let stream = cluster.watch_objects(&kind, "", &revision).await?;
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                match event? {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        revision = object.str_at(&["metadata", "resourceVersion"]).into();
                        self.put(key(&object), Packed::of(&slim(object)));
                    }
                    WatchEvent::Deleted(object) => {
                        revision = object.str_at(&["metadata", "resourceVersion"]).into();
                        self.remove(&key(&object));
                    }
                    WatchEvent::Bookmark(bookmark) => revision = bookmark.metadata.resource_version,
                    WatchEvent::Error(_) => return Ok(()),
                }
            }
        }
    }
}
