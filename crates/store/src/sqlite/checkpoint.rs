//! Checkpoints beside the writer: a thread with a connection of its own moves the write-ahead log into the database while
//! commits go on, so that the writer pauses for the few pages that came meanwhile and not for the whole log.
//!
//! A passive checkpoint waits for nobody, neither for the writer nor for a reader who still stands in the log. The log is
//! written over from its start by the first commit that finds all of it moved; to let that happen the writer moves the last
//! pages itself, between two commits.

use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::Shared;

/// Pages that the writer moves itself: about what one batch of commits adds.
const FEW: i32 = 128;
/// Pages over the due ones at which the writer waits for the thread.
const MUCH: i32 = 16 * 1024;
/// Passes of the thread: each leaves what was committed during it.
const PASSES: usize = 4;

/// What is under way, and when the next one is due.
pub(super) struct Checkpoints {
    thread: Option<JoinHandle<rusqlite::Result<()>>>,
    /// Pages that the log may grow by before the next one.
    step: i32,
    /// Pages of the log that make the next one due: more than a step while a reader keeps the log from being written over.
    due: i32,
    /// Pages of the log when it was last looked at.
    last: i32,
}

/// What the writer has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    /// Move what is left, which is little.
    Finish,
}

impl Checkpoints {
    pub fn new(step: i32) -> Checkpoints {
        Checkpoints { thread: None, step, due: step, last: 0 }
    }

    /// Called between batches with the pages that the log holds. Waits only for a thread that commits outrun.
    pub fn step(&mut self, shared: &Arc<Shared>, pages: i32) -> Next {
        if pages < self.last {
            // It is written over from its start.
            self.due = self.step;
        }
        self.last = pages;
        match &self.thread {
            // The log must not grow for ever.
            Some(thread) if thread.is_finished() || pages > self.due.saturating_add(MUCH) => {
                self.join();
                self.due = pages.saturating_add(self.step);
                Next::Finish
            }
            Some(_) => Next::Nothing,
            None if pages > self.due => self.start(shared),
            None => Next::Nothing,
        }
    }

    /// Waits for the thread, whose connection is closed then.
    pub fn join(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if let Ok(Err(error)) = thread.join() {
            tracing::warn!(%error, "a checkpoint failed; the next one tries again");
        }
    }

    fn start(&mut self, shared: &Arc<Shared>) -> Next {
        let shared = shared.clone();
        let thread = std::thread::Builder::new().name("skiff-checkpoint".into());
        match thread.spawn(move || passes(&connect(&shared)?)) {
            Ok(thread) => {
                self.thread = Some(thread);
                Next::Nothing
            }
            Err(error) => {
                tracing::warn!(%error, "cannot start a checkpoint's thread, the writer does it itself");
                self.due = self.last.saturating_add(self.step);
                Next::Finish
            }
        }
    }
}

fn connect(shared: &Shared) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match &shared.options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(&shared.path, flags, vfs.as_str())?,
        None => Connection::open_with_flags(&shared.path, flags)?,
    };
    // The log is flushed before pages are moved, and the database before the log is written over.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// Passes until little is left.
fn passes(connection: &Connection) -> rusqlite::Result<()> {
    let mut moved = 0;
    for _ in 0..PASSES {
        let (pages, now) = passive(connection)?;
        // What came during the pass before this one tells what came during this one.
        if pages - moved <= FEW || now < pages {
            break;
        }
        moved = now;
    }
    Ok(())
}

/// One passive checkpoint; gives how many pages the log held at its begin, and how many of them are moved.
pub(super) fn passive(connection: &Connection) -> rusqlite::Result<(i32, i32)> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}
