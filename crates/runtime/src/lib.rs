//! Running containers: CRI's verbs and states (sandbox, container, exec, attach, stats, events) in Kubernetes' nouns (D7).
//!
//! [`Runtime`] is the seam to `kubelet`. Restart policy, back-off, probes and order belong there; namespaces, cgroups, log
//! writing and signals belong here. [`Runtime::list`] is the truth: after a restart of the daemon it tells what runs.

pub mod linux;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// A pod's sandbox, by the pod's uid.
pub type SandboxId = String;
/// Unique on the node for ever: 64 hex digits, as in `containerStatuses[].containerID` after `skiff://`.
pub type ContainerId = String;

/// Namespaces that a pod shares with its host.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostNamespaces {
    pub network: bool,
    pub pid: bool,
    pub ipc: bool,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct SandboxSpec {
    pub uid: SandboxId,
    pub namespace: String,
    pub name: String,
    /// `metadata.uid`'s restart of the sandbox: 0, then one more each time it had to be made anew.
    pub attempt: u32,
    pub hostname: String,
    /// Path of a network namespace made by `net`; `None` with [`HostNamespaces::network`].
    pub netns: Option<PathBuf>,
    pub host: HostNamespaces,
    /// `spec.shareProcessNamespace`.
    pub share_pid: bool,
    pub sysctls: BTreeMap<String, String>,
    /// Cgroup of the pod below skiff's own, e.g. `burstable/pod<uid>`.
    pub cgroup_parent: String,
    /// Limits of the whole pod.
    pub resources: Resources,
    /// Where container logs go: `<dir>/<container>/<restart>.log`, CRI format.
    pub log_dir: PathBuf,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// Cgroup settings; zero or `None` leaves the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Resources {
    /// CPU shares as of cgroup v1 (2–262144); v2's weight is derived from it.
    pub cpu_shares: u64,
    /// Microseconds of CPU time in each period.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Bytes.
    pub memory_limit: Option<i64>,
    pub pids_limit: Option<i64>,
    pub oom_score_adj: Option<i32>,
}

impl Resources {
    /// The same with every limit that is not there named as unlimited: what an update must write to take one away.
    pub fn explicit(self) -> Resources {
        Resources {
            cpu_quota: self.cpu_quota.or(Some(-1)),
            memory_limit: self.memory_limit.or(Some(-1)),
            pids_limit: self.pids_limit.or(Some(-1)),
            ..self
        }
    }
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    pub read_only: bool,
    /// `private`, `rslave` (HostToContainer), `rshared` (Bidirectional).
    pub propagation: Propagation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Propagation {
    #[default]
    None,
    HostToContainer,
    Bidirectional,
}

/// What may be seen and done inside; kubelet resolved it from pod and container `securityContext`.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Security {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// A user name from the image's config, looked up in the container's /etc/passwd if `uid` is `None`.
    pub user: Option<String>,
    pub groups: Vec<u32>,
    pub privileged: bool,
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub read_only_root: bool,
    pub seccomp: Seccomp,
    /// `procMount: Unmasked`.
    pub unmasked_proc: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Seccomp {
    #[default]
    Unconfined,
    RuntimeDefault,
    /// A profile file on the node.
    Localhost(PathBuf),
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ContainerSpec {
    pub id: ContainerId,
    pub sandbox: SandboxId,
    /// The container's name in the pod, and how many came before it.
    pub name: String,
    pub attempt: u32,
    /// Image reference and id, for `list` and the status.
    pub image: String,
    pub image_id: String,
    /// Unpacked layers from `image`, lowest first; overlayfs joins them.
    pub layers: Vec<PathBuf>,
    /// Entrypoint and arguments, already resolved; the first is looked up in `PATH` of `env`.
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    pub working_dir: String,
    pub mounts: Vec<Mount>,
    pub devices: Vec<PathBuf>,
    pub security: Security,
    pub resources: Resources,
    pub tty: bool,
    pub stdin: bool,
    pub stdin_once: bool,
    /// Relative to the sandbox's log folder.
    pub log_path: PathBuf,
    /// A running container of the pod whose processes this one sees (`targetContainerName`).
    #[serde(default)]
    pub beside: Option<ContainerId>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum State {
    Created,
    Running,
    Exited,
    /// The shim is gone and cannot tell.
    Unknown,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ContainerStatus {
    pub id: ContainerId,
    pub sandbox: SandboxId,
    pub name: String,
    pub attempt: u32,
    pub image: String,
    pub image_id: String,
    pub state: State,
    /// On the host.
    pub pid: Option<i32>,
    pub created: Timestamp,
    pub started: Option<Timestamp>,
    pub finished: Option<Timestamp>,
    pub exit_code: Option<i32>,
    /// `OOMKilled`, `Error`, `Completed`, `StartError`, …
    pub reason: String,
    pub message: String,
    /// The limits in force, after the last update.
    pub resources: Option<Resources>,
    pub log_path: PathBuf,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct SandboxStatus {
    pub spec: SandboxSpec,
    /// The shim answers and the namespaces are there.
    pub ready: bool,
    pub created: Timestamp,
    pub shim_pid: Option<i32>,
    pub containers: Vec<ContainerStatus>,
}

/// Something changed; read the status to know what. Sent from shims' reports, never by polling (D10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub sandbox: SandboxId,
    pub container: Option<ContainerId>,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    pub cpu_usage: Duration,
    /// Bytes charged, and less what can be reclaimed at once (`inactive_file`).
    pub memory_usage: u64,
    pub memory_working_set: u64,
    pub memory_rss: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    pub processes: u64,
    /// Bytes and inodes of the writable layer.
    pub rootfs_used: u64,
    pub rootfs_inodes: u64,
    pub log_used: u64,
}

pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// The ends of a process' stdio that the caller holds. With a terminal `stderr` is `None`.
pub struct Streams {
    pub stdin: Option<Writer>,
    pub stdout: Option<Reader>,
    pub stderr: Option<Reader>,
    /// Terminal sizes (columns, rows) to set.
    pub resize: mpsc::Sender<(u16, u16)>,
    /// Yields the exit code once the process ended (exec) or the container did (attach).
    pub exit: tokio::sync::oneshot::Receiver<Result<i32, Error>>,
}

#[derive(Clone, Debug, Default)]
pub struct ExecSpec {
    pub command: Vec<String>,
    pub tty: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no {what} {id}")]
    NotFound { what: &'static str, id: String },
    #[error("{id} exists already")]
    Exists { id: String },
    /// What the person who wrote the pod must change: a bad command, an unknown user, a missing path. The text is shown in
    /// the container's status; `reason` is upstream's (`CreateContainerError`, `RunContainerError`, `StartError`, …).
    #[error("{message}")]
    Container { reason: &'static str, message: String },
    /// The kernel or this machine lacks something.
    #[error("this machine cannot {what}: {hint}")]
    Unsupported { what: String, hint: String },
    #[error("cannot {operation} {id}")]
    System { operation: &'static str, id: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{operation} of {id} took longer than {}s", .after.as_secs())]
    Timeout { operation: &'static str, id: String, after: Duration },
}

/// The seam. All verbs are idempotent: repeating one that happened is no error, stopping what is gone neither.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// For `node.status.nodeInfo.containerRuntimeVersion`: `skiff://0.1.0`.
    fn version(&self) -> String;

    /// Everything that this runtime made and has not removed, running or not, also from before a restart.
    async fn list(&self) -> Result<Vec<SandboxStatus>, Error>;
    async fn sandbox(&self, id: &str) -> Result<SandboxStatus, Error>;
    async fn container(&self, id: &str) -> Result<ContainerStatus, Error>;

    /// Starts the pod's shim and makes its namespaces and cgroup.
    async fn run_sandbox(&self, spec: SandboxSpec) -> Result<SandboxStatus, Error>;
    /// Kills what still runs in it; containers stay listed as exited.
    async fn stop_sandbox(&self, id: &str) -> Result<(), Error>;
    /// Removes it with its containers, namespaces, mounts, cgroup and files (not the logs).
    async fn remove_sandbox(&self, id: &str) -> Result<(), Error>;

    async fn create_container(&self, spec: ContainerSpec) -> Result<(), Error>;
    async fn start_container(&self, id: &str) -> Result<(), Error>;
    /// The stop signal (SIGTERM, or `signal`), then SIGKILL after `grace`; returns when it has exited.
    async fn stop_container(&self, id: &str, signal: Option<&str>, grace: Duration) -> Result<(), Error>;
    async fn remove_container(&self, id: &str) -> Result<(), Error>;
    /// Changes limits in place (in-place resize, KEP-1287).
    async fn update_container(&self, id: &str, resources: Resources) -> Result<(), Error>;
    /// Changes the limits of the whole pod; its `spec.resources` then tells them.
    async fn update_sandbox(&self, id: &str, resources: Resources) -> Result<(), Error>;
    /// Closes the log and opens a new one under the same name, after kubelet renamed it.
    async fn reopen_log(&self, id: &str) -> Result<(), Error>;

    async fn exec(&self, id: &str, spec: ExecSpec) -> Result<Streams, Error>;
    /// Runs to the end and gives exit code and output, at most 16 KiB of it; kills at `timeout` (probes, hooks).
    async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<(i32, Vec<u8>), Error>;
    async fn attach(&self, id: &str, spec: ExecSpec) -> Result<Streams, Error>;
    /// A connection to a port of the pod's loopback, made inside its network namespace.
    async fn port_forward(&self, sandbox: &str, port: u16) -> Result<tokio::net::TcpStream, Error>;

    async fn stats(&self, id: &str) -> Result<Stats, Error>;
    async fn sandbox_stats(&self, id: &str) -> Result<Stats, Error>;

    /// Events from now on; a receiver that lags is told so by its channel and lists again.
    fn events(&self) -> tokio::sync::broadcast::Receiver<Event>;
}
