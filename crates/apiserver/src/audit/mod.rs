//! The audit log: who did what, by a Policy, to a file and to a webhook (k8s.io/apiserver/pkg/audit).
//!
//! Each request that the policy names has one [`Entry`]; its events go as JSON into the backends' bounded queues. Where the
//! file's queue is full, requests wait for it before they begin (upstream's mode `blocking`) or their events are dropped and counted (`batch`).

mod counts;
mod event;
mod file;
mod policy;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use base::{Clock, Tasks};
use bytes::Bytes;
use tokio::sync::mpsc;

use counts::{Counts, Plugin};
pub(crate) use event::{Entry, Shown};
pub use policy::Error;
use policy::{Level, Policy};

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
    /// `None`: events are as large as they are.
    pub truncate: Option<Truncate>,
}

/// `--audit-*-truncate-*`: bytes of an event above which it loses what was sent and answered, and of a batch above which it is two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate {
    pub event: usize,
    pub batch: usize,
}

impl Default for Truncate {
    fn default() -> Truncate {
        Truncate { event: 100 << 10, batch: 10 << 20 }
    }
}

impl Truncate {
    /// The event's text, without its objects where it is too large with them; `None`: it is too large without them too.
    fn cut(&self, whole: Bytes, event: &Value, level: Level) -> Option<Bytes> {
        if whole.len() <= self.event {
            return Some(whole);
        }
        if level < Level::Request {
            return None;
        }
        let mut event = event.clone();
        event.remove(&["requestObject"]);
        event.remove(&["responseObject"]);
        event.set(&["annotations", "audit.k8s.io/truncated"], "true");
        let cut = Bytes::from(event.to_json());
        (cut.len() <= self.event).then_some(cut)
    }
}

impl Log {
    pub fn new(path: PathBuf) -> Log {
        Log {
            path,
            max_size: 100,
            max_age: 366,
            max_backups: 100,
            compress: false,
            blocking: true,
            truncate: None,
        }
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
    /// `None`: events are as large as they are.
    pub truncate: Option<Truncate>,
}

impl Webhook {
    pub fn new(peer: Peer) -> Webhook {
        let (wait, backoff) = (Duration::from_secs(30), Duration::from_secs(10));
        Webhook { peer, batch: 400, wait, backoff, truncate: None }
    }
}

/// See the module.
pub(crate) struct Audit {
    policy: Policy,
    clock: Clock,
    log: Option<Backend>,
    /// A request waits while the log's queue is full.
    blocking: bool,
    webhook: Option<Backend>,
    pub(crate) counts: Counts,
}

/// Where events go.
struct Backend {
    sender: mpsc::Sender<Bytes>,
    truncate: Option<Truncate>,
    plugin: Plugin,
}

impl Backend {
    fn take(&self, counts: &Counts, whole: Bytes, event: &Value, level: Level) {
        let cut = match &self.truncate {
            Some(truncate) => truncate.cut(whole, event, level),
            None => Some(whole),
        };
        let lost = match cut {
            Some(bytes) => self.sender.try_send(bytes).is_err().then_some(self.plugin),
            None => Some(Plugin::Truncate),
        };
        if let Some(plugin) = lost {
            counts.lost(plugin);
        }
    }
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
                Some(Backend { sender, truncate: log.truncate, plugin: Plugin::Log })
            }
            None => None,
        };
        let (webhook, queue) = match &settings.webhook {
            Some(settings) => {
                let (sender, receiver) = mpsc::channel(QUEUE);
                let backend = Backend { sender, truncate: settings.truncate, plugin: Plugin::Webhook };
                (Some(backend), Some(webhook::Queue::new(settings.clone(), receiver)))
            }
            None => (None, None),
        };
        let blocking = settings.log.as_ref().is_some_and(|log| log.blocking);
        let audit = Audit { policy, clock: clock.clone(), log, blocking, webhook, counts: Counts::default() };
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
        let Some(note) = self.policy.note(identity, &Attributes::of(info)) else {
            self.counts.level(Level::None);
            return None;
        };
        self.counts.level(note.level);
        if let Some(log) = self.log.as_ref().filter(|_| self.blocking) {
            // What is gone is the server itself.
            let _room = log.sender.reserve_many(ROOM).await;
        }
        Some(Entry::new(self.clone(), note, identity, info.clone(), shown, streams))
    }

    fn emit(&self, event: &Value, level: Level) {
        self.counts.event();
        let whole = Bytes::from(event.to_json());
        for backend in [&self.log, &self.webhook].into_iter().flatten() {
            backend.take(&self.counts, whole.clone(), event, level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_event_loses_its_objects() {
        let mut event = Value::object();
        event.set(&["verb"], "create");
        event.set(&["requestObject", "data"], "x".repeat(300));
        let truncate = Truncate { event: 200, batch: 1000 };
        let cut = |event: &Value, level| {
            let cut = truncate.cut(Bytes::from(event.to_json()), event, level);
            cut.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        let expected = r#"{"verb":"create","annotations":{"audit.k8s.io/truncated":"true"}}"#;
        assert_eq!(cut(&event, Level::Request).as_deref(), Some(expected));
        assert_eq!(cut(&event, Level::Metadata), None);
        event.set(&["requestURI"], "x".repeat(300));
        assert_eq!(cut(&event, Level::RequestResponse), None);
    }
}
