//! The pod's namespaces. IPC, UTS and network namespaces are the shim's own, so that containers inherit them and no
//! process has to hold them; a PID namespace that containers share needs a first process, a child of the shim.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, sethostname};
use shim::plan::{Network, Sandbox, Share};

use crate::error::{At, Error};
use crate::sys::{self, Forked};

/// Namespaces for processes to be born into.
pub(crate) struct Namespaces {
    /// The shim's own: where it forks its helpers.
    own_pid: OwnedFd,
    /// Of `shareProcessNamespace`.
    shared_pid: Option<(Pid, OwnedFd)>,
    host_pid: bool,
}

fn namespace(path: &str) -> Result<OwnedFd, Error> {
    Ok(File::open(path).at(&format!("open {path}"))?.into())
}

/// Makes what `plan` asks for, for this process and its children.
pub(crate) fn enter(plan: &Sandbox) -> Result<Namespaces, Error> {
    let mut flags = CloneFlags::empty();
    flags.set(CloneFlags::CLONE_NEWIPC, plan.ipc == Share::Pod);
    flags.set(CloneFlags::CLONE_NEWUTS, plan.hostname.is_some());
    flags.set(CloneFlags::CLONE_NEWNET, plan.network == Network::New);
    unshare(flags).at("unshare the pod's namespaces")?;
    match &plan.network {
        Network::Host => {}
        Network::New => sys::loopback_up().at("bring up the loopback")?,
        Network::Path(path) => {
            let file = File::open(path).at_path("open network namespace", path)?;
            setns(&file, CloneFlags::CLONE_NEWNET).at_path("enter network namespace", path)?;
        }
    }
    if let Some(name) = &plan.hostname {
        sethostname(name).at("set the host name")?;
    }
    for (name, value) in &plan.sysctls {
        set_sysctl(name, value)?;
    }
    let own_pid = namespace("/proc/self/ns/pid")?;
    let shared_pid = if plan.share_pid && plan.pid == Share::Pod { Some(first_process()?) } else { None };
    Ok(Namespaces { own_pid, shared_pid, host_pid: plan.pid == Share::Host })
}

/// `a.b.c`, or `a/b.d/c` where a part holds a dot.
fn set_sysctl(name: &str, value: &str) -> Result<(), Error> {
    let relative = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    if relative.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(Error::Author(format!("{name} is no sysctl")));
    }
    let path = PathBuf::from("/proc/sys").join(relative);
    fs::write(&path, value).at_path("write sysctl", &path).map_err(|error| Error::Author(error.to_string()))
}

/// The process that a shared PID namespace lives and dies with; it buries orphans.
fn first_process() -> Result<(Pid, OwnedFd), Error> {
    let own = namespace("/proc/self/ns/pid")?;
    unshare(CloneFlags::CLONE_NEWPID).at("unshare the PID namespace")?;
    // SAFETY: the shim has one thread.
    match unsafe { fork() }.at("fork")? {
        ForkResult::Child => bury(),
        ForkResult::Parent { child } => {
            setns(&own, CloneFlags::CLONE_NEWPID).at("return to the PID namespace")?;
            Ok((child, namespace(&format!("/proc/{child}/ns/pid"))?))
        }
    }
}

fn bury() -> ! {
    sys::close_from(0);
    let _ = nix::unistd::setsid();
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None);
    loop {
        let _ = set.wait();
        while !matches!(
            waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)),
            Err(Errno::ECHILD) | Ok(WaitStatus::StillAlive)
        ) {}
    }
}

/// Where a child is to be born.
pub(crate) enum Birth<'a> {
    /// In a PID namespace as the pod says.
    Container,
    /// In that of a running container.
    Beside(&'a OwnedFd),
}

impl Namespaces {
    /// Containers whose first process takes all others with it when it ends.
    pub(crate) fn own_pid_each(&self) -> bool {
        self.shared_pid.is_none() && !self.host_pid
    }

    /// The first process of the shared PID namespace, which is no container.
    pub(crate) fn first(&self) -> Option<Pid> {
        self.shared_pid.as_ref().map(|(pid, _)| *pid)
    }

    /// Forks a child that runs `body`, which never returns; it is told whether the child is in `cgroups` already.
    pub(crate) fn fork(
        &self,
        birth: Birth<'_>,
        cgroups: &[PathBuf],
        body: impl FnOnce(bool),
    ) -> Result<Pid, Error> {
        match (birth, &self.shared_pid) {
            (Birth::Beside(namespace), _) => {
                setns(namespace, CloneFlags::CLONE_NEWPID).at("enter the PID namespace")?
            }
            (Birth::Container, Some((_, shared))) => {
                setns(shared, CloneFlags::CLONE_NEWPID).at("enter the PID namespace")?;
            }
            (Birth::Container, None) if self.host_pid => {}
            (Birth::Container, None) => unshare(CloneFlags::CLONE_NEWPID).at("unshare the PID namespace")?,
        }
        // SAFETY: the shim has one thread.
        let forked = unsafe { sys::fork_into(cgroups) };
        if let Ok(Forked::Child { joined }) = forked {
            body(joined);
            // SAFETY: ends this process without the parent's handlers and buffers.
            unsafe { libc::_exit(128) }
        }
        setns(&self.own_pid, CloneFlags::CLONE_NEWPID).at("return to the PID namespace")?;
        match forked.at("fork")? {
            Forked::Parent(child) => Ok(child),
            Forked::Child { .. } => unreachable!("the child has left above"),
        }
    }
}
