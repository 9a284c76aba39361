//! The node agent: it runs the pods that are bound to its node, tells their state, and serves the node's own API.
//!
//! A pod is one worker that plans purely ([`pod`]) and then acts through four seams: [`runtime::Runtime`],
//! [`Images`], [`Network`] and `kube::Client`. What runs is always asked of the runtime, so a kubelet that was
//! killed adopts what it finds. The node's API is an HTTP service for one byte stream; nothing here listens.

pub mod config;
pub mod images;
pub mod network;
pub mod quantity;
pub mod sources;

use std::sync::Arc;

pub use config::Config;
pub use images::Images;
pub use network::Network;
pub use sources::Sources;

/// What a kubelet works with.
#[derive(Clone)]
pub struct Seams {
    /// Speaks as `system:node:<name>`.
    pub client: kube::Client,
    pub sources: Arc<dyn Sources>,
    pub runtime: Arc<dyn runtime::Runtime>,
    pub images: Arc<dyn Images>,
    pub network: Arc<dyn Network>,
}
