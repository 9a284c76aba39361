//! Exec, attach and port-forward. Pipes and terminals go over the shim's socket as descriptors, so that bytes pass
//! between client and container without the shim.

use std::os::fd::OwnedFd;
use std::time::Duration;

use shim::protocol::{Answer, Phase, Verb};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::client::Client;
use super::terminal::Terminal;
use super::{Linux, plan, system};
use crate::{Error, ExecSpec, Reader, Streams, Writer};

/// Bytes of output that [`crate::Runtime::exec_sync`] keeps.
const OUTPUT: usize = 16 << 10;
/// How long a process that has ended may leave its output open through its children.
const LINGER: Duration = Duration::from_millis(100);

const EXEC_ERROR: &str = "ExecError";

pub(super) struct Opened {
    pub(super) streams: Streams,
    client: std::sync::Arc<Client>,
    id: u64,
}

fn input(id: &str) -> Result<(OwnedFd, Writer), Error> {
    let (theirs, ours) = std::io::pipe().map_err(system("make a pipe to", id))?;
    let ours = pipe::Sender::from_owned_fd(ours.into()).map_err(system("make a pipe to", id))?;
    Ok((theirs.into(), Box::new(ours)))
}

fn output(id: &str) -> Result<(OwnedFd, Reader), Error> {
    let (ours, theirs) = std::io::pipe().map_err(system("make a pipe to", id))?;
    let ours = pipe::Receiver::from_owned_fd(ours.into()).map_err(system("make a pipe to", id))?;
    Ok((theirs.into(), Box::new(ours)))
}

impl Linux {
    pub(super) async fn open_exec(&self, id: &str, exec: ExecSpec) -> Result<Opened, Error> {
        let (uid, spec, phase) = self.with_container(id, |uid, container| {
            (uid.to_owned(), container.spec.clone(), container.status.phase)
        })?;
        if phase != Phase::Running {
            let message = format!("container {id} is not running");
            return Err(Error::Container { reason: EXEC_ERROR, message });
        }
        let sandbox = self.with_pod(&uid, |pod| pod.file.spec.clone())?;
        let client = self.client(&uid)?;
        let (number, exited) = client.expect_exec();
        let made = plan::exec(number, &exec, &spec, &sandbox, &self.config.run, &self.cgroups)?;
        let (mut stdin, mut stdout, mut stderr): (Option<Writer>, Option<Reader>, Option<Reader>) =
            (None, None, None);
        let mut theirs = Vec::new();
        if !exec.tty {
            // All three, in order: what nobody wants is closed here and reads as ended, writes as a broken pipe.
            let null = || std::fs::File::options().read(true).write(true).open("/dev/null");
            let null = || null().map(OwnedFd::from).map_err(system("open", "/dev/null"));
            if exec.stdin {
                let (end, writer) = input(id)?;
                (stdin, theirs) = (Some(writer), vec![end]);
            } else {
                theirs.push(null()?);
            }
            for (wanted, slot) in [(exec.stdout, &mut stdout), (exec.stderr, &mut stderr)] {
                if wanted {
                    let (end, reader) = output(id)?;
                    *slot = Some(reader);
                    theirs.push(end);
                } else {
                    theirs.push(null()?);
                }
            }
        }
        let started = client.call(Verb::Exec(Box::new(made)), theirs).await;
        let (_, fds) = match started {
            Ok(started) => started,
            Err(error) => {
                client.forget_exec(number);
                return Err(match Self::call_error("exec in", EXEC_ERROR, id)(error) {
                    Error::Container { reason, message } => {
                        let prefix =
                            "OCI runtime exec failed: exec failed: unable to start container process";
                        Error::Container { reason, message: format!("{prefix}: {message}") }
                    }
                    error => error,
                });
            }
        };
        let (resize, mut sizes) = mpsc::channel::<(u16, u16)>(4);
        if let Some(master) = fds.into_iter().next() {
            let terminal = Terminal::new(master).map_err(system("open the terminal of", id))?;
            if exec.stdin {
                stdin = Some(Box::new(terminal.clone()));
            }
            stdout = Some(Box::new(terminal.clone()));
            let _detached = base::spawn("terminal size", async move {
                while let Some((columns, rows)) = sizes.recv().await {
                    terminal.resize(columns, rows);
                }
            });
        }
        let (done, exit) = oneshot::channel();
        let name = id.to_owned();
        let _detached = base::spawn("exec exit", async move {
            let _ = done.send(exited.await.map_err(|_| system("exec in", &name)("the shim is gone")));
        });
        let streams = Streams { stdin, stdout, stderr, resize, exit };
        Ok(Opened { streams, client, id: number })
    }

    pub(super) async fn run_exec(
        &self,
        id: &str,
        command: Vec<String>,
        limit: Duration,
    ) -> Result<(i32, Vec<u8>), Error> {
        let spec = ExecSpec { command, tty: false, stdin: false, stdout: true, stderr: true };
        let deadline = Instant::now() + limit;
        let opened = self.open_exec(id, spec).await?;
        let Streams { stdout, stderr, exit, .. } = opened.streams;
        let mut reading = Box::pin(futures_util::future::join(read_bounded(stdout), read_bounded(stderr)));
        let mut output = None;
        let finished = tokio::time::timeout_at(deadline, async {
            tokio::pin!(exit);
            loop {
                tokio::select! {
                    code = &mut exit => return code,
                    both = &mut reading, if output.is_none() => output = Some(both),
                }
            }
        });
        let code = match finished.await {
            Ok(code) => code.map_err(|_| system("exec in", id)("the shim is gone"))??,
            Err(_) => {
                let _ = opened.client.call(Verb::KillExec { exec: opened.id }, Vec::new()).await;
                return Err(Error::Timeout { operation: "exec", id: id.to_owned(), after: limit });
            }
        };
        if output.is_none() {
            output = timeout(LINGER, reading).await.ok();
        }
        let (mut bytes, more) = output.unwrap_or_default();
        bytes.extend_from_slice(&more);
        bytes.truncate(OUTPUT);
        Ok((code, bytes))
    }

    pub(super) async fn open_attach(&self, id: &str, spec: ExecSpec) -> Result<Streams, Error> {
        let (uid, tty) = self.with_container(id, |uid, container| (uid.to_owned(), container.spec.tty))?;
        let client = self.client(&uid)?;
        let (mut stdin, mut stdout, mut stderr) = (None, None, None);
        let mut theirs = Vec::new();
        if spec.stdin {
            let (end, writer) = input(id)?;
            stdin = Some(writer);
            theirs.push(end);
        }
        let wants_stderr = spec.stderr && !tty;
        for (wanted, slot) in [(spec.stdout, &mut stdout), (wants_stderr, &mut stderr)] {
            if wanted {
                let (end, reader) = output(id)?;
                *slot = Some(reader);
                theirs.push(end);
            }
        }
        let container = id.to_owned();
        let verb = Verb::Attach { container, stdin: spec.stdin, stdout: spec.stdout, stderr: wants_stderr };
        client.call(verb, theirs).await.map_err(Self::call_error("attach to", "AttachError", id))?;
        let (resize, mut sizes) = mpsc::channel::<(u16, u16)>(4);
        let container = id.to_owned();
        let _detached = base::spawn("terminal size", async move {
            while let Some((columns, rows)) = sizes.recv().await {
                let verb = Verb::Resize { container: container.clone(), columns, rows };
                let _ = client.call(verb, Vec::new()).await; // a container that has ended needs no size
            }
        });
        let (done, exit) = oneshot::channel();
        let (me, container) = (self.me.clone(), id.to_owned());
        let _detached = base::spawn("attach exit", async move {
            let Some(linux) = me.upgrade() else { return };
            let forever = Instant::now() + Duration::from_secs(365 * 86_400);
            let mut done = done;
            tokio::select! {
                () = done.closed() => {}
                _ = linux.wait_exited(&uid, &container, forever) => {
                    let code = linux.with_container(&container, |_, it| it.status.exit_code.unwrap_or(255));
                    let _ = done.send(code);
                }
            }
        });
        Ok(Streams { stdin, stdout, stderr, resize, exit })
    }

    pub(super) async fn connect_port(
        &self,
        sandbox: &str,
        port: u16,
    ) -> Result<tokio::net::TcpStream, Error> {
        const OPERATION: &str = "forward a port of";
        let failed = || Self::call_error(OPERATION, "PortForwardError", sandbox);
        let (answer, fds) =
            self.client(sandbox)?.call(Verb::Connect { port }, Vec::new()).await.map_err(failed())?;
        match (answer, fds.into_iter().next()) {
            (Answer::Done, Some(fd)) => {
                let stream = std::net::TcpStream::from(fd);
                stream.set_nonblocking(true).map_err(system(OPERATION, sandbox))?;
                tokio::net::TcpStream::from_std(stream).map_err(system(OPERATION, sandbox))
            }
            _ => Err(system(OPERATION, sandbox)("the shim answered without a connection")),
        }
    }
}

/// The first bytes of a stream; the rest is read and dropped, so that its writer does not stop.
async fn read_bounded(stream: Option<Reader>) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    let Some(mut stream) = stream else { return kept };
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let room = OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..length.min(room)]);
    }
    kept
}
