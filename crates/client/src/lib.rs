//! How every role reads and writes the cluster: [`Cache`] is the one copy in memory, [`Informer`] a typed view of it,
//! `kube::Client` makes the requests (D4).
//!
//! In the server's process `apiserver` fills the caches from the store and roles share them; elsewhere a reflector
//! fills the same type over HTTPS. A reader cannot tell. [`reconcile`] runs what acts on the caches, [`Writer`] writes.

pub mod cache;
pub mod caches;
pub mod diff;
pub mod informer;
pub mod labels;
pub mod placement;
pub mod queue;
pub mod reconcile;
pub mod recorder;
pub mod reflector;
pub mod wire;
pub mod writer;

pub use cache::{About, Cache, Closed, Event, Gone, Limits, Snapshot, Subscription, Update};
pub use caches::{Caches, resource};
pub use informer::{Informer, Keys, Meta, OwnerReference, decode, meta};
pub use queue::Queue;
pub use reconcile::{Action, Reconciler, Watch};
pub use recorder::Recorder;
pub use writer::{Delete, Patch, Propagation, Writer};
