//! The audit log: who did what, by a Policy, to a file and to a webhook (k8s.io/apiserver/pkg/audit).
//!
//! Each request that the policy names has one [`Entry`]; its events go as JSON into the backends' bounded queues. Where the
//! file's queue is full, requests wait for it before they begin (upstream's mode `blocking`) or their events are dropped and counted (`batch`).

mod event;
mod file;
mod policy;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Clock, Tasks};
use bytes::Bytes;
use tokio::sync::mpsc;

pub(crate) use event::{Entry, Shown};
pub use policy::Error;
use policy::Policy;

use crate::Identity;
use crate::authz::Attributes;
use crate::http::Info;
use crate::remote::Peer;

/// Events that wait for a backend (upstream's buffer).
const QUEUE: usize = 10_000;
/// Room that a request needs before it begins, in mode `blocking`.
const ROOM: usize = 8;

/// What is noted, and where it goes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A Policy of audit.k8s.io/v1.
    pub policy: api::Value,
    pub log: Option<Log>,
    pub webhook: Option<Webhook>,
}

/// `--audit-log-*`, with upstream's defaults.
#[derive(Clone, Debug)]
pub struct Log {
    /// `-`: standard output.
    pub path: PathBuf,
    /// Megabytes after which a new file is begun; 0: never.
    pub max_size: u64,
    /// Days that old files are kept, and how many; 0: for ever, and all.
    pub max_age: u64,
    pub max_backups: usize,
    /// Old files are compressed.
    pub compress: bool,
    /// A request waits while the queue is full; else its events are dropped.
    pub blocking: bool,
}

impl Log {
    pub fn new(path: PathBuf) -> Log {
        Log { path, max_size: 100, max_age: 366, max_backups: 100, compress: false, blocking: true }
    }
}

/// `--audit-webhook-*`, with upstream's defaults.
#[derive(Clone, Debug)]
pub struct Webhook {
    pub peer: Peer,
    /// Events in one request, and how long the first waits for the others.
    pub batch: usize,
    pub wait: Duration,
    /// Before the second try of a request; later ones wait longer.
    pub backoff: Duration,
}

impl Webhook {
    pub fn new(peer: Peer) -> Webhook {
        Webhook { peer, batch: 400, wait: Duration::from_secs(30), backoff: Duration::from_secs(10) }
    }
}

/// See the module.
pub(crate) struct Audit {
    policy: Policy,
    clock: Clock,
    log: Option<(mpsc::Sender<Bytes>, bool)>,
    webhook: Option<mpsc::Sender<Bytes>>,
    dropped: AtomicU64,
}

/// Why no audit log can be kept.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("the audit policy: {0}")]
    Policy(#[from] Error),
    #[error("cannot open the audit log {path}: {source}")]
    Log { path: PathBuf, source: std::io::Error },
}

impl Audit {
    /// Opens the file and starts the backends' tasks. The webhook's waits for [`webhook::Queue::run`].
    pub fn start(
        settings: &Settings,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<(Arc<Audit>, Option<webhook::Queue>), Unusable> {
        let policy = Policy::parse(&settings.policy)?;
        let log = match &settings.log {
            Some(log) => {
                let (sender, receiver) = mpsc::channel(QUEUE);
                let failed = |source| Unusable::Log { path: log.path.clone(), source };
                let writer = file::Writer::open(log, clock, receiver).map_err(failed)?;
                tasks.spawn("audit-log", writer.run());
                Some((sender, log.blocking))
            }
            None => None,
        };
        let (webhook, queue) = match &settings.webhook {
            Some(settings) => {
                let (sender, receiver) = mpsc::channel(QUEUE);
                (Some(sender), Some(webhook::Queue::new(settings.clone(), receiver)))
            }
            None => (None, None),
        };
        let audit = Audit { policy, clock: clock.clone(), log, webhook, dropped: AtomicU64::new(0) };
        Ok((Arc::new(audit), queue))
    }

    /// The entry of a request that the policy names. `identity` is `None` of one that is refused for who asks.
    pub async fn begin(
        self: &Arc<Audit>,
        identity: Option<&Identity>,
        info: &Arc<Info>,
        shown: Shown<'_>,
        streams: bool,
    ) -> Option<Arc<Entry>> {
        let note = self.policy.note(identity, &Attributes::of(info))?;
        if let Some((log, true)) = &self.log {
            // What is gone is the server itself.
            let _room = log.reserve_many(ROOM).await;
        }
        Some(Entry::new(self.clone(), note, identity, info.clone(), shown, streams))
    }

    fn emit(&self, event: Bytes) {
        let mut lost = false;
        if let Some((log, _)) = &self.log {
            lost |= log.try_send(event.clone()).is_err();
        }
        if let Some(webhook) = &self.webhook {
            lost |= webhook.try_send(event).is_err();
        }
        // The first of each thousand is told.
        if lost && self.dropped.fetch_add(1, Ordering::Relaxed).is_multiple_of(1000) {
            let dropped = self.dropped.load(Ordering::Relaxed);
            tracing::warn!(dropped, "audit events are lost: the backend is slower than the requests");
        }
    }
}
