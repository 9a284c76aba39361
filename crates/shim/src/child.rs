//! What the shim's child does between `fork` and `execve`. It reports over a channel of packets: a warning, the master of
//! its terminal, or why it failed; the channel closes by itself when the program runs.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use shim::frame;
use shim::plan::{Container, Process};

use crate::error::{At, Error};
use crate::{credentials, process, rootfs, sys, user};

/// The first byte of a packet on the channel.
pub(crate) const WARNING: u8 = b'W';
pub(crate) const TERMINAL: u8 = b'T';
/// The fault of who wrote the pod, or the machine's.
pub(crate) const AUTHOR: u8 = b'A';
pub(crate) const SYSTEM: u8 = b'S';

/// Stdin, stdout, stderr; `None` is `/dev/null`, and all are ignored with a terminal.
pub(crate) type Stdio = [Option<OwnedFd>; 3];

/// Namespaces of a running container.
pub(crate) struct Inside {
    pub(crate) mount: OwnedFd,
    pub(crate) cgroup: Option<OwnedFd>,
}

/// Becomes the first process of a container.
pub(crate) fn container(plan: &Container, joined: bool, stdio: Stdio, channel: OwnedFd) -> ! {
    let failed = begin(&plan.process, joined, &channel)
        .and_then(|()| program_of(&plan.process))
        .and_then(|program| rootfs::enter(plan).map(|()| program))
        .and_then(|program| end(&plan.process, stdio, program, &channel, true));
    report(failed, &channel)
}

/// Becomes a process inside a running container.
pub(crate) fn exec(plan: &Process, joined: bool, inside: Inside, stdio: Stdio, channel: OwnedFd) -> ! {
    let failed = begin(plan, joined, &channel)
        .and_then(|()| program_of(plan))
        .and_then(|program| {
            if let Some(cgroup) = &inside.cgroup {
                setns(cgroup, CloneFlags::CLONE_NEWCGROUP).at("enter the cgroup namespace")?;
            }
            setns(&inside.mount, CloneFlags::CLONE_NEWNS).at("enter the mount namespace")?;
            Ok(program)
        })
        .and_then(|program| end(plan, stdio, program, &channel, false));
    report(failed, &channel)
}

fn report(result: Result<Infallible, Error>, channel: &OwnedFd) -> ! {
    let Err(error) = result;
    let kind = if matches!(error, Error::Author(_)) { AUTHOR } else { SYSTEM };
    say(channel, kind, &error.to_string());
    // SAFETY: ends this process without the parent's handlers and buffers.
    unsafe { libc::_exit(128) }
}

fn say(channel: &OwnedFd, kind: u8, text: &str) {
    let mut packet = vec![kind];
    packet.extend_from_slice(&text.as_bytes()[..text.len().min(4096)]);
    let _ = frame::send(channel.as_fd(), &packet, &[]);
}

/// Out of the shim's session, signals and cgroups.
fn begin(process: &Process, joined: bool, channel: &OwnedFd) -> Result<(), Error> {
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }.at("reset signals")?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).at("unblock signals")?;
    umask(Mode::empty());
    setsid().at("setsid")?;
    for cgroup in process.cgroups.iter().filter(|_| !joined) {
        sys::join_cgroup(cgroup).at_path("join cgroup", cgroup)?;
    }
    if let Some(score) = process.oom_score_adj
        && let Err(error) = fs::write("/proc/self/oom_score_adj", score.to_string())
    {
        // Lowering it needs CAP_SYS_RESOURCE, which a skiff in a container may lack.
        say(channel, WARNING, &format!("cannot set oom_score_adj to {score}: {error}"));
    }
    Ok(())
}

fn program_of(process: &Process) -> Result<Option<credentials::Program>, Error> {
    process.seccomp.as_deref().map(credentials::load).transpose()
}

fn end(
    process: &Process,
    stdio: Stdio,
    program: Option<credentials::Program>,
    channel: &OwnedFd,
    first: bool,
) -> Result<Infallible, Error> {
    if process.tty {
        take_terminal(channel, first)?;
    } else {
        take_stdio(stdio)?;
    }
    sys::cloexec_from(3);
    let identity = user::resolve(&process.user)?;
    credentials::own_stdio(identity.uid)?;
    process::enter_folder(&process.cwd)?;
    credentials::limits(process, |warning| say(channel, WARNING, &warning));
    umask(Mode::from_bits_truncate(0o022));
    credentials::apply(process, &identity, program.as_ref())?;
    process::execute(process, identity.home.as_deref())
}

fn take_stdio(stdio: Stdio) -> Result<(), Error> {
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty()).at("open /dev/null")?;
    let [stdin, stdout, stderr] = &stdio;
    // The shim keeps 0 to 2 open, so no descriptor given here is one of them.
    dup2_stdin(stdin.as_ref().unwrap_or(&null)).at("dup2 stdin")?;
    dup2_stdout(stdout.as_ref().unwrap_or(&null)).at("dup2 stdout")?;
    dup2_stderr(stderr.as_ref().unwrap_or(&null)).at("dup2 stderr")
}

fn take_terminal(channel: &OwnedFd, first: bool) -> Result<(), Error> {
    let path = "/dev/pts/ptmx";
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open(path, flags, Mode::empty()).at("open /dev/pts/ptmx")?;
    let terminal = sys::open_peer(master.as_fd()).at("open the terminal")?;
    frame::send(channel.as_fd(), &[TERMINAL], &[master.as_raw_fd()]).at("hand over the terminal")?;
    sys::take_terminal(terminal.as_fd()).at("take the terminal")?;
    if first {
        console(&terminal)?;
    }
    dup2_stdin(&terminal).at("dup2 stdin")?;
    dup2_stdout(&terminal).at("dup2 stdout")?;
    dup2_stderr(&terminal).at("dup2 stderr")
}

/// Shows the terminal as `/dev/console` too.
fn console(terminal: &OwnedFd) -> Result<(), Error> {
    let name: PathBuf =
        fs::read_link(format!("/proc/self/fd/{}", terminal.as_raw_fd())).at("name the terminal")?;
    let made = fs::OpenOptions::new().create(true).append(true).open("/dev/console").map(drop);
    made.or_else(|error| if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) })
        .at("make /dev/console")?;
    let none: Option<&str> = None;
    mount(Some(&name), "/dev/console", none, MsFlags::MS_BIND, none).at("mount /dev/console")
}
