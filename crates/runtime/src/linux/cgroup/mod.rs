//! Cgroups of pods and containers, in whichever of v1 and v2 this machine uses. A cgroup is named by its path below the
//! hierarchies' roots, `skiff/burstable/pod<uid>/<container>`; folders are made here, processes join by themselves.
//!
//! The shims are in `skiff/shims`, beside the pods: a pod's limit must not kill the process that reports on it.

mod v1;
mod v2;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Error, Resources, Stats};

/// What this machine has.
#[derive(Debug)]
pub(super) enum Version {
    V1(v1::Hierarchies),
    V2(v2::Hierarchy),
}

#[derive(Debug)]
pub(super) struct Cgroups {
    version: Version,
    root: String,
}

/// Whether a cgroup restricts devices to those that every container has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Devices {
    All,
    /// And those with these numbers: block or not, major, minor.
    Default(Vec<(bool, u64, u64)>),
}

fn error(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    super::system(operation, &path.display().to_string())
}

impl Cgroups {
    /// Finds the hierarchies by what is mounted.
    pub(super) fn find(root: &str) -> Result<Cgroups, Error> {
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").map_err(error("read", Path::new("mountinfo")))?;
        let version = if let Some(v1) = v1::Hierarchies::parse(&mounts) {
            Version::V1(v1)
        } else if let Some(v2) = v2::Hierarchy::parse(&mounts) {
            Version::V2(v2)
        } else {
            return Err(Error::Unsupported {
                what: "limit containers".into(),
                hint: "mount cgroups: `mount -t cgroup2 none /sys/fs/cgroup`".into(),
            });
        };
        Ok(Cgroups { version, root: root.to_owned() })
    }

    fn name(&self, below: &str) -> String {
        format!("{}/{}", self.root, below.trim_matches('/'))
    }

    /// The folder of `below` in each hierarchy; a process that writes itself to their `cgroup.procs` is in it.
    pub(super) fn folders(&self, below: &str) -> Vec<PathBuf> {
        match &self.version {
            Version::V1(v1) => v1.folders(&self.name(below)),
            Version::V2(v2) => vec![v2.folder(&self.name(below))],
        }
    }

    /// Makes `below` and what is above it.
    pub(super) fn make(&self, below: &str) -> Result<(), Error> {
        match &self.version {
            Version::V1(v1) => v1.make(&self.name(below)),
            Version::V2(v2) => v2.make(&self.name(below)),
        }
    }

    pub(super) fn limit(&self, below: &str, resources: &Resources) -> Result<(), Error> {
        match &self.version {
            Version::V1(v1) => v1.limit(&self.name(below), resources),
            Version::V2(v2) => v2.limit(&self.name(below), resources),
        }
    }

    pub(super) fn allow(&self, below: &str, devices: &Devices) -> Result<(), Error> {
        match &self.version {
            Version::V1(v1) => v1.allow(&self.name(below), devices),
            Version::V2(v2) => v2.allow(&self.name(below), devices),
        }
    }

    /// The file whose `oom_kill` tells that the kernel killed in it.
    pub(super) fn oom_file(&self, below: &str) -> Option<PathBuf> {
        match &self.version {
            Version::V1(v1) => v1.oom_file(&self.name(below)),
            Version::V2(v2) => Some(v2.folder(&self.name(below)).join("memory.events")),
        }
    }

    /// The v1 hierarchies to show in a container; none with v2.
    pub(super) fn shown(&self) -> Vec<String> {
        match &self.version {
            Version::V1(v1) => v1.shown(),
            Version::V2(_) => Vec::new(),
        }
    }

    pub(super) fn stats(&self, below: &str) -> Stats {
        match &self.version {
            Version::V1(v1) => v1.stats(&self.name(below)),
            Version::V2(v2) => v2.stats(&self.name(below)),
        }
    }

    /// Kills all in `below` and its children, and removes it; blocks until the kernel has let go of the processes.
    /// What is not there is no error.
    pub(super) fn remove(&self, below: &str) -> Result<(), Error> {
        for folder in self.folders(below) {
            kill(&folder);
            remove_tree(&folder)?;
        }
        Ok(())
    }

    /// Kills all in `below` and waits until nothing is left of it.
    pub(super) fn kill(&self, below: &str) -> bool {
        self.folders(below).first().is_none_or(|folder| kill(folder))
    }
}

/// How long a killed process may take to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// SIGKILL to all in a folder and below, until there is none; false if some do not die.
fn kill(folder: &Path) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if fs::write(folder.join("cgroup.kill"), "1").is_err() {
            for pid in processes(folder) {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
        if processes(folder).is_empty() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        // Dying is the kernel's work and has no event on v1.
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn processes(folder: &Path) -> Vec<i32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> =
        text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
    for child in children(folder) {
        found.extend(processes(&child));
    }
    found
}

fn remove_tree(folder: &Path) -> Result<(), Error> {
    for child in children(folder) {
        remove_tree(&child)?;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match fs::remove_dir(folder) {
            Ok(()) => return Ok(()),
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // A zombie holds its cgroup until its parent has buried it.
            Err(problem) if problem.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(problem) => return Err(error("remove cgroup", folder)(problem)),
        }
    }
}

/// Makes folders from the hierarchy's root down, telling each that is new to `made`.
fn make_down(root: &Path, name: &str, mut made: impl FnMut(&Path)) -> Result<(), Error> {
    let mut folder = root.to_owned();
    for part in name.split('/').filter(|part| !part.is_empty()) {
        made(&folder);
        folder.push(part);
        match fs::create_dir(&folder) {
            Err(problem) if problem.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error("make cgroup", &folder)(problem));
            }
            _ => {}
        }
    }
    Ok(())
}

fn set(folder: &Path, file: &str, value: &str) -> Result<(), Error> {
    let path = folder.join(file);
    fs::write(&path, value).map_err(error("write", &path))
}

fn number(folder: &Path, file: &str) -> u64 {
    fs::read_to_string(folder.join(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The value after `key` in a file of `key value` lines.
fn field(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' ')));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}
