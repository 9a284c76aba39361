//! The one watch that a server holds on its etcd, handed on to all watches of the process.
//!
//! Invariants: what is published is everything up to [`Hub::published`], in order; after a broken stream it goes on with the next
//! revision, and where that was compacted meanwhile, all watches end, so that nobody misses what cannot be had any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Revision;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::client::{Client, Failure, Watch};
use super::keys::{self, Layout};
use super::message::{Change, Range, Watched};
use crate::watchers::Watchers;
use crate::{Error, Event};

/// A write of another server is seen soon after its revision is told: for so long its event is waited for.
const SOON: Duration = Duration::from_millis(2);
/// etcd does not answer while it has older events to send: then it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Between two tries to watch.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Hub {
    client: Arc<Client>,
    layout: Arc<Layout>,
    watchers: Mutex<Watchers>,
    /// Changed under the lock of `watchers`.
    published: watch::Sender<Revision>,
    /// The newest revision that somebody waits for.
    wanted: AtomicU64,
    asked: Notify,
}

impl Hub {
    pub(super) fn new(client: Arc<Client>, layout: Arc<Layout>, from: Revision) -> Hub {
        Hub {
            client,
            layout,
            watchers: Mutex::default(),
            published: watch::Sender::new(from),
            wanted: AtomicU64::new(0),
            asked: Notify::new(),
        }
    }

    pub(super) fn published(&self) -> Revision {
        *self.published.borrow()
    }

    /// Runs `act` while nothing is published; it is told up to what everything was.
    pub(super) fn still<T>(&self, act: impl FnOnce(&mut Watchers, Revision) -> T) -> T {
        let mut watchers = self.watchers.lock();
        let published = self.published();
        act(&mut watchers, published)
    }

    /// Somebody waits for what was written up to `revision`.
    pub(super) fn want(&self, revision: Revision) {
        if revision > self.published() && self.wanted.fetch_max(revision.0, Ordering::AcqRel) < revision.0 {
            self.asked.notify_one();
        }
    }

    /// Returns once everything up to `revision` was handed to all watches.
    pub(super) async fn wait(&self, revision: Revision) -> Result<(), Error> {
        self.want(revision);
        let mut published = self.published.subscribe();
        published.wait_for(|published| *published >= revision).await.map(drop).map_err(|_| Error::Closed)
    }

    /// Ends all watches, and lets go who waits: nothing is published any more.
    pub(super) fn end(&self) {
        *self.watchers.lock() = Watchers::default();
        self.published.send_replace(Revision(u64::MAX));
    }

    /// Follows etcd until it is dropped.
    pub(super) async fn run(&self) {
        let mut told = false;
        loop {
            if let Err(error) = self.follow(&mut told).await {
                if !told {
                    tracing::warn!(error = %base::chain(&error), "the watch of etcd ended; it goes on where it was as soon as it can");
                    told = true;
                }
                *self.client.trouble.lock() = Some(base::chain(&error).to_string());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(&self, told: &mut bool) -> Result<(), Error> {
        let root = self.layout.root();
        let mut watch = Watch::open(&self.client, root, &keys::end(root), self.published().0 + 1).await?;
        let mut patience = SOON;
        loop {
            let behind = self.wanted.load(Ordering::Acquire) > self.published().0;
            if !behind {
                patience = SOON;
            }
            let answer = tokio::select! {
                answer = watch.next() => answer,
                () = self.asked.notified(), if !behind => continue,
                () = tokio::time::sleep(patience), if behind => {
                    watch.ask().await;
                    patience = ASK_AGAIN;
                    continue;
                }
            };
            let answer = answer.inspect_err(|_| self.client.next(watch.member()))?;
            if answer.compacted > 0 {
                return self.start_anew(Revision(answer.compacted)).await;
            }
            if answer.canceled {
                self.client.next(watch.member());
                return Err(super::client::engine("watch", answer.reason));
            }
            if answer.created && *told {
                tracing::info!("the watch of etcd goes on");
                *told = false;
            }
            self.publish(answer);
        }
    }

    fn publish(&self, answer: Watched) {
        let revision = match answer.changes.last() {
            Some(change) => change.record.mod_revision,
            None if answer.is_progress() => answer.revision,
            None => return,
        };
        let published = self.published();
        let events = events(&self.layout, answer.changes, |revision| revision > published);
        if Revision(revision) > published {
            let mut watchers = self.watchers.lock();
            watchers.publish(&events, Revision(revision));
            self.published.send_replace(Revision(revision));
        }
    }

    /// What came since was compacted: everybody begins again, from the present.
    async fn start_anew(&self, compacted: Revision) -> Result<(), Error> {
        tracing::warn!(%compacted, at = %self.published(), "etcd compacted what was not seen yet: everything is read anew");
        let now = self.client.range("read the revision", Range { key: "\0", ..Range::default() }).await;
        let now = now.map_err(|failure| match failure {
            Failure::Other(error) => error,
            _ => super::client::engine("read the revision", "it has none"),
        })?;
        let mut watchers = self.watchers.lock();
        *watchers = Watchers::default();
        self.published.send_replace(Revision(now.revision));
        Ok(())
    }
}

/// What of a watch's changes are objects.
pub(super) fn events(layout: &Layout, changes: Vec<Change>, wanted: impl Fn(Revision) -> bool) -> Vec<Event> {
    let event = |change: Change| {
        let revision = Revision(change.record.mod_revision);
        let key = layout.key(&change.record.key).filter(|_| wanted(revision))?;
        Some(Event { key, revision, value: (!change.deleted).then_some(change.record.value) })
    };
    changes.into_iter().filter_map(event).collect()
}
