//! Who may fetch now. A source that is slow or silent holds up only its like: those that did not answer last time share
//! one place of their own, paths of the host do not wait for the network at all, and one clone is used by one at a time.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};

use crate::git::{Url, parse_url};
use crate::source::Request;

/// See the module.
pub(super) struct Lanes {
    /// Children that talk to servers: their memory is what counts.
    network: Semaphore,
    /// The same for servers that did not answer last time.
    doubtful: Semaphore,
    local: Semaphore,
    clones: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

impl Default for Lanes {
    fn default() -> Lanes {
        Lanes {
            network: Semaphore::new(2),
            doubtful: Semaphore::new(1),
            local: Semaphore::new(2),
            clones: Mutex::default(),
        }
    }
}

/// A place, until it is dropped.
pub(super) struct Place<'a> {
    _clones: Vec<OwnedMutexGuard<()>>,
    _lane: Option<SemaphorePermit<'a>>,
}

impl Lanes {
    /// Waits for a place. `doubtful`: the source did not answer last time.
    pub async fn enter(&self, request: &Request, doubtful: bool) -> Place<'_> {
        let remote = request.fetches.iter().any(|fetch| !matches!(parse_url(&fetch.url), Ok(Url::Local(_))));
        // In the order of paths: two applications with the same two sources do not wait for each other for ever.
        let mut paths: Vec<&PathBuf> = request
            .fetches
            .iter()
            // Submodules of a path of the host have clones too.
            .filter(|fetch| fetch.submodules || !matches!(parse_url(&fetch.url), Ok(Url::Local(_))))
            .map(|fetch| &fetch.repository)
            .collect();
        paths.sort();
        paths.dedup();
        let mut clones = Vec::with_capacity(paths.len());
        for path in paths {
            let clone = self.clones.lock().entry(path.clone()).or_default().clone();
            clones.push(clone.lock_owned().await);
        }
        let lane = match (remote, doubtful) {
            (false, _) => &self.local,
            (true, true) => &self.doubtful,
            (true, false) => &self.network,
        };
        // Nobody closes a lane.
        Place { _clones: clones, _lane: lane.acquire().await.ok() }
    }
}
