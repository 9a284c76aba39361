//! From the kubelet's specification to what a shim is told: pure but for device numbers, which are read from `/dev`.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use shim::plan;

use super::cgroup::{Cgroups, Devices};
use super::state::Folder;
use super::{capabilities, seccomp};
use crate::{ContainerSpec, Error, ExecSpec, Propagation, SandboxSpec, Security};

/// Hidden from containers, as in containerd.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Cgroup of the pod.
pub(super) fn pod_cgroup(spec: &SandboxSpec) -> String {
    let parent = spec.cgroup_parent.trim_matches('/');
    if parent.is_empty() { format!("pod{}", spec.uid) } else { parent.to_owned() }
}

pub(super) fn container_cgroup(sandbox: &SandboxSpec, id: &str) -> String {
    format!("{}/{id}", pod_cgroup(sandbox))
}

/// Of all shims.
pub(super) const SHIMS: &str = "shims";

pub(super) fn sandbox(spec: &SandboxSpec, folder: &Folder, sockets: &Path) -> plan::Sandbox {
    let share = |host: bool| if host { plan::Share::Host } else { plan::Share::Pod };
    plan::Sandbox {
        uid: spec.uid.clone(),
        dir: folder.0.clone(),
        socket_dir: sockets.to_owned(),
        socket_name: spec.uid.clone(),
        network: match &spec.netns {
            _ if spec.host.network => plan::Network::Host,
            Some(path) => plan::Network::Path(path.clone()),
            None => plan::Network::New,
        },
        ipc: share(spec.host.ipc),
        pid: share(spec.host.pid),
        share_pid: spec.share_pid,
        hostname: Some(spec.hostname.clone()).filter(|name| !name.is_empty() && !spec.host.network),
        sysctls: spec.sysctls.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

pub(super) fn container(
    spec: &ContainerSpec,
    sandbox: &SandboxSpec,
    folder: &Folder,
    run: &Path,
    cgroups: &Cgroups,
) -> Result<plan::Container, Error> {
    let shown = !(spec.security.privileged || spec.security.unmasked_proc);
    let paths = |paths: &[&str]| if shown { paths.iter().map(PathBuf::from).collect() } else { Vec::new() };
    let cgroup = container_cgroup(sandbox, &spec.id);
    Ok(plan::Container {
        id: spec.id.clone(),
        dir: folder.container(&spec.id),
        layers: spec.layers.clone(),
        read_only_root: spec.security.read_only_root,
        process: process(spec, sandbox, run, cgroups, &spec.command, spec.tty)?,
        mounts: spec
            .mounts
            .iter()
            .map(|mount| plan::Mount {
                source: mount.source.clone(),
                target: mount.target.clone(),
                read_only: mount.read_only,
                propagation: match mount.propagation {
                    Propagation::None => plan::Propagation::Private,
                    Propagation::HostToContainer => plan::Propagation::Slave,
                    Propagation::Bidirectional => plan::Propagation::Shared,
                },
            })
            .collect(),
        devices: spec.devices.clone(),
        privileged: spec.security.privileged,
        masked: paths(&MASKED),
        read_only: paths(&READ_ONLY),
        cgroup_v1: cgroups.shown(),
        oom_file: cgroups.oom_file(&cgroup),
        log: sandbox.log_dir.join(&spec.log_path),
        stdin: spec.stdin,
        stdin_once: spec.stdin_once,
        beside: spec.beside.clone(),
    })
}

/// A process in a running container: its rights are those of the container.
pub(super) fn exec(
    id: u64,
    exec: &ExecSpec,
    spec: &ContainerSpec,
    sandbox: &SandboxSpec,
    run: &Path,
    cgroups: &Cgroups,
) -> Result<plan::Exec, Error> {
    let process = process(spec, sandbox, run, cgroups, &exec.command, exec.tty)?;
    Ok(plan::Exec { container: spec.id.clone(), id, process })
}

fn process(
    spec: &ContainerSpec,
    sandbox: &SandboxSpec,
    run: &Path,
    cgroups: &Cgroups,
    command: &[String],
    tty: bool,
) -> Result<plan::Process, Error> {
    let security = &spec.security;
    let capabilities = capabilities::set(security)?;
    let mut env = Vec::with_capacity(spec.env.len() + 1);
    if !sandbox.hostname.is_empty() && !spec.env.iter().any(|(name, _)| name == "HOSTNAME") {
        env.push(format!("HOSTNAME={}", sandbox.hostname));
    }
    env.extend(spec.env.iter().map(|(name, value)| format!("{name}={value}")));
    Ok(plan::Process {
        args: command.to_vec(),
        env,
        cwd: spec.working_dir.clone(),
        user: plan::User {
            uid: security.uid,
            gid: security.gid,
            name: security.user.clone().filter(|user| !user.is_empty()),
            groups: security.groups.clone(),
        },
        capabilities,
        no_new_privileges: security.no_new_privileges,
        seccomp: seccomp::program(&security.seccomp, security.privileged, capabilities, run)?,
        rlimits: Vec::new(),
        oom_score_adj: spec.resources.oom_score_adj,
        cgroups: cgroups.folders(&container_cgroup(sandbox, &spec.id)),
        tty,
    })
}

/// The devices that a container's cgroup must let it use.
pub(super) fn devices(security: &Security, wanted: &[PathBuf]) -> Devices {
    if security.privileged {
        return Devices::All;
    }
    let mut found = Vec::new();
    for path in wanted {
        collect(path, &mut found, 0);
    }
    Devices::Default(found)
}

fn collect(path: &Path, found: &mut Vec<(bool, u64, u64)>, depth: usize) {
    let Ok(meta) = std::fs::metadata(path) else { return };
    let kind = meta.file_type();
    if kind.is_dir() && depth < 4 {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), found, depth + 1);
        }
    } else if kind.is_char_device() || kind.is_block_device() {
        let number = meta.rdev();
        let major = u64::from(nix::sys::stat::major(number) as u32);
        let minor = u64::from(nix::sys::stat::minor(number) as u32);
        found.push((kind.is_block_device(), major, minor));
    }
}
