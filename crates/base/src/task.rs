//! Tasks with a name, an owner and a cancel path. A panic in one is caught, logged with its name and ends only it.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use futures_util::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Tells a task to stop; children stop with their parent.
pub use tokio_util::sync::CancellationToken as Token;

/// Panics by the name of their task: how many, and when the last was. For `skiff status` (D16).
static PANICS: Mutex<BTreeMap<&'static str, (u64, Instant)>> = Mutex::new(BTreeMap::new());

/// Counts a panic that was caught in a task or under one of its keys.
pub fn count_panic(name: &'static str) {
    let mut panics = PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let entry = panics.entry(name).or_insert((0, Instant::now()));
    *entry = (entry.0 + 1, Instant::now());
}

/// The panics so far: name, count, time of the last.
pub fn panics() -> Vec<(&'static str, u64, Instant)> {
    let panics = PANICS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    panics.iter().map(|(name, (count, last))| (*name, *count, *last)).collect()
}

/// Spawns a task that is known by `name` in logs. A panic is logged and swallowed: the handle then yields `None`.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(async move {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => Some(output),
            Err(panic) => {
                count_panic(name);
                tracing::error!(task = name, panic = panic_text(&*panic), "a task panicked");
                None
            }
        }
    })
}

/// What a panic said, for a log line.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

/// The tasks of one owner: stopped together, waited for together.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    token: Token,
    tracker: TaskTracker,
    /// Of the owners that these tasks are a part of: they wait for them too.
    above: Vec<TaskTracker>,
}

impl Tasks {
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Tasks that stop when `token` is cancelled, at the latest.
    pub fn under(token: &Token) -> Tasks {
        Tasks { token: token.child_token(), ..Tasks::default() }
    }

    /// Tasks that can be stopped before these; whoever stops these stops them, and waits for them too.
    pub fn part(&self) -> Tasks {
        let above = self.above.iter().chain([&self.tracker]).cloned().collect();
        Tasks { token: self.token.child_token(), tracker: TaskTracker::new(), above }
    }

    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Spawns a task that is dropped at its next `.await` once the owner stops.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        let counted: Vec<_> = self.above.iter().chain([&self.tracker]).map(TaskTracker::token).collect();
        let _detached = spawn(name, async move {
            let _counted = counted;
            token.run_until_cancelled(future).await;
        });
    }

    /// Cancels all tasks and waits until each has ended.
    pub async fn stop(&self) {
        self.token.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_ends_alone_or_with_the_whole() {
        let whole = Tasks::new();
        let (first, second) = (whole.part(), whole.part().part());
        for tasks in [&first, &second] {
            tasks.spawn("waits", std::future::pending());
        }
        first.stop().await;
        assert!(first.tracker.is_empty() && !second.tracker.is_empty() && !whole.token().is_cancelled());
        whole.stop().await;
        assert!(second.tracker.is_empty());
    }

    #[tokio::test]
    async fn a_panic_ends_only_its_task() {
        assert_eq!(spawn("falls", async { panic!("on data") }).await.unwrap(), None::<()>);
        assert_eq!(spawn("stands", async { 7 }).await.unwrap(), Some(7));
    }

    #[tokio::test]
    async fn stopping_ends_all_tasks() {
        let tasks = Tasks::new();
        tasks.spawn("waits", std::future::pending());
        tasks.stop().await;
    }
}
