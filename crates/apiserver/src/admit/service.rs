//! ClusterIPs and node ports of Services: taken before the write, given back if it fails.
//!
//! What is taken follows the stored Services: occupied when the cache is filled, freed when a deletion is seen.

use std::collections::HashMap;
use std::sync::Arc;

use api::allocator::{IpRange, PortRange};
use api::service::{Network, Taken};
use api::{Key, Object, Value};
use client::Update;
use parking_lot::Mutex;

use crate::config::Config;
use crate::engine::Call;
use crate::status::{Result, Status};

/// What is handed out.
pub(crate) struct Services {
    network: Mutex<Network>,
    /// The stored Services, as far as they were seen; locked after `network`. What a failed write gives back may meanwhile have become
    /// the Service's of another server.
    stored: Mutex<HashMap<Key, Arc<Object>>>,
    /// Of those whom another server was faster than: one of this server tries again at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Services {
    pub fn new(config: &Config) -> Services {
        let addresses = config
            .service_cidrs
            .iter()
            .map(|cidr| IpRange::new(cidr.network(), cidr.prefix_len().into()))
            .collect();
        let ports = PortRange::new(*config.node_ports.start(), *config.node_ports.end());
        Services {
            network: Mutex::new(Network { addresses, ports }),
            stored: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits until nobody else of this server tries again.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Follows the cache.
    pub fn observe(&self, update: &Update) {
        match update {
            Update::Put(object) => {
                let mut network = self.network.lock();
                network.occupy(&object.value());
                self.stored.lock().insert(object.key.clone(), object.clone());
            }
            Update::Delete(object) => {
                let mut network = self.network.lock();
                network.release(&object.value(), None);
                self.stored.lock().remove(&object.key);
            }
        }
    }
}

/// What one write has taken; given back when dropped, unless the write was made.
pub(crate) struct Hold {
    services: Arc<Services>,
    taken: Vec<Taken>,
    old: Option<Value>,
    new: Value,
}

impl Hold {
    /// Something was taken that nobody else may take.
    pub fn takes(&self) -> bool {
        !self.taken.is_empty()
    }

    /// The write was made: what it took is the Service's, and what it gave up is free.
    pub fn keep(mut self) {
        self.taken.clear();
        if let Some(old) = self.old.take() {
            self.services.network.lock().release(&old, Some(&self.new));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.taken.is_empty() {
            let mut network = self.services.network.lock();
            network.give_back(&self.taken);
            for object in self.services.stored.lock().values() {
                network.occupy(&object.value());
            }
        }
    }
}

pub(super) fn assign(call: &Call, old: Option<&Value>, new: &mut Value) -> Result<Hold> {
    let services = call.inner.services.clone();
    let refused = |new: &Value, errors: &[api::field::Error]| {
        Status::invalid(&call.target.kind, new.str_at(&["metadata", "name"]), errors)
    };
    let errors = api::kinds::core::service::asked(new);
    if !errors.is_empty() {
        return Err(refused(new, &errors));
    }
    let taken = services.network.lock().assign(new, old).map_err(|errors| refused(new, &errors))?;
    Ok(Hold { services, taken, old: old.cloned(), new: new.clone() })
}
