//! What every controller is given, and the little that all of them do with it.

use std::sync::Arc;
use std::time::Duration;

use base::Clock;
use client::{Cache, Caches, Informer, Recorder, Writer};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::de::DeserializeOwned;

use crate::Config;

/// See the module. Each controller's own: the writer has its identity, the recorder its name.
#[derive(Clone)]
pub struct Context {
    pub writer: Writer,
    pub recorder: Recorder,
    pub caches: Caches,
    pub clock: Clock,
    pub config: Arc<Config>,
}

impl Context {
    pub fn cache<K: k8s_openapi::Resource>(&self) -> Option<Arc<Cache>> {
        self.caches.get(&client::resource::<K>())
    }
    pub fn informer<K: k8s_openapi::Resource + DeserializeOwned>(&self) -> Option<Informer<K>> {
        self.caches.informer()
    }
    /// How long it is until `end`; `None` from then on.
    pub fn until(&self, end: Timestamp) -> Option<Duration> {
        let left = Duration::try_from(end.duration_since(self.clock.now())).ok()?;
        (!left.is_zero()).then_some(left)
    }
    /// Now, in whole seconds, as `metav1.Time` holds it.
    pub fn now(&self) -> Time {
        whole(self.clock.now())
    }
}

/// Cuts to whole seconds: what is written must read back equal, or a converged status would be written again.
pub fn whole(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}
