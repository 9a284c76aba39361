//! What the daemon tells a shim to make. All decisions are taken; paths are the host's unless said.
//!
//! A daemon speaks to shims that are two releases older or newer: fields are only added, with `#[serde(default)]`, and
//! a default means what the release before did.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The pod: the namespaces that its containers share are the shim's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sandbox {
    pub uid: String,
    /// Folder of the pod's state; `containers/<id>/status.json` is written below it.
    pub dir: PathBuf,
    /// Folder and name of the socket to listen at; apart, because a socket's path may have 107 bytes only.
    pub socket_dir: PathBuf,
    pub socket_name: String,
    pub network: Network,
    pub ipc: Share,
    /// With [`Share::Host`] containers see the host's processes.
    pub pid: Share,
    /// All containers see each other's processes.
    pub share_pid: bool,
    /// `None` keeps the host's name and UTS namespace.
    pub hostname: Option<String>,
    /// Kernel parameters of the namespaces made here, e.g. `net.ipv4.ip_forward` and `1`.
    pub sysctls: Vec<(String, String)>,
}

/// Whether a namespace is the pod's own or the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Share {
    #[default]
    Pod,
    Host,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Network {
    Host,
    /// A namespace with nothing but its loopback, which the shim brings up.
    #[default]
    New,
    Path(PathBuf),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    pub id: String,
    /// Folder with `upper`, `work` and `root`.
    pub dir: PathBuf,
    /// Lowest first.
    pub layers: Vec<PathBuf>,
    pub read_only_root: bool,
    pub process: Process,
    pub mounts: Vec<Mount>,
    pub devices: Vec<PathBuf>,
    /// Every device of the host, and a writable `/sys`.
    pub privileged: bool,
    /// In the container: hidden.
    pub masked: Vec<PathBuf>,
    /// In the container: remounted read-only.
    pub read_only: Vec<PathBuf>,
    /// Cgroup hierarchies to show in `/sys/fs/cgroup`: empty for one v2 mount, else v1 controllers.
    pub cgroup_v1: Vec<String>,
    /// `memory.events` (v2) or `memory.oom_control` (v1), read for `oom_kill` when the container ends.
    pub oom_file: Option<PathBuf>,
    /// Absolute.
    pub log: PathBuf,
    pub stdin: bool,
    pub stdin_once: bool,
    /// The running container whose PID namespace it joins; it then sees that one's processes.
    pub beside: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// In the container.
    pub cwd: String,
    pub user: User,
    /// Bit set of the capabilities that the process has and can ever have.
    pub capabilities: u64,
    pub no_new_privileges: bool,
    /// A compiled BPF program, an array of `struct sock_filter`.
    pub seccomp: Option<PathBuf>,
    /// `RLIMIT_*`, soft, hard.
    pub rlimits: Vec<(u32, u64, u64)>,
    pub oom_score_adj: Option<i32>,
    /// Cgroup folders to move to before anything else.
    pub cgroups: Vec<PathBuf>,
    pub tty: bool,
}

/// Who the process is. `name` is looked up in the container's own files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// `user`, `uid`, `user:group`, … as in an image's config.
    pub name: Option<String>,
    pub groups: Vec<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    pub read_only: bool,
    pub propagation: Propagation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    Slave,
    Shared,
}

/// A process in a running container. Its stdio are the descriptors that came with the request, or a terminal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exec {
    pub container: String,
    /// Chosen by the daemon; names the process in [`crate::protocol::Event::ExecExited`].
    pub id: u64,
    pub process: Process,
}
