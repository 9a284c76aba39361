//! Clones that nothing follows any more go, after a while: who takes an application away and puts it back fetches nothing anew.
//!
//! Nothing is written down: what is unused is seen by what the applications say that they follow. As long as not all of them were
//! seen, nothing goes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Shared;
use crate::frontends;
use crate::known::Ref;
use crate::source::Recipe;

/// The folder of clones, in the fleet's.
pub(super) const FOLDER: &str = "sources";

/// Which clones each application follows.
#[derive(Default)]
pub(super) struct Clones(Mutex<HashMap<Ref, Vec<String>>>);

impl Clones {
    pub fn follows(&self, who: Ref, recipe: &Recipe) {
        let keys: Vec<String> = recipe.sources.iter().map(|source| source.repository_key()).collect();
        self.0.lock().insert(who, keys);
    }

    pub fn is_gone(&self, who: &Ref) {
        self.0.lock().remove(who);
    }

    fn used(&self) -> HashSet<String> {
        self.0.lock().values().flatten().cloned().collect()
    }
}

/// Looks every now and then, for as long as it is not dropped.
pub(super) async fn tidy(shared: Arc<Shared>) {
    let grace = shared.config.forget;
    let mut unused: HashMap<String, Instant> = HashMap::new();
    loop {
        tokio::time::sleep(grace / 4).await;
        let fronts = frontends::ALL.iter().filter(|front| shared.config.follows(front.name));
        if !fronts.into_iter().all(|front| shared.known.is_listed(front.kind)) {
            continue;
        }
        let (used, now) = (shared.clones.used(), Instant::now());
        let folder = shared.config.directory.join(FOLDER);
        let there = clones(&folder);
        unused.retain(|key, _| there.contains(key) && !used.contains(key));
        for key in there.into_iter().filter(|key| !used.contains(key)) {
            if now.duration_since(*unused.entry(key.clone()).or_insert(now)) >= grace && remove(&folder, &key)
            {
                tracing::info!(clone = key, "nothing follows it any more: it is deleted");
            }
        }
    }
}

/// The names before the first dot: `KEY`, `KEY.claim`, `KEY.known_hosts`, `KEY.modules`.
fn clones(folder: &Path) -> HashSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.split('.').next()?.to_string()))
        .filter(|key| !key.is_empty())
        .collect()
}

/// Takes a clone away that no child uses at the moment.
fn remove(folder: &Path, key: &str) -> bool {
    let claim = folder.join(format!("{key}.claim"));
    let Ok(file) = File::options().create(true).append(true).open(&claim) else { return false };
    let Ok(_lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return false };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.split('.').next()) == Some(key) && entry.path() != claim {
            let path = entry.path();
            let _ = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        }
    }
    std::fs::remove_file(&claim).is_ok()
}

/// For [`super::Config`].
pub(super) const FORGET: Duration = Duration::from_secs(3600);
