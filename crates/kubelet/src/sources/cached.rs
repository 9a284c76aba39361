//! [`Sources`](super::Sources) over the process' caches.

use std::sync::Arc;

use base::Tasks;
use client::{Caches, Informer};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, Service};
use tokio::sync::broadcast;

use super::{Changed, Sources};

/// See the module. Nothing is kept here; objects are decoded when asked for.
pub struct Cached {
    node_name: String,
    pods: Informer<Pod>,
    config_maps: Informer<ConfigMap>,
    secrets: Informer<Secret>,
    services: Informer<Service>,
    nodes: Informer<Node>,
    changes: broadcast::Sender<Changed>,
}

/// A resource that the kubelet cannot do without has no cache.
#[derive(Debug, thiserror::Error)]
#[error("there is no cache of {0}")]
pub struct NoCache(&'static str);

impl Cached {
    /// Waits until the caches have had their first fill, so that nothing is taken for deleted that was not read yet.
    pub async fn start(caches: &Caches, node_name: &str, tasks: &Tasks) -> Result<Arc<Cached>, NoCache> {
        let (changes, _) = broadcast::channel(1024);
        let cached = Cached {
            node_name: node_name.to_owned(),
            pods: caches.informer().ok_or(NoCache("pods"))?,
            config_maps: caches.informer().ok_or(NoCache("configmaps"))?,
            secrets: caches.informer().ok_or(NoCache("secrets"))?,
            services: caches.informer().ok_or(NoCache("services"))?,
            nodes: caches.informer().ok_or(NoCache("nodes"))?,
            changes: changes.clone(),
        };
        for cache in [
            cached.pods.cache(),
            cached.config_maps.cache(),
            cached.secrets.cache(),
            cached.services.cache(),
            cached.nodes.cache(),
        ] {
            cache.wait_synced().await;
        }
        forward(cached.pods.clone(), changes.clone(), tasks, |namespace, name| Changed::Pod {
            namespace,
            name,
        });
        forward(cached.config_maps.clone(), changes.clone(), tasks, |namespace, name| Changed::ConfigMap {
            namespace,
            name,
        });
        forward(cached.secrets.clone(), changes, tasks, |namespace, name| Changed::Secret {
            namespace,
            name,
        });
        Ok(Arc::new(cached))
    }
}

fn forward<K: serde::de::DeserializeOwned + 'static>(
    informer: Informer<K>,
    changes: broadcast::Sender<Changed>,
    tasks: &Tasks,
    change: fn(String, String) -> Changed,
) {
    tasks.spawn("kubelet's changes", async move {
        let mut keys = informer.subscribe();
        while let Ok(changed) = keys.next().await {
            for key in changed {
                // Nobody listens before the kubelet starts; it reads everything then.
                let _nobody = changes.send(change(key.namespace().to_owned(), key.name().to_owned()));
            }
        }
    });
}

impl Sources for Cached {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.by_field("spec.nodeName", &self.node_name).into_iter().map(Arc::new).collect()
    }
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let pod = self.pods.get(namespace, name)?;
        let mine = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(&self.node_name);
        mine.then(|| Arc::new(pod))
    }
    fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<ConfigMap>> {
        self.config_maps.get(namespace, name).map(Arc::new)
    }
    fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Secret>> {
        self.secrets.get(namespace, name).map(Arc::new)
    }
    fn services(&self, namespace: &str) -> Vec<Arc<Service>> {
        self.services.list(namespace).into_iter().map(Arc::new).collect()
    }
    fn node(&self) -> Option<Arc<Node>> {
        self.nodes.get("", &self.node_name).map(Arc::new)
    }
    fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }
}
