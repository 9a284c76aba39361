//! From the caches to the [`Engine`]: every change of a Service or one of its EndpointSlices compiles that Service anew.
//!
//! Invariant: a Service is compiled from the caches as they are then, never from an event's content, so events may be
//! joined. Nothing runs while nothing changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use api::{Key, Object};
use base::Tasks;
use client::{Cache, Caches, Subscription, decode};
use k8s_openapi::api::core::v1::{Node as NodeObject, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::compile::{Compiled, Node, compile};
use crate::health::Health;
use crate::{Config, Engine, Error};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Between attempts after the kernel refused the rules.
const RETRY: Duration = Duration::from_secs(5);

/// Starts the proxy of one node: it runs until `tasks` stop, and leaves its rules, so that Services work while the
/// daemon restarts. The caches must have Services and EndpointSlices; without Nodes there are no zone hints.
pub fn run(config: Config, caches: &Caches, tasks: &Tasks) -> Result<(), Error> {
    let engine = Engine::new(config.clone())?;
    let caches = caches.clone();
    let health = Health::new(tasks.clone());
    tasks.spawn("proxy", async move {
        let Some((services, slices)) = caches.both::<Service, EndpointSlice>().await else { return };
        let node = Node {
            name: config.node_name.clone(),
            zone: String::new(),
            cluster_cidr: config.cluster_cidr.trunc(),
            local_addresses: config.local_addresses.clone(),
        };
        let nodes = caches.get(&client::resource::<NodeObject>());
        let state = State { services, slices, nodes, index: Index::default(), node };
        Proxy { state, engine: Some(engine), config, health }.run().await;
    });
    Ok(())
}

struct Proxy {
    state: State,
    /// Lent to a blocking thread while the kernel works.
    engine: Option<Engine>,
    config: Config,
    health: Health,
}

impl Proxy {
    async fn run(mut self) {
        self.state.services.wait_synced().await;
        self.state.slices.wait_synced().await;
        let (mut services, mut slices, mut dirty) = self.state.watch();
        loop {
            if self.engine.is_none() {
                // The last one fell with its thread; a new one starts from everything.
                match Engine::new(self.config.clone()) {
                    Ok(engine) => self.engine = Some(engine),
                    Err(error) => {
                        tracing::error!(error = %base::chain(&error), "the proxy cannot start again");
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                }
                let all;
                (services, slices, all) = self.state.watch();
                dirty.extend(all);
                self.state.index.started = false;
            }
            if !dirty.is_empty() || !self.state.index.started {
                self.state.index.started = true;
                let names = std::mem::take(&mut dirty);
                if self.apply(&names).await.is_err() {
                    dirty = names;
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            let lost = tokio::select! {
                events = services.next() => match events {
                    Ok(events) => {
                        dirty.extend(events.iter().map(|event| name(&event.change.object().key)));
                        false
                    }
                    Err(_) => true,
                },
                events = slices.next() => match events {
                    Ok(events) => {
                        for event in &events {
                            self.state.index.change(&event.change, &mut dirty);
                        }
                        false
                    }
                    Err(_) => true,
                },
            };
            if lost {
                if self.state.services.is_closed() || self.state.slices.is_closed() {
                    tracing::error!("Services are no longer served: their rules stay as they are");
                    return;
                }
                let again;
                (services, slices, again) = self.state.watch();
                dirty.extend(again);
            }
        }
    }

    async fn apply(&mut self, names: &BTreeSet<String>) -> Result<(), ()> {
        self.state.locate();
        let changes = names.iter().map(|name| (name.clone(), self.state.compile(name))).collect();
        let Some(mut engine) = self.engine.take() else { return Err(()) };
        let done = tokio::task::spawn_blocking(move || {
            let result = engine.apply(changes);
            (engine, result)
        });
        let (engine, result) =
            done.await.map_err(|error| tracing::error!(%error, "the proxy's thread fell"))?;
        let engine = self.engine.insert(engine);
        self.health.serve(engine.health());
        result.map_err(|error| tracing::error!(error = %base::chain(&error), "Services are not up to date"))
    }
}

struct State {
    services: Arc<Cache>,
    slices: Arc<Cache>,
    nodes: Option<Arc<Cache>>,
    index: Index,
    node: Node,
}

/// Which slices a Service has.
#[derive(Default)]
struct Index {
    started: bool,
    by_service: HashMap<String, BTreeSet<Key>>,
    by_slice: BTreeMap<Key, String>,
}

impl Index {
    fn change(&mut self, change: &api::object::Change, dirty: &mut BTreeSet<String>) {
        match change {
            api::object::Change::Put { object, .. } => self.put(object, dirty),
            api::object::Change::Delete { object, .. } => self.remove(&object.key, dirty),
        }
    }

    fn put(&mut self, object: &Object, dirty: &mut BTreeSet<String>) {
        self.remove(&object.key, dirty);
        let label = |name: &str| object.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let Some(service) = label(SERVICE_NAME).filter(|_| label(HEADLESS).is_none()) else { return };
        let service = format!("{}/{service}", object.key.namespace());
        dirty.insert(service.clone());
        self.by_service.entry(service.clone()).or_default().insert(object.key.clone());
        self.by_slice.insert(object.key.clone(), service);
    }

    fn remove(&mut self, key: &Key, dirty: &mut BTreeSet<String>) {
        let Some(service) = self.by_slice.remove(key) else { return };
        if let Some(keys) = self.by_service.get_mut(&service) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_service.remove(&service);
            }
        }
        dirty.insert(service);
    }
}

impl State {
    /// Begins anew: what there is, what comes, and the names of all Services that are or were known.
    fn watch(&mut self) -> (Subscription, Subscription, BTreeSet<String>) {
        let (services, service_events) = self.services.watch();
        let (slices, slice_events) = self.slices.watch();
        let mut dirty: BTreeSet<String> = self.index.by_service.keys().cloned().collect();
        dirty.extend(services.iter().map(|object| name(&object.key)));
        self.index = Index { started: self.index.started, ..Index::default() };
        for slice in slices.iter() {
            self.index.put(slice, &mut dirty);
        }
        (service_events, slice_events, dirty)
    }

    /// Where this node is may be told late.
    fn locate(&mut self) {
        let Some(node) = self.nodes.as_ref().and_then(|nodes| nodes.get("", &self.node.name)) else { return };
        let zone = node.labels.iter().find(|(key, _)| key == ZONE);
        self.node.zone = zone.map(|(_, value)| value.to_string()).unwrap_or_default();
    }

    /// `None` if there is no such Service, or if its compilation panics: one bad object must not stop the others.
    fn compile(&self, name: &str) -> Option<Compiled> {
        let (namespace, short) = name.split_once('/')?;
        let service: Service = decode(&self.services.get(namespace, short)?)?;
        let keys = self.index.by_service.get(name).into_iter().flatten();
        let slices: Vec<EndpointSlice> = keys.filter_map(|key| decode(&self.slices.get_key(key)?)).collect();
        let attempt = std::panic::catch_unwind(AssertUnwindSafe(|| compile(&service, &slices, &self.node)));
        attempt
            .map_err(|panic| {
                let text = base::task::panic_text(&*panic);
                tracing::error!(service = name, panic = text, "a Service cannot be compiled");
            })
            .ok()
    }
}

fn name(key: &Key) -> String {
    format!("{}/{}", key.namespace(), key.name())
}
