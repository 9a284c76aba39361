//! The node agent: it runs the pods that are bound to its node, tells their state, and serves the node's own API.
//!
//! A pod is one worker that plans purely ([`pod`]) and then acts ([`work`]) through four seams: [`runtime::Runtime`],
//! [`Images`], [`Network`] and `kube::Client`. What runs is always asked of the runtime, so a kubelet that was
//! killed adopts what it finds. The node's API is an HTTP service for one byte stream; nothing here listens.

pub mod config;
pub mod container;
mod hook;
pub mod images;
mod kubelet;
pub mod links;
pub mod logs;
pub mod network;
mod node;
pub mod pod;
pub mod probe;
pub mod quantity;
pub mod server;
pub mod sources;
mod upkeep;
pub mod volumes;
mod work;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use config::Config;
pub use images::Images;
pub use kubelet::Kubelet;
pub use network::Network;
pub use sources::Sources;

/// What a kubelet works with.
#[derive(Clone)]
pub struct Seams {
    /// Speaks as `system:node:<name>`.
    pub client: kube::Client,
    /// Filled before the kubelet starts: a pod that is not in it is taken for deleted.
    pub sources: Arc<dyn Sources>,
    pub recorder: client::Recorder,
    pub runtime: Arc<dyn runtime::Runtime>,
    pub images: Arc<dyn Images>,
    pub network: Arc<dyn Network>,
}
