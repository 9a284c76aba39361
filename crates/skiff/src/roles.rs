//! What is up, what is not, why, and what to do: each role tells its state here, `skiff status` reads it over a socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

/// How a role is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Starting,
    Up,
    /// Works, but not as it should.
    Degraded,
    Down,
    /// Left out by the configuration.
    Disabled,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Role {
    pub name: String,
    pub state: State,
    pub since: Timestamp,
    /// Why it is not up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What a person can do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// What `skiff status -o json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub version: String,
    pub kubernetes: String,
    pub pid: u32,
    pub node: String,
    pub data_dir: String,
    pub started: Timestamp,
    pub address: String,
    pub roles: Vec<Role>,
}

impl Report {
    pub fn healthy(&self) -> bool {
        self.roles.iter().all(|role| matches!(role.state, State::Up | State::Disabled))
    }
}

/// The roles of this process. Cheap to clone.
#[derive(Clone)]
pub struct Roles(Arc<Inner>);

struct Inner {
    report: Mutex<Report>,
    order: Mutex<BTreeMap<String, usize>>,
    looks: Mutex<Vec<(&'static str, Look)>>,
}

/// Looks whether a role that is up does all its work: why not, and what a person can do.
type Look = Box<dyn Fn() -> Option<(String, String)> + Send + Sync>;

/// A task that panicked this often, and not long ago, makes its role Degraded (D16).
const PANICS: u64 = 3;
const RECENT: Duration = Duration::from_secs(600);

impl Roles {
    pub fn new(report: Report) -> Roles {
        Roles(Arc::new(Inner {
            report: Mutex::new(report),
            order: Mutex::default(),
            looks: Mutex::default(),
        }))
    }

    pub fn set(&self, name: &str, state: State, reason: impl Into<String>, hint: impl Into<String>) {
        let role = Role {
            name: name.into(),
            state,
            since: Timestamp::now(),
            reason: reason.into(),
            hint: hint.into(),
        };
        let mut report = self.0.report.lock().unwrap_or_else(PoisonError::into_inner);
        let mut order = self.0.order.lock().unwrap_or_else(PoisonError::into_inner);
        match order.get(name) {
            Some(at) => report.roles[*at] = role,
            None => {
                order.insert(name.into(), report.roles.len());
                report.roles.push(role);
            }
        }
    }

    pub fn up(&self, name: &str) {
        self.set(name, State::Up, "", "");
    }

    /// The role is looked at whenever somebody asks.
    pub fn look(
        &self,
        name: &'static str,
        look: impl Fn() -> Option<(String, String)> + Send + Sync + 'static,
    ) {
        self.0.looks.lock().unwrap_or_else(PoisonError::into_inner).push((name, Box::new(look)));
    }

    /// The present state, with what a look finds and panics laid over it.
    pub fn report(&self) -> Report {
        let mut report = self.0.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, look) in self.0.looks.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let role = report.roles.iter_mut().find(|role| role.name == *name && role.state == State::Up);
            if let Some(role) = role
                && let Some((reason, hint)) = look()
            {
                *role =
                    Role { state: State::Degraded, since: Timestamp::now(), reason, hint, ..role.clone() };
            }
        }
        for (task, count, last) in base::task::panics() {
            if count >= PANICS && last.elapsed() < RECENT {
                report.roles.push(Role {
                    name: task.into(),
                    state: State::Degraded,
                    since: Timestamp::now(),
                    reason: format!("it panicked {count} times, last {}s ago", last.elapsed().as_secs()),
                    hint: "the log names the object each time; report it with the object's manifest".into(),
                });
            }
        }
        report
    }

    /// Answers each connection on `<run>/skiff.sock` with one report as JSON. Root only, by the socket's mode.
    pub async fn serve(self, run: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let path = run.join("skiff.sock");
        let _stale = std::fs::remove_file(&path);
        let listener = tokio::net::UnixListener::bind(&path)
            .with_context(|| format!("cannot make the status socket {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        loop {
            let (mut stream, _) = listener.accept().await?;
            let text = serde_json::to_vec(&self.report())?;
            // A reader that does not read costs at most this long.
            let _gone = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&text)).await;
        }
    }
}

/// Asks a running server; `None` if none runs with this run directory.
pub fn ask(run: &Path) -> Result<Option<Report>> {
    use std::io::Read;
    let path = run.join("skiff.sock");
    let mut stream = match std::os::unix::net::UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot ask {} (are you root?)", path.display()));
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(0) => return Ok(None), // it ended between taking the question and answering
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
        Err(error) => return Err(error).context("the server did not answer"),
    }
    Ok(Some(serde_json::from_slice(&text).context("the server's answer is no status")?))
}
