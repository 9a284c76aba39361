//! The watch cache of one resource: ordered objects, a ring of past events, indexes, snapshots by revision (D4).
//!
//! Invariant: events are applied in order of revision, and what a subscriber sees is exactly what [`Cache::snapshot`]
//! shows plus the events after its revision.

use std::sync::Arc;

use api::object::Change;
use api::{Object, Resource, Revision};

/// See the module. Filled by one writer, read by everyone.
pub trait Cache: Send + Sync + 'static {
    fn resource(&self) -> &Resource;
    fn get(&self, namespace: &str, name: &str) -> Option<Arc<Object>>;
    fn snapshot(&self) -> Snapshot;
    fn subscribe(&self, from: Revision) -> Result<Subscription, Gone>;
}
/// Placeholder of the seam; `client`'s owner replaces the trait by the struct.
pub struct Snapshot {
    pub revision: Revision,
    pub objects: Vec<Arc<Object>>,
}
pub struct Subscription;
pub struct Event(pub Change);
/// The ring no longer holds what follows the revision asked for: HTTP 410.
#[derive(Debug, thiserror::Error)]
#[error("revision {asked} is too old, the oldest kept is {oldest}")]
pub struct Gone {
    pub asked: Revision,
    pub oldest: Revision,
}
/// Where a role gets the cache of a resource from.
pub trait Caches: Send + Sync + 'static {
    fn cache(&self, resource: &Resource) -> Option<Arc<dyn Cache>>;
}
