//! Tasks of one front end: they end with the engine, or before it, when the owner's own controller comes.

use std::future::Future;

use base::{Tasks, Token};
use tokio_util::task::TaskTracker;

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct Group {
    tasks: Tasks,
    token: Token,
    running: TaskTracker,
}

impl Group {
    /// Whoever stops `tasks` waits for these too.
    pub fn under(tasks: &Tasks) -> Group {
        Group { tasks: tasks.clone(), token: tasks.token().child_token(), running: TaskTracker::new() }
    }

    pub fn token(&self) -> &Token {
        &self.token
    }

    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        let tracked = self.running.track_future(async move {
            token.run_until_cancelled(future).await;
        });
        self.tasks.spawn(name, tracked);
    }

    /// Ends these, and waits until each has ended.
    pub async fn stop(&self) {
        self.token.cancel();
        self.running.close();
        self.running.wait().await;
    }
}
