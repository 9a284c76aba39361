//! What a shim does when it is asked: one function a verb, and what follows when a child starts or ends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shim::plan;
use shim::protocol::{Answer, Event, Failure, Kind, Phase, VERSION, Verb};

use crate::child;
use crate::container::{Attached, Caller, Container, Sink, Starting, set_nonblocking};
use crate::error::{At, Error};
use crate::log::Log;
use crate::sandbox::Birth;
use crate::server::{Exec, Packet, Server};

/// An answer with its descriptors, or none yet.
type Obeyed = Result<Option<(Answer, Vec<OwnedFd>)>, Failure>;

const DONE: Obeyed = Ok(Some((Answer::Done, Vec::new())));

fn failure(error: Error) -> Failure {
    let kind = if matches!(error, Error::Author(_)) { Kind::Container } else { Kind::System };
    Failure { kind, message: error.to_string() }
}

fn not_found(what: &str, id: &str) -> Failure {
    Failure { kind: Kind::NotFound, message: format!("there is no {what} {id}") }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    let (reader, writer) = std::io::pipe().at("make a pipe")?;
    Ok((reader.into(), writer.into()))
}

impl Server {
    pub(crate) fn obey(&mut self, caller: Caller, verb: Verb, fds: Vec<OwnedFd>) -> Obeyed {
        match verb {
            Verb::Hello { .. } => {
                self.want_events(caller.connection);
                let containers = self.containers.iter().map(|container| container.status.clone()).collect();
                let hello = Answer::Hello { version: VERSION, pid: std::process::id() as i32, containers };
                Ok(Some((hello, Vec::new())))
            }
            Verb::Sandbox(plan) => {
                self.make_sandbox(&plan).map_err(failure)?;
                Ok(Some((Answer::Started { pid: std::process::id() as i32 }, Vec::new())))
            }
            Verb::Start(plan) => self.start(caller, &plan),
            Verb::Signal { container, signal } => {
                let signal = Signal::try_from(signal).map_err(|errno| Failure {
                    kind: Kind::Container,
                    message: format!("{signal} is no signal: {errno}"),
                })?;
                let container = self.find(&container)?;
                if container.status.pid.is_some() {
                    let _ = kill(container.pid, signal);
                }
                DONE
            }
            Verb::Kill { container } => {
                let container = self.find(&container)?;
                if container.status.pid.is_some() {
                    let _ = kill(container.pid, Signal::SIGKILL);
                    crate::container::kill_cgroups(&container.cgroups);
                }
                DONE
            }
            Verb::Exec(plan) => self.exec(caller, &plan, fds),
            Verb::KillExec { exec } => {
                if let Some(exec) = self.execs.iter().find(|other| other.id == exec && other.code.is_none()) {
                    // It leads a session; its children are in its group unless they made their own.
                    let _ = kill(Pid::from_raw(-exec.pid.as_raw()), Signal::SIGKILL);
                    let _ = kill(exec.pid, Signal::SIGKILL);
                }
                DONE
            }
            Verb::Attach { container, stdin, stdout, stderr } => {
                self.attach(&container, [stdin, stdout, stderr], fds)
            }
            Verb::Resize { container, columns, rows } => {
                self.find(&container)?.resize(columns, rows);
                DONE
            }
            Verb::ReopenLog { container } => {
                let container = self.find(&container)?;
                container.reopen_log().at("reopen the log").map_err(failure)?;
                DONE
            }
            Verb::Connect { port } => connect(port),
            Verb::Remove { container } => {
                if self
                    .containers
                    .iter()
                    .any(|other| other.status.id == container && other.status.pid.is_some())
                {
                    let message = format!("{container} is still running");
                    return Err(Failure { kind: Kind::System, message });
                }
                self.containers.retain(|other| other.status.id != container);
                DONE
            }
            Verb::Stop => {
                self.kill_all();
                self.wait_for_all();
                self.stopping = true;
                DONE
            }
        }
    }

    fn find(&mut self, id: &str) -> Result<&mut Container, Failure> {
        let found = self.containers.iter_mut().find(|container| container.status.id == id);
        found.ok_or_else(|| not_found("container", id))
    }

    fn start(&mut self, caller: Caller, plan: &plan::Container) -> Obeyed {
        if let Some(container) = self.containers.iter().find(|container| container.status.id == plan.id) {
            let pid = container.status.pid.unwrap_or(0);
            return Ok(Some((Answer::Started { pid }, Vec::new())));
        }
        let container = self.spawn(caller, plan).map_err(failure)?;
        self.containers.push(container);
        Ok(None)
    }

    fn spawn(&self, caller: Caller, plan: &plan::Container) -> Result<Container, Error> {
        let log = Log::open(&plan.log).at_path("open the log", &plan.log)?;
        let (starting, channel) = self.starting(caller)?;
        let (mut stdio, mut stdin, mut outputs) = ([None, None, None], None, [None, None]);
        if !plan.process.tty {
            if plan.stdin {
                let (reader, writer) = pipe()?;
                (stdio[0], stdin) = (Some(reader), Some(writer));
            }
            for index in 0..2 {
                let (reader, writer) = pipe()?;
                (stdio[index + 1], outputs[index]) = (Some(writer), Some(reader));
            }
        }
        for fd in stdin.iter().chain(outputs.iter().flatten()) {
            set_nonblocking(fd).at("make a pipe")?;
        }
        let namespaces =
            self.namespaces.as_ref().ok_or_else(|| Error::Author("there is no sandbox yet".into()))?;
        // The parent keeps its copies until after the fork; the child takes these with it.
        let mut given = Some((stdio, channel));
        let beside = plan.beside.as_deref().map(|other| self.pid_namespace(other)).transpose()?;
        let birth = beside.as_ref().map_or(Birth::Container, Birth::Beside);
        let pid = namespaces.fork(birth, &plan.process.cgroups, |joined| {
            if let Some((stdio, channel)) = given.take() {
                child::container(plan, joined, stdio, channel);
            }
        })?;
        drop(given);
        let mut container = Container::new(plan, pid, log, starting);
        (container.stdin, container.outputs) = (stdin, outputs);
        Ok(container)
    }

    fn pid_namespace(&self, id: &str) -> Result<OwnedFd, Error> {
        let running =
            self.containers.iter().find(|one| one.status.id == id && one.status.phase == Phase::Running);
        let pid = running.and_then(|one| one.status.pid);
        let pid = pid.ok_or_else(|| Error::Author(format!("the target container {id} is not running")))?;
        let path = format!("/proc/{pid}/ns/pid");
        Ok(std::fs::File::open(&path).at(&format!("open {path}"))?.into())
    }

    /// Hears all that the first process of a container says.
    pub(crate) fn container_channel(&mut self, index: usize) {
        while self.containers.get(index).is_some_and(|container| container.starting.is_some())
            && self.container_channel_once(index)
        {}
    }

    /// False when there is nothing to hear now.
    pub(crate) fn container_channel_once(&mut self, index: usize) -> bool {
        let container = &mut self.containers[index];
        let Some(starting) = &mut container.starting else { return false };
        match starting.hear() {
            Packet::Nothing => false,
            Packet::Heard => true,
            Packet::Terminal(master) => {
                container.take_terminal(master);
                true
            }
            Packet::Closed if starting.failure.is_some() => false, // its end is on its way
            Packet::Closed => {
                let caller = starting.caller;
                container.status.warnings = std::mem::take(&mut starting.warnings);
                container.starting = None;
                container.began();
                let (pid, status) = (container.pid.as_raw(), container.status.clone());
                self.answer(caller, Ok(Answer::Started { pid }), Vec::new());
                self.publish(Event::Status(status));
                false
            }
        }
    }

    pub(crate) fn container_ended(&mut self, index: usize, code: i32) {
        let alone = self.namespaces.as_ref().is_some_and(crate::sandbox::Namespaces::own_pid_each);
        let container = &mut self.containers[index];
        container.ended(code, alone && !container.is_beside);
        let status = container.status.clone();
        if let Some(starting) = container.starting.take() {
            self.answer(starting.caller, Err(start_failure(starting, code)), Vec::new());
        }
        self.publish(Event::Status(status));
    }

    fn exec(&mut self, caller: Caller, plan: &plan::Exec, fds: Vec<OwnedFd>) -> Obeyed {
        let container = self.find(&plan.container)?;
        let Some(pid) = container.status.pid.filter(|_| container.status.phase == Phase::Running) else {
            let message = format!("container {} is not running", plan.container);
            return Err(Failure { kind: Kind::Container, message });
        };
        let exec = self.spawn_exec(caller, plan, pid, fds).map_err(failure)?;
        self.execs.push(exec);
        Ok(None)
    }

    fn spawn_exec(
        &self,
        caller: Caller,
        plan: &plan::Exec,
        pid: i32,
        fds: Vec<OwnedFd>,
    ) -> Result<Exec, Error> {
        let namespace = |kind: &str| -> Result<OwnedFd, Error> {
            let path = format!("/proc/{pid}/ns/{kind}");
            Ok(std::fs::File::open(&path).at(&format!("open {path}"))?.into())
        };
        let inside = child::Inside { mount: namespace("mnt")?, cgroup: namespace("cgroup").ok() };
        let beside = namespace("pid")?;
        let (starting, channel) = self.starting(caller)?;
        let mut fds = fds.into_iter();
        let stdio = [fds.next(), fds.next(), fds.next()];
        let namespaces =
            self.namespaces.as_ref().ok_or_else(|| Error::Author("there is no sandbox yet".into()))?;
        let mut given = Some((inside, stdio, channel));
        let pid = namespaces.fork(Birth::Beside(&beside), &plan.process.cgroups, |joined| {
            if let Some((inside, stdio, channel)) = given.take() {
                child::exec(&plan.process, joined, inside, stdio, channel);
            }
        })?;
        drop(given);
        Ok(Exec { id: plan.id, pid, starting: Some(starting), terminal: None, code: None })
    }

    pub(crate) fn exec_channel(&mut self, index: usize) {
        while self.execs.get(index).is_some_and(|exec| exec.starting.is_some())
            && self.exec_channel_once(index)
        {}
    }

    pub(crate) fn exec_channel_once(&mut self, index: usize) -> bool {
        let exec = &mut self.execs[index];
        let Some(starting) = &mut exec.starting else { return false };
        match starting.hear() {
            Packet::Nothing => false,
            Packet::Heard => true,
            Packet::Terminal(master) => {
                exec.terminal = Some(master);
                true
            }
            Packet::Closed => {
                let pid = exec.pid.as_raw();
                let fds = exec.terminal.take().into_iter().collect();
                let Some(starting) = exec.starting.take() else { return false };
                match starting.failure {
                    None => self.answer(starting.caller, Ok(Answer::Started { pid }), fds),
                    Some(_) => self.answer(starting.caller, Err(start_failure(starting, 128)), Vec::new()),
                }
                false
            }
        }
    }

    fn attach(&mut self, id: &str, wanted: [bool; 3], fds: Vec<OwnedFd>) -> Obeyed {
        self.clients += 1;
        let client = self.clients;
        let container = self.find(id)?;
        if container.status.phase != Phase::Running {
            let message = format!("container {id} is not running");
            return Err(Failure { kind: Kind::Container, message });
        }
        let mut fds = fds.into_iter();
        let mut take = |wanted: bool| if wanted { fds.next() } else { None };
        let stdin = take(wanted[0]).filter(|_| container.stdin.is_some());
        if let Some(stdin) = &stdin {
            let _ = set_nonblocking(stdin);
        }
        let outputs = [take(wanted[1]).map(Sink::new), take(wanted[2]).map(Sink::new)];
        container.attached.push(Attached { id: client, stdin, outputs });
        DONE
    }

    /// Until no child is left, or none dies any more: a process may hang in the kernel on a dead file system.
    fn wait_for_all(&mut self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(5);
        while self.containers.iter().any(|container| container.status.pid.is_some())
            && std::time::Instant::now() < deadline
        {
            let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
            match nix::sys::wait::waitid(
                nix::sys::wait::Id::All,
                flags | nix::sys::wait::WaitPidFlag::WNOHANG,
            ) {
                Ok(nix::sys::wait::WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
                Err(Errno::ECHILD) => return,
                _ => self.reap(),
            }
        }
    }
}

fn start_failure(starting: Starting, code: i32) -> Failure {
    let (kind, text) = starting.failure.unwrap_or_else(|| {
        (child::SYSTEM, format!("its first process ended with {code} before the program ran"))
    });
    let kind = if kind == child::AUTHOR { Kind::Container } else { Kind::System };
    Failure { kind, message: text }
}

/// Connects to a port of the pod's loopback; refusals come at once there, so the wait is short.
fn connect(port: u16) -> Obeyed {
    let four = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let limit = Duration::from_secs(1);
    let stream = TcpStream::connect_timeout(&four, limit)
        .or_else(|first| TcpStream::connect_timeout(&six, limit).map_err(|_| first))
        .map_err(|error| {
            let message = format!("failed to connect to localhost:{port} inside the pod: {error}");
            Failure { kind: Kind::Container, message }
        })?;
    Ok(Some((Answer::Done, vec![stream.into()])))
}
