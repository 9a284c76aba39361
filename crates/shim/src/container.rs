//! One container as its shim sees it: the process, the pipes, the log, who is attached, and what is on disk about it.
//!
//! Output goes to the log and to all attached clients. One that does not read holds the container back, as a terminal
//! would, yet only for [`STALL`]: then it is let go.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use shim::plan;
use shim::protocol::{Phase, Status};

use crate::log::{Log, Stream};

/// How long a client may leave its output unread.
const STALL: Duration = Duration::from_secs(10);

/// Whom to answer when the program runs or cannot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) connection: u64,
    pub(crate) request: u64,
}

/// A child between `fork` and `execve`.
#[derive(Debug)]
pub(crate) struct Starting {
    pub(crate) channel: OwnedFd,
    pub(crate) caller: Caller,
    pub(crate) failure: Option<(u8, String)>,
    pub(crate) warnings: Vec<String>,
}

pub(crate) struct Attached {
    pub(crate) id: u64,
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) outputs: [Option<Sink>; 2],
}

/// Where a client reads. `rest` is what it has not taken yet.
pub(crate) struct Sink {
    pub(crate) fd: OwnedFd,
    rest: Vec<u8>,
    since: Instant,
}

impl Sink {
    pub(crate) fn new(fd: OwnedFd) -> Sink {
        let _ = set_nonblocking(&fd);
        Sink { fd, rest: Vec::new(), since: Instant::now() }
    }

    pub(crate) fn stalled(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Gives `bytes` after what is left from before; false if the client is gone or too slow.
    pub(crate) fn give(&mut self, bytes: &[u8]) -> bool {
        let waiting = self.stalled();
        self.rest.extend_from_slice(bytes);
        match nix::unistd::write(&self.fd, &self.rest) {
            Ok(written) => {
                self.rest.drain(..written);
                self.since = Instant::now();
                if self.rest.is_empty() {
                    self.rest = Vec::new();
                }
                true
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {
                if !waiting {
                    self.since = Instant::now();
                }
                self.since.elapsed() < STALL
            }
            Err(_) => false,
        }
    }
}

pub(crate) struct Container {
    pub(crate) status: Status,
    /// Of the first process, also after it has ended and until it is known why.
    pub(crate) pid: nix::unistd::Pid,
    pub(crate) starting: Option<Starting>,
    pub(crate) stdin: Option<OwnedFd>,
    /// Typed by clients and not taken by the program yet.
    pub(crate) typed: Vec<u8>,
    /// Standard output and error; with a terminal only the first, its master.
    pub(crate) outputs: [Option<OwnedFd>; 2],
    pub(crate) attached: Vec<Attached>,
    pub(crate) wants_stdin: bool,
    /// Its processes are in the PID namespace of another, which outlives it.
    pub(crate) is_beside: bool,
    tty: bool,
    stdin_once: bool,
    log: Log,
    dir: PathBuf,
    pub(crate) cgroups: Vec<PathBuf>,
    oom_file: Option<PathBuf>,
}

pub(crate) fn set_nonblocking(fd: &OwnedFd) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

impl Container {
    pub(crate) fn new(
        plan: &plan::Container,
        pid: nix::unistd::Pid,
        log: Log,
        starting: Starting,
    ) -> Container {
        Container {
            status: Status { id: plan.id.clone(), pid: Some(pid.as_raw()), ..Status::default() },
            pid,
            starting: Some(starting),
            stdin: None,
            typed: Vec::new(),
            outputs: [None, None],
            attached: Vec::new(),
            wants_stdin: plan.stdin,
            is_beside: plan.beside.is_some(),
            tty: plan.process.tty,
            stdin_once: plan.stdin_once,
            log,
            dir: plan.dir.clone(),
            cgroups: plan.process.cgroups.clone(),
            oom_file: plan.oom_file.clone(),
        }
    }

    /// The terminal that the first process has made.
    pub(crate) fn take_terminal(&mut self, master: OwnedFd) {
        let _ = set_nonblocking(&master);
        if self.wants_stdin {
            self.stdin = master.try_clone().ok();
        }
        self.outputs[0] = Some(master);
    }

    /// The program runs.
    pub(crate) fn began(&mut self) {
        self.status.phase = Phase::Running;
        self.status.started = Some(now());
        self.save();
    }

    /// The first process has ended with `code`.
    pub(crate) fn ended(&mut self, code: i32, alone: bool) {
        if !alone {
            kill_cgroups(&self.cgroups);
        }
        self.drain();
        self.log.finish();
        self.status.oom = self.oom_file.as_deref().is_some_and(oom_killed);
        self.status.pid = None;
        self.status.phase = Phase::Exited;
        self.status.finished = Some(now());
        self.status.exit_code = Some(code);
        if let Some(Starting { failure: Some((_, text)), .. }) = &self.starting {
            self.status.start_error = Some(text.clone());
        }
        self.outputs = [None, None];
        self.stdin = None;
        self.typed = Vec::new();
        // A client that has not taken everything yet may go on reading.
        for client in &mut self.attached {
            client.stdin = None;
        }
        self.push_sinks();
        self.save();
    }

    /// Reads what is left in the pipes. All writers are dead, so this ends.
    fn drain(&mut self) {
        let mut buffer = vec![0; 16 << 10];
        for stream in [Stream::Stdout, Stream::Stderr] {
            while self.outputs[stream as usize].is_some() && self.read_into(stream, &mut buffer) {}
        }
    }

    /// Reads once from an output; false if there was nothing.
    pub(crate) fn read_into(&mut self, stream: Stream, buffer: &mut [u8]) -> bool {
        let Some(fd) = &self.outputs[stream as usize] else { return false };
        match nix::unistd::read(fd, buffer) {
            Ok(0) => self.outputs[stream as usize] = None,
            Ok(length) => {
                self.log.write(stream, &buffer[..length]);
                for attached in &mut self.attached {
                    let sink = &mut attached.outputs[stream as usize];
                    if sink.as_mut().is_some_and(|sink| !sink.give(&buffer[..length])) {
                        *sink = None;
                    }
                }
                return true;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // A terminal answers EIO when nobody has its other end.
            Err(_) => self.outputs[stream as usize] = None,
        }
        false
    }

    /// A client holds this stream back.
    pub(crate) fn stalled(&self, stream: Stream) -> bool {
        self.attached
            .iter()
            .any(|attached| attached.outputs[stream as usize].as_ref().is_some_and(Sink::stalled))
    }

    /// Takes what a client typed, unless the program has not taken what was typed before.
    pub(crate) fn type_from(&mut self, attached: u64, buffer: &mut [u8]) {
        let Some(client) = self.attached.iter_mut().find(|client| client.id == attached) else { return };
        let Some(source) = &client.stdin else { return };
        match nix::unistd::read(source, buffer) {
            Ok(0) => {
                client.stdin = None;
                if self.stdin_once && !self.tty {
                    self.stdin = None;
                }
            }
            Ok(length) => {
                self.typed.extend_from_slice(&buffer[..length]);
                self.flush_typed();
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => client.stdin = None,
        }
    }

    pub(crate) fn flush_typed(&mut self) {
        let Some(stdin) = &self.stdin else {
            self.typed = Vec::new();
            return;
        };
        match nix::unistd::write(stdin, &self.typed) {
            Ok(written) => {
                self.typed.drain(..written);
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => {
                self.stdin = None;
                self.typed = Vec::new();
            }
        }
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) -> bool {
        let master = self.outputs[0].as_ref().filter(|_| self.tty);
        master.is_some_and(|master| crate::sys::resize(master.as_fd(), columns, rows).is_ok())
    }

    pub(crate) fn reopen_log(&mut self) -> std::io::Result<()> {
        self.log.reopen()
    }

    /// Lets go of clients that read nothing any more, and wakes those that read slowly.
    pub(crate) fn push_sinks(&mut self) {
        let over = self.status.phase == Phase::Exited;
        for sink in self.attached.iter_mut().flat_map(|attached| &mut attached.outputs) {
            let lost = sink.as_mut().is_some_and(|sink| sink.stalled() && !sink.give(&[]));
            if lost || (over && sink.as_ref().is_some_and(|sink| !sink.stalled())) {
                *sink = None;
            }
        }
        self.attached
            .retain(|attached| attached.stdin.is_some() || attached.outputs.iter().any(Option::is_some));
    }

    /// Writes `status.json`, whole or not at all; what a daemon finds after this shim is gone.
    fn save(&self) {
        let temporary = self.dir.join("status.tmp");
        let saved = serde_json::to_vec(&self.status)
            .map_err(std::io::Error::from)
            .and_then(|bytes| fs::File::create(&temporary)?.write_all(&bytes))
            .and_then(|()| fs::rename(&temporary, self.dir.join("status.json")));
        if let Err(error) = saved {
            eprintln!("cannot save the status of {}: {error}", self.status.id);
        }
    }
}

/// Whether the kernel killed a process of this cgroup for want of memory.
fn oom_killed(file: &Path) -> bool {
    let mut text = String::new();
    let read = fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text));
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok());
    read.is_ok() && count.is_some_and(|count: u64| count > 0)
}

/// SIGKILL to all that is in a container's cgroup. One hierarchy suffices: a process is in all of them.
pub(crate) fn kill_cgroups(cgroups: &[PathBuf]) {
    let Some(cgroup) = cgroups.first() else { return };
    if fs::write(cgroup.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    // v1, or v2 before Linux 5.14: again and again, for processes that fork meanwhile.
    for _ in 0..100 {
        let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        let mut found = false;
        for pid in text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0) {
            found |=
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
                    .is_ok();
        }
        if !found {
            return;
        }
    }
}
