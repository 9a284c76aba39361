//! The watches of one engine. The writer hands each commit to all of them before it answers; a watcher whose queue is
//! full is dropped, so that one that never reads costs a bounded amount and holds nobody up.

use api::Revision;
use tokio::sync::mpsc;

use crate::{Batch, Event};

/// Commits that may wait for one watcher.
const QUEUE: usize = 4096;

#[derive(Default)]
pub(crate) struct Watchers(Vec<Watcher>);

struct Watcher {
    prefix: String,
    queue: mpsc::Sender<Batch>,
}

impl Watchers {
    /// Registers a watch that begins with `backlog` (everything after its start up to `revision`).
    pub(crate) fn add(
        &mut self,
        prefix: String,
        backlog: Vec<Event>,
        revision: Revision,
    ) -> mpsc::Receiver<Batch> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let told = backlog.last().map(|event| event.revision);
        if !backlog.is_empty() {
            queue.try_send(Batch::Events(backlog)).expect("because the queue is new and empty");
        }
        // The last revisions may be writes that only memory had: after a restart no event stands for them, and who waits
        // for them would wait until the next write.
        if told.is_none_or(|told| told < revision) {
            queue.try_send(Batch::Progress(revision)).expect("because the queue is new and has room for two");
        }
        self.0.push(Watcher { prefix, queue });
        receiver
    }

    /// Hands one commit, in order of revision, to all.
    pub(crate) fn publish(&mut self, events: &[Event], revision: Revision) {
        self.0.retain(|watcher| {
            let seen: Vec<Event> = events
                .iter()
                .filter(|event| event.key.as_str().starts_with(&watcher.prefix))
                .cloned()
                .collect();
            let batch = if seen.is_empty() { Batch::Progress(revision) } else { Batch::Events(seen) };
            watcher.queue.try_send(batch).is_ok()
        });
    }
}
