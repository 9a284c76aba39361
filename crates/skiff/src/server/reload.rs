//! SIGHUP: the configuration files that may change while the server runs are read again. A file that is no good changes
//! nothing, and `skiff status` says why.

use std::path::PathBuf;

use tokio::signal::unix::Signal;

use super::encryption;
use crate::roles::{Roles, State};

/// What is read again.
pub struct Reload {
    pub server: apiserver::Server,
    pub roles: Roles,
    /// The EncryptionConfiguration that the server was started with.
    pub encryption: Option<PathBuf>,
    pub authentication: Option<PathBuf>,
    pub authorization: Option<PathBuf>,
}

impl Reload {
    /// Runs for as long as it is polled.
    pub async fn run(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: reading configuration files again");
            self.encryption().await;
            self.access();
        }
    }

    fn access(&self) {
        if let Some(path) = &self.authentication {
            let read = super::document(path)
                .and_then(|document| Ok(self.server.reload_authentication(&document)?));
            self.tell("authentication", path, read);
        }
        if let Some(path) = &self.authorization {
            let read = super::access::read_authorization(path);
            let read = read.and_then(|settings| Ok(self.server.reload_authorization(&settings)?));
            self.tell("authorization", path, read);
        }
    }

    fn tell(&self, role: &str, path: &std::path::Path, done: anyhow::Result<()>) {
        match done {
            Ok(()) => {
                tracing::info!(path = %path.display(), "read again");
                self.roles.up(role);
            }
            Err(error) => {
                let reason = format!("{}: {error:#}", path.display());
                tracing::error!(reason, "what was read before stays");
                let hint = "mend the file and send SIGHUP again; until then what it said before counts";
                self.roles.set(role, State::Degraded, reason, hint);
            }
        }
    }

    async fn encryption(&self) {
        let Some(path) = &self.encryption else { return };
        let done = async {
            let document = super::document(path)?;
            let rewritten = self.server.reload_encryption(&document).await?;
            anyhow::Ok((encryption::summary(&document), rewritten))
        };
        match done.await {
            Ok((summary, rewritten)) => {
                tracing::info!(summary, rewritten, "encryption at rest has new keys");
                self.roles.set(encryption::ROLE, State::Up, summary, "");
            }
            Err(error) => {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the keys of encryption at rest are not changed"
                );
                let hint = "mend the file and send SIGHUP again; until then the keys of before are used";
                self.roles.set(encryption::ROLE, State::Degraded, format!("{error:#}"), hint);
            }
        }
    }
}
