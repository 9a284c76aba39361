//! Pods on this machine's kernel: one shim process each (crate `shim`), cgroups v1 or v2, overlayfs.
//!
//! A pod's files are below [`Config::root`]`/<uid>`: `sandbox.json` and, for each container, `spec.json` (written here),
//! `status.json` (written by the shim) and the folders of its overlay. They are the truth when the daemon starts; while it
//! runs, shims push what changes. Nothing here decides to start anything again: that is the kubelet's.

mod capabilities;
mod cgroup;
mod client;
mod devices;
mod launch;
mod plan;
mod pods;
mod seccomp;
mod sessions;
mod state;
mod stats;
mod terminal;
mod verbs;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::{Error, Event};

/// The shim that was built with this crate.
pub const SHIM: &[u8] = include_bytes!(env!("SKIFF_SHIM"));

/// Where the runtime keeps what it makes.
#[derive(Clone, Debug)]
pub struct Config {
    /// A folder of the runtime's own that outlives a reboot; overlayfs must be able to write here.
    pub root: PathBuf,
    /// Sockets and compiled seccomp programs; gone after a reboot.
    pub run: PathBuf,
    /// Name of the cgroup, below the root of each hierarchy, that all pods are in.
    pub cgroup: String,
    /// The shim's program; [`SHIM`] but in tests.
    pub shim: &'static [u8],
}

impl Config {
    /// With the built-in shim and the cgroup `skiff`.
    pub fn new(root: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Config {
        Config { root: root.into(), run: run.into(), cgroup: "skiff".into(), shim: SHIM }
    }
}

/// The runtime of Linux containers.
pub struct Linux {
    config: Config,
    cgroups: cgroup::Cgroups,
    shim: launch::Program,
    pods: Mutex<HashMap<String, pods::Pod>>,
    /// One lock a pod for the verbs that make and remove; never held while anything else of the pod waits.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    events: broadcast::Sender<Event>,
    /// For tasks that outlive the call that started them.
    me: std::sync::Weak<Linux>,
}

impl Linux {
    /// Opens the runtime, takes over every shim that still runs, and settles what happened to the others.
    ///
    /// # Errors
    /// [`Error::Unsupported`] without root, cgroups or a writable folder.
    pub async fn open(config: Config) -> Result<Arc<Linux>, Error> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Error::Unsupported {
                what: "run containers without root".into(),
                hint: "start skiff as root".into(),
            });
        }
        for folder in
            [config.root.clone(), config.run.clone(), config.run.join("shims"), config.run.join("seccomp")]
        {
            state::make_private_folder(&folder)?;
        }
        let cgroups = cgroup::Cgroups::find(&config.cgroup)?;
        let shim = launch::Program::load(config.shim)?;
        let (events, _) = broadcast::channel(1024);
        let linux = Arc::new_cyclic(|me| Linux {
            config,
            cgroups,
            shim,
            pods: Mutex::new(HashMap::new()),
            locks: Mutex::new(HashMap::new()),
            events,
            me: me.clone(),
        });
        linux.adopt().await?;
        Ok(linux)
    }

    fn lock_of(&self, pod: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.locks.lock().entry(pod.to_owned()).or_default().clone()
    }

    fn tell(&self, sandbox: &str, container: Option<&str>) {
        // Nobody listens before the kubelet does; it lists first.
        let _ =
            self.events.send(Event { sandbox: sandbox.to_owned(), container: container.map(str::to_owned) });
    }
}

/// A failure of this machine.
fn system<E>(operation: &'static str, id: &str) -> impl FnOnce(E) -> Error + use<E>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let id = id.to_owned();
    move |source| Error::System { operation, id, source: source.into() }
}

/// Runs file work beside the async threads.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => Err(Error::System { operation, id: "in the background".into(), source: panic.into() }),
    }
}
