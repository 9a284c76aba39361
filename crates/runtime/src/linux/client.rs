//! The daemon's end of a shim's socket: calls with answers, and events as they come.
//!
//! One task writes whole frames and one reads them, so that a caller who goes away can neither tear a frame nor lose
//! another's answer.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use shim::frame::{self, Decoder};
use shim::protocol::{Answer, Event, Failure, Message, Request, VERSION, Verb};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("the shim is gone")]
    Gone,
    #[error("{}", .0.message)]
    Refused(Failure),
    #[error("the request is too large")]
    TooLarge(#[source] frame::Error),
}

type Reply = (Result<Answer, Failure>, Vec<OwnedFd>);
type Outgoing = (Vec<u8>, Vec<OwnedFd>);

pub(super) struct Client {
    outgoing: mpsc::Sender<Outgoing>,
    shared: Arc<Shared>,
}

struct Shared {
    next: AtomicU64,
    /// `None` once the connection is gone.
    calls: Mutex<Option<HashMap<u64, oneshot::Sender<Reply>>>>,
    execs: Mutex<HashMap<u64, oneshot::Sender<i32>>>,
}

/// What a shim pushed; the end of the channel is the end of the shim.
pub(super) type Events = mpsc::Receiver<shim::protocol::Status>;

impl Client {
    /// Connects to a shim that listens at `name` in `folder`.
    pub(super) async fn connect(folder: &Path, name: &str) -> std::io::Result<(Client, Events)> {
        let folder = std::fs::File::open(folder)?;
        // Through the descriptor, because the path of a socket may have 107 bytes only.
        let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd());
        Ok(Client::new(UnixStream::connect(path).await?))
    }

    pub(super) fn new(stream: UnixStream) -> (Client, Events) {
        let stream = Arc::new(stream);
        let (outgoing, queue) = mpsc::channel(64);
        let (events, receiver) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            next: AtomicU64::new(1),
            calls: Mutex::new(Some(HashMap::new())),
            execs: Mutex::new(HashMap::new()),
        });
        // Both tasks end with the connection: the writer when the client is dropped, the reader when the shim closes.
        let _detached = base::spawn("shim writer", write(stream.clone(), queue));
        let _detached = base::spawn("shim reader", read(stream, shared.clone(), events));
        (Client { outgoing, shared }, receiver)
    }

    pub(super) async fn call(
        &self,
        verb: Verb,
        fds: Vec<OwnedFd>,
    ) -> Result<(Answer, Vec<OwnedFd>), CallError> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let body =
            serde_json::to_vec(&Request { id, verb }).expect("because no map has keys that are not strings");
        let bytes = frame::encode(&body, fds.len()).map_err(CallError::TooLarge)?;
        let (sender, answer) = oneshot::channel();
        self.shared.calls.lock().as_mut().ok_or(CallError::Gone)?.insert(id, sender);
        self.outgoing.send((bytes, fds)).await.map_err(|_| CallError::Gone)?;
        match answer.await {
            Ok((Ok(answer), fds)) => Ok((answer, fds)),
            Ok((Err(failure), _)) => Err(CallError::Refused(failure)),
            Err(_) => Err(CallError::Gone),
        }
    }

    /// Introduces the daemon and gives the state of all containers.
    pub(super) async fn hello(&self) -> Result<(i32, Vec<shim::protocol::Status>), CallError> {
        match self.call(Verb::Hello { version: VERSION }, Vec::new()).await?.0 {
            Answer::Hello { pid, containers, .. } => Ok((pid, containers)),
            _ => Err(CallError::Gone),
        }
    }

    /// A number for a process, and its exit code when it ends. Known before it starts, so that no end is missed.
    pub(super) fn expect_exec(&self) -> (u64, oneshot::Receiver<i32>) {
        let (sender, receiver) = oneshot::channel();
        // Random, because a daemon before this one may have counted too.
        let id = rand::random();
        self.shared.execs.lock().insert(id, sender);
        (id, receiver)
    }

    pub(super) fn forget_exec(&self, id: u64) {
        self.shared.execs.lock().remove(&id);
    }
}

async fn write(stream: Arc<UnixStream>, mut queue: mpsc::Receiver<Outgoing>) {
    while let Some((bytes, mut fds)) = queue.recv().await {
        let mut sent = 0;
        while sent < bytes.len() {
            let raw: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
            match stream
                .async_io(Interest::WRITABLE, || frame::send(stream.as_fd(), &bytes[sent..], &raw))
                .await
            {
                Ok(length) => sent += length,
                Err(_) => return, // the reader sees the end too, and tells
            }
            fds.clear();
        }
    }
    // The client was dropped: the reader must end too, and a shim that never got its pod with it.
    let _ = nix::sys::socket::shutdown(stream.as_raw_fd(), nix::sys::socket::Shutdown::Both);
}

async fn read(stream: Arc<UnixStream>, shared: Arc<Shared>, events: mpsc::Sender<shim::protocol::Status>) {
    let mut decoder = Decoder::default();
    loop {
        let received = stream
            .async_io(Interest::READABLE, || {
                let mut buffer = [0; 16 << 10];
                let (length, fds) = frame::receive(stream.as_fd(), &mut buffer)?;
                Ok((buffer[..length].to_vec(), fds))
            })
            .await;
        match received {
            Ok((bytes, fds)) if !bytes.is_empty() => decoder.push(&bytes, fds),
            _ => break,
        }
        loop {
            let frame = match decoder.take() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(error = %base::chain(&error), "a shim's connection is broken");
                    return shared.close();
                }
            };
            match serde_json::from_slice(&frame.body) {
                Ok(Message::Answer { id, result }) => {
                    let caller = shared.calls.lock().as_mut().and_then(|calls| calls.remove(&id));
                    if let Some(caller) = caller {
                        let _ = caller.send((result, frame.fds)); // a caller may have gone away
                    }
                }
                Ok(Message::Event(Event::Status(status))) => {
                    if events.send(status).await.is_err() {
                        return shared.close();
                    }
                }
                Ok(Message::Event(Event::ExecExited { exec, code })) => {
                    if let Some(waiter) = shared.execs.lock().remove(&exec) {
                        let _ = waiter.send(code);
                    }
                }
                Err(error) => tracing::warn!(%error, "a shim said what this release does not know"),
            }
        }
    }
    shared.close();
}

impl Shared {
    /// Everybody who waits learns that the shim is gone.
    fn close(&self) {
        self.calls.lock().take();
        self.execs.lock().clear();
    }
}
