//! What the kubelet reads of the cluster: the pods of its node, and what they refer to.
//!
//! Invariant: everything here is answered from memory, at once; waiting is done on [`Sources::changes`] only. How the
//! caches behind it are filled is `client`'s business.

mod cached;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Secret, Service};
use tokio::sync::broadcast;

pub use cached::Cached;

/// What changed; read the sources to know how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    Pod { namespace: String, name: String },
    ConfigMap { namespace: String, name: String },
    Secret { namespace: String, name: String },
    Node,
}

/// See the module. All values come without managedFields and are only read.
pub trait Sources: Send + Sync + 'static {
    /// Pods whose `spec.nodeName` is this node.
    fn pods(&self) -> Vec<Arc<Pod>>;
    fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>>;
    fn config_map(&self, namespace: &str, name: &str) -> Option<Arc<ConfigMap>>;
    fn secret(&self, namespace: &str, name: &str) -> Option<Arc<Secret>>;
    /// All Services of a namespace, for the variables of `enableServiceLinks`.
    fn services(&self, namespace: &str) -> Vec<Arc<Service>>;
    fn node(&self) -> Option<Arc<Node>>;
    /// Changes from now on. A receiver that lags is told so by its channel and reads everything again.
    fn changes(&self) -> broadcast::Receiver<Changed>;
}
