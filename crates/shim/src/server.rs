//! The shim's loop: one `poll` over everything, no timer while nothing stalls, so that an idle pod costs no wake-up.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use shim::frame::{self, Decoder, Frame};
use shim::protocol::{Answer, Event, Failure, Kind, Message, Request};

use crate::child;
use crate::container::{Caller, Container, Starting, set_nonblocking};
use crate::error::{At, Error};
use crate::log::Stream;
use crate::sandbox::{self, Namespaces};

/// Bytes that a client may leave unread before it is cut off; it lists again when it comes back.
const BACKLOG: usize = 1 << 20;

pub(crate) struct Connection {
    pub(crate) id: u64,
    socket: OwnedFd,
    decoder: Decoder,
    /// Frames to send: bytes, how many are gone, descriptors to go with the first.
    out: VecDeque<(Vec<u8>, usize, Vec<OwnedFd>)>,
    events: bool,
    dead: bool,
}

pub(crate) struct Exec {
    pub(crate) id: u64,
    pub(crate) pid: Pid,
    pub(crate) starting: Option<Starting>,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) code: Option<i32>,
}

/// Everything that a shim knows.
pub(crate) struct Server {
    pub(crate) namespaces: Option<Namespaces>,
    pub(crate) containers: Vec<Container>,
    pub(crate) execs: Vec<Exec>,
    connections: Vec<Connection>,
    listener: Option<UnixListener>,
    next: u64,
    /// Numbers attached clients.
    pub(crate) clients: u64,
    pub(crate) stopping: bool,
}

/// What a ready descriptor is of.
#[derive(Clone, Copy)]
enum Token {
    Signals,
    Listener,
    Connection(u64),
    ContainerStart(usize),
    ExecStart(usize),
    Output(usize, Stream),
    Sink,
    ClientStdin(usize, u64),
    Stdin(usize),
}

impl Server {
    /// Runs until the daemon says stop. Descriptor 0 is the first connection.
    pub(crate) fn run() -> Result<(), Error> {
        nix::unistd::setsid().at("setsid")?;
        prctl::set_child_subreaper(true).at("become a subreaper")?;
        let _ = prctl::set_name(c"skiff-shim");
        // SAFETY: descriptor 0 was given to this process to own; the standard library does not close it.
        let inherited = unsafe { OwnedFd::from_raw_fd(0) };
        let socket = inherited.try_clone().at("take the first connection")?;
        std::mem::forget(inherited);
        let null = File::options().read(true).write(true).open("/dev/null").at("open /dev/null")?;
        nix::unistd::dup2_stdin(&null).at("dup2 stdin")?;
        nix::unistd::dup2_stdout(&null).at("dup2 stdout")?;
        drop(null);
        nix::unistd::chdir("/").at("chdir")?;
        let mut set = SigSet::empty();
        set.add(Signal::SIGCHLD);
        // A service manager that ends the daemon may signal its whole group; only SIGKILL ends a shim against its will.
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
            set.add(signal);
        }
        set.thread_block().at("block signals")?;
        let signals =
            SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).at("signalfd")?;
        let mut server = Server {
            namespaces: None,
            containers: Vec::new(),
            execs: Vec::new(),
            connections: Vec::new(),
            listener: None,
            next: 0,
            clients: 0,
            stopping: false,
        };
        server.connect(socket);
        while !server.finished() {
            server.turn(&signals)?;
        }
        Ok(())
    }

    /// After a stop all answers are out; a shim that never got its sandbox ends with its maker.
    fn finished(&self) -> bool {
        let quiet = self.connections.iter().all(|connection| connection.out.is_empty());
        (self.stopping && quiet) || (self.listener.is_none() && self.connections.is_empty())
    }

    fn connect(&mut self, socket: OwnedFd) {
        self.next += 1;
        let decoder = Decoder::default();
        let out = VecDeque::new();
        self.connections.push(Connection { id: self.next, socket, decoder, out, events: false, dead: false });
    }

    fn turn(&mut self, signals: &SignalFd) -> Result<(), Error> {
        let ready = self.wait(signals)?;
        let mut buffer = vec![0; 16 << 10];
        for token in ready {
            match token {
                Token::Signals => {}
                Token::Listener => {
                    while let Some(Ok((socket, _))) = self.listener.as_ref().map(UnixListener::accept) {
                        self.connect(socket.into());
                    }
                }
                Token::Connection(id) => self.serve(id, &mut buffer),
                Token::ContainerStart(index) => self.container_channel(index),
                Token::ExecStart(index) => self.exec_channel(index),
                Token::Output(index, stream) => {
                    self.containers[index].read_into(stream, &mut buffer);
                }
                Token::ClientStdin(index, client) => self.containers[index].type_from(client, &mut buffer),
                Token::Stdin(index) => self.containers[index].flush_typed(),
                Token::Sink => {}
            }
        }
        drop(buffer);
        for container in &mut self.containers {
            container.push_sinks();
        }
        while let Ok(Some(_)) = signals.read_signal() {}
        self.reap();
        self.execs.retain(|exec| exec.code.is_none() || exec.starting.is_some());
        self.connections.retain(|connection| !connection.dead);
        Ok(())
    }

    fn wait(&self, signals: &SignalFd) -> Result<Vec<Token>, Error> {
        let mut tokens = vec![Token::Signals];
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let mut stalled = false;
        let mut add = |token: Token, fd: BorrowedFd<'_>, flags: PollFlags| {
            tokens.push(token);
            // SAFETY: `fds` does not outlive `self`, which owns every descriptor that is put in here.
            fds.push(PollFd::new(unsafe { BorrowedFd::borrow_raw(fd.as_raw_fd()) }, flags));
        };
        if let Some(listener) = &self.listener {
            add(Token::Listener, listener.as_fd(), PollFlags::POLLIN);
        }
        for connection in &self.connections {
            let mut flags = PollFlags::POLLIN;
            flags.set(PollFlags::POLLOUT, !connection.out.is_empty());
            add(Token::Connection(connection.id), connection.socket.as_fd(), flags);
        }
        for (index, exec) in self.execs.iter().enumerate() {
            if let Some(starting) = &exec.starting {
                add(Token::ExecStart(index), starting.channel.as_fd(), PollFlags::POLLIN);
            }
        }
        for (index, container) in self.containers.iter().enumerate() {
            if let Some(starting) = &container.starting {
                add(Token::ContainerStart(index), starting.channel.as_fd(), PollFlags::POLLIN);
            }
            for stream in [Stream::Stdout, Stream::Stderr] {
                match &container.outputs[stream as usize] {
                    Some(fd) if !container.stalled(stream) => {
                        add(Token::Output(index, stream), fd.as_fd(), PollFlags::POLLIN);
                    }
                    _ => {}
                }
            }
            if let (Some(stdin), false) = (&container.stdin, container.typed.is_empty()) {
                add(Token::Stdin(index), stdin.as_fd(), PollFlags::POLLOUT);
            }
            for client in &container.attached {
                if let (Some(stdin), true) = (&client.stdin, container.typed.is_empty()) {
                    add(Token::ClientStdin(index, client.id), stdin.as_fd(), PollFlags::POLLIN);
                }
                for sink in client.outputs.iter().flatten().filter(|sink| sink.stalled()) {
                    stalled = true;
                    add(Token::Sink, sink.fd.as_fd(), PollFlags::POLLOUT);
                }
            }
        }
        let second = PollTimeout::try_from(Duration::from_secs(1)).unwrap_or(PollTimeout::NONE);
        match poll(&mut fds, if stalled { second } else { PollTimeout::NONE }) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).at("poll"),
        }
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        Ok(tokens.into_iter().zip(&fds).filter(|(_, fd)| ready(fd)).map(|(token, _)| token).collect())
    }

    /// Reads from a connection, does what it asks for, and sends what it can take.
    fn serve(&mut self, id: u64, buffer: &mut [u8]) {
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) else {
            return;
        };
        match frame::receive(connection.socket.as_fd(), buffer) {
            Ok((0, _)) => connection.dead = true,
            Ok((length, fds)) => connection.decoder.push(&buffer[..length], fds),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => connection.dead = true,
        }
        loop {
            let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) else {
                return;
            };
            match connection.decoder.take() {
                Ok(Some(frame)) => self.request(id, frame),
                Ok(None) => break,
                Err(error) => {
                    eprintln!("a connection is cut off: {error}");
                    connection.dead = true;
                    break;
                }
            }
        }
        self.flush(id);
    }

    fn request(&mut self, connection: u64, frame: Frame) {
        #[derive(serde::Deserialize)]
        struct Numbered {
            id: u64,
        }
        let request: Request = match serde_json::from_slice(&frame.body) {
            Ok(request) => request,
            Err(error) => {
                let id = serde_json::from_slice::<Numbered>(&frame.body).map_or(0, |numbered| numbered.id);
                let failure = Failure { kind: Kind::Unknown, message: error.to_string() };
                return self.answer(Caller { connection, request: id }, Err(failure), Vec::new());
            }
        };
        let caller = Caller { connection, request: request.id };
        match self.obey(caller, request.verb, frame.fds) {
            Ok(None) => {}
            Ok(Some((answer, fds))) => self.answer(caller, Ok(answer), fds),
            Err(failure) => self.answer(caller, Err(failure), Vec::new()),
        }
    }

    pub(crate) fn want_events(&mut self, connection: u64) {
        if let Some(connection) = self.connections.iter_mut().find(|other| other.id == connection) {
            connection.events = true;
        }
    }

    /// Makes the pod. Only once: containers are already in the first one's namespaces.
    pub(crate) fn make_sandbox(&mut self, plan: &shim::plan::Sandbox) -> Result<(), Error> {
        if self.namespaces.is_none() {
            self.namespaces = Some(sandbox::enter(plan)?);
            nix::unistd::chdir(&plan.socket_dir).at_path("chdir to", &plan.socket_dir)?;
            let _ = std::fs::remove_file(&plan.socket_name);
            let listener = UnixListener::bind(&plan.socket_name).at("listen")?;
            listener.set_nonblocking(true).at("listen")?;
            self.listener = Some(listener);
            nix::unistd::chdir("/").at("chdir")?;
        }
        Ok(())
    }

    pub(crate) fn answer(&mut self, caller: Caller, result: Result<Answer, Failure>, fds: Vec<OwnedFd>) {
        self.send(caller.connection, &Message::Answer { id: caller.request, result }, fds);
        self.flush(caller.connection);
    }

    pub(crate) fn publish(&mut self, event: Event) {
        let listeners: Vec<_> =
            self.connections.iter().filter(|other| other.events).map(|other| other.id).collect();
        let message = Message::Event(event);
        for id in listeners {
            self.send(id, &message, Vec::new());
            self.flush(id);
        }
    }

    fn send(&mut self, connection: u64, message: &Message, fds: Vec<OwnedFd>) {
        let Some(connection) = self.connections.iter_mut().find(|other| other.id == connection) else {
            return;
        };
        let bytes = serde_json::to_vec(message).expect("because no map has keys that are not strings");
        match frame::encode(&bytes, fds.len()) {
            Ok(frame) => connection.out.push_back((frame, 0, fds)),
            Err(error) => eprintln!("an answer is lost: {error}"),
        }
        connection.dead |= connection.out.iter().map(|(frame, ..)| frame.len()).sum::<usize>() > BACKLOG;
    }

    fn flush(&mut self, id: u64) {
        let Some(connection) = self.connections.iter_mut().find(|connection| connection.id == id) else {
            return;
        };
        while let Some((frame, sent, fds)) = connection.out.front_mut() {
            let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
            match frame::send(connection.socket.as_fd(), &frame[*sent..], &raw) {
                Ok(length) => {
                    fds.clear();
                    *sent += length;
                    if *sent == frame.len() {
                        connection.out.pop_front();
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    connection.dead = true;
                    connection.out.clear();
                }
            }
        }
    }

    /// Buries the dead, and tells of those that somebody waits for.
    pub(crate) fn reap(&mut self) {
        loop {
            let (pid, code) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => {
                    eprintln!("cannot wait for children: {errno}");
                    return;
                }
            };
            if let Some(index) = self.containers.iter().position(|container| container.pid == pid) {
                // What the child said before it died is heard first.
                while self.containers[index].starting.is_some() && self.container_channel_once(index) {}
                self.container_ended(index, code);
            } else if let Some(index) = self.execs.iter().position(|exec| exec.pid == pid) {
                while self.execs[index].starting.is_some() && self.exec_channel_once(index) {}
                self.execs[index].code = Some(code);
                let exec = self.execs[index].id;
                self.publish(Event::ExecExited { exec, code });
            }
        }
    }

    pub(crate) fn kill_all(&mut self) {
        for container in &self.containers {
            if container.status.pid.is_some() {
                let _ = kill(container.pid, Signal::SIGKILL);
                crate::container::kill_cgroups(&container.cgroups);
            }
        }
        if let Some(first) = self.namespaces.as_ref().and_then(Namespaces::first) {
            let _ = kill(first, Signal::SIGKILL);
        }
    }

    pub(crate) fn starting(&self, caller: Caller) -> Result<(Starting, OwnedFd), Error> {
        use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
        let flags = SockFlag::SOCK_CLOEXEC;
        let (channel, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).at("make a channel")?;
        set_nonblocking(&channel).at("make a channel")?;
        Ok((Starting { channel, caller, failure: None, warnings: Vec::new() }, theirs))
    }
}

/// A packet of a starting child.
pub(crate) enum Packet {
    Nothing,
    /// The program runs, or the child is dead.
    Closed,
    Terminal(OwnedFd),
    Heard,
}

impl Starting {
    pub(crate) fn hear(&mut self) -> Packet {
        let mut buffer = [0; 4100];
        match frame::receive(self.channel.as_fd(), &mut buffer) {
            Ok((0, _)) => Packet::Closed,
            Ok((length, mut fds)) => {
                let text = || String::from_utf8_lossy(&buffer[1..length]).into_owned();
                match buffer[0] {
                    child::TERMINAL => return fds.pop().map_or(Packet::Heard, Packet::Terminal),
                    child::WARNING => self.warnings.push(text()),
                    kind => self.failure = Some((kind, text())),
                }
                Packet::Heard
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Packet::Nothing,
            Err(_) => Packet::Closed,
        }
    }
}
