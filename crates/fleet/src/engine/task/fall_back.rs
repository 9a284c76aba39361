//! Going back to what was healthy last, where the driving object asks for it: what was looked at and did not become healthy is given
//! up until the source has something else, or somebody asks for a look.

use super::*;

/// The artifact that was given up.
const GIVEN_UP: &str = "given-up.json";
/// A store of the artifact that was healthy last.
const HEALTHY: &str = "healthy";
/// Syncs that may fail in a row.
const FAILURES: u32 = 3;

impl Task {
    pub(super) fn load_given_up(&mut self) {
        let read = std::fs::read(self.directory.join(GIVEN_UP)).ok();
        self.given_up = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        // The power went before the other one was put in its place.
        if self.given_up.as_ref().map(|one| &one.digest) == self.artifact.as_ref().map(|one| &one.digest) {
            self.forgive();
        }
    }

    /// What the last look gave, whether it is here or was given up.
    pub(super) fn followed(&self) -> Option<&Artifact> {
        self.given_up.as_ref().or(self.artifact.as_ref())
    }

    /// It may be tried again.
    pub(super) fn forgive(&mut self) {
        if self.given_up.take().is_some() {
            let _ = std::fs::remove_file(self.directory.join(GIVEN_UP));
        }
    }

    /// Whether it is what was given up; its commit may be another one by now.
    pub(super) fn is_given_up(&mut self, artifact: &Artifact) -> bool {
        let same = self.given_up.as_ref().is_some_and(|one| one.digest == artifact.digest);
        if same {
            self.give_up(artifact);
        }
        same
    }

    fn give_up(&mut self, artifact: &Artifact) {
        self.given_up = Some(artifact.clone());
        let header = serde_json::to_vec_pretty(artifact).expect("because an artifact is plain data");
        if let Err(error) = crate::files::replace(&self.directory.join(GIVEN_UP), &header) {
            tracing::warn!(application = self.key.1, %error, "cannot write down what was given up");
        }
    }

    fn healthy(&self) -> Store {
        Store::new(self.directory.join(HEALTHY))
    }

    /// Remembers what is healthy, or goes back to it.
    pub(super) async fn fall_back(&mut self, app: &App, waiting: bool, state: &mut State) {
        if !app.roll_back {
            self.forgive();
            return;
        }
        let short = |artifact: &Artifact| artifact.revision.chars().take(12).collect::<String>();
        let Some(artifact) = self.artifact.clone() else { return };
        if let Some(given_up) = &self.given_up {
            state.synced = false;
            let text = format!(
                "{} did not become healthy, and is given up for {}; the next commit, or a sync or refresh that somebody asks for, ends that",
                short(given_up),
                short(&artifact)
            );
            state.faults.push(Fault { kind: FaultKind::Health, text });
            return;
        }
        let failing = self.failures >= FAILURES && !state.synced;
        if !state.overdue && !failing {
            if state.compared && state.synced && !waiting {
                self.remember(&artifact);
            }
            return;
        }
        let store = self.healthy();
        let Ok(Some(before)) = store.load() else { return };
        if before.digest == artifact.digest {
            return;
        }
        self.give_up(&artifact);
        if let Err(error) = store.copy_to(&before, &self.store) {
            tracing::error!(application = app.name, error = %base::chain(&error), "cannot go back to what was healthy");
            self.forgive();
            return;
        }
        let text = format!("{} did not become healthy: back to {}", short(&artifact), short(&before));
        tracing::warn!(application = app.name, "{text}");
        tell(&self.shared, self.front, app, Level::Warning, "RolledBack", &text).await;
        self.artifact = Some(before);
        self.index = None;
        self.deadline = None;
        self.failures = 0;
        self.next_try = None;
        self.handle.bell.notify.notify_one();
    }

    fn remember(&mut self, artifact: &Artifact) {
        if self.remembered.as_ref() == Some(&artifact.digest) {
            return;
        }
        let store = self.healthy();
        let known = store.load().ok().flatten().is_some_and(|known| known.digest == artifact.digest);
        match if known { Ok(()) } else { self.store.copy_to(artifact, &store) } {
            Ok(()) => self.remembered = Some(artifact.digest.clone()),
            Err(error) => {
                tracing::warn!(application = self.key.1, error = %base::chain(&error), "cannot remember what is healthy");
            }
        }
    }
}
