//! Calls of an etcd cluster: to the member that answered last, to the next one when it does not.
//!
//! Invariant: a call that may have been carried out is made again only if it reads. A write whose answer was lost is an error, and
//! the caller looks for itself (a compare-and-swap that is made twice would find its own work and report a conflict).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use api::Revision;
use bytes::Bytes;
use grpc::{Channel, Endpoint, code};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::message::{self, Found, Range, Watched};
use super::{Options, tls};
use crate::Error;

/// How long one member is waited for: longer than an election takes.
const CALL: Duration = Duration::from_secs(8);
/// How long a call is tried at all.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two rounds over all members.
const PAUSE: Duration = Duration::from_millis(100);

/// What etcd says of more than 1.5 MiB (`--max-request-bytes`), and we of what is too large for its gRPC too: one text for both.
const TOO_LARGE: &str = "etcdserver: request is too large";

/// Whether a call may be made again when nobody knows what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Reads,
    Writes,
}

pub(super) struct Client {
    members: Vec<Arc<Channel>>,
    current: AtomicUsize,
    /// What the last failure was, until a call succeeds.
    pub(super) trouble: Mutex<Option<String>>,
}

/// How a call failed, beside what is told as an [`Error`].
pub(super) enum Failure {
    Compacted,
    Future,
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

pub(super) fn engine(
    operation: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Engine { operation, source: source.into() }
}

fn parse(url: &str, tls: Option<&Arc<rustls::ClientConfig>>) -> Result<Endpoint, Error> {
    let wrong = |why: &str| {
        Error::Unusable(format!("{url}: {why}; an endpoint of etcd is https://HOST:PORT or http://HOST:PORT"))
    };
    let (secure, rest) = match url.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        Some((scheme, _)) => return Err(wrong(&format!("{scheme} is not served"))),
        None => return Err(wrong("the scheme is missing")),
    };
    let (host, port) =
        rest.trim_end_matches('/').rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
    let port = port.parse().map_err(|_| wrong("the port is no number"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(wrong("the host is missing"));
    }
    let tls = match secure {
        true => Some(tls.cloned().ok_or_else(|| wrong("there is no TLS configuration"))?),
        false => None,
    };
    Ok(Endpoint::Tcp { host: host.into(), port, tls })
}

impl Client {
    pub(super) fn new(options: &Options) -> Result<Client, Error> {
        let secure = options.endpoints.iter().any(|url| url.starts_with("https://"));
        let tls = if secure { Some(tls::configuration(options)?) } else { None };
        let spawn: grpc::Spawn = |driver| drop(base::spawn("etcd-connection", driver));
        let member = |url: &String| Ok(Arc::new(Channel::new(parse(url, tls.as_ref())?, spawn)));
        let members: Vec<_> = options.endpoints.iter().map(member).collect::<Result<_, Error>>()?;
        if members.is_empty() {
            return Err(Error::Unusable("no endpoint of etcd is given".into()));
        }
        Ok(Client { members, current: AtomicUsize::new(0), trouble: Mutex::new(None) })
    }

    /// The member to ask, and its number for [`Client::next`].
    pub(super) fn member(&self) -> (usize, Arc<Channel>) {
        let at = self.current.load(Ordering::Relaxed) % self.members.len();
        (at, self.members[at].clone())
    }

    /// Member `failed` did not do: the next one is asked from now on, unless somebody moved on already.
    pub(super) fn next(&self, failed: usize) {
        let next = (failed + 1) % self.members.len();
        let _moved_already =
            self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) async fn call(
        &self,
        operation: &'static str,
        path: &'static str,
        message: Bytes,
        again: Again,
    ) -> Result<Bytes, Failure> {
        let begun = Instant::now();
        let mut tried = 0;
        loop {
            let (at, member) = self.member();
            let error = match member.unary(path, message.clone(), CALL).await {
                Ok(answer) => {
                    if self.trouble.lock().is_some() {
                        *self.trouble.lock() = None;
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let unknown = match &error {
                grpc::Error::Connect { .. } => false,
                grpc::Error::Status { code: code::UNAVAILABLE | code::UNKNOWN, .. } => true,
                grpc::Error::Broken { .. } | grpc::Error::Late { .. } => true,
                grpc::Error::Status { .. } => return Err(said(operation, error)),
            };
            self.next(at);
            tried += 1;
            *self.trouble.lock() = Some(error.to_string());
            if (unknown && again == Again::Writes) || begun.elapsed() > PATIENCE {
                return Err(Failure::Other(engine(operation, error)));
            }
            if tried % self.members.len() == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    pub(super) async fn range(&self, operation: &'static str, range: Range<'_>) -> Result<Found, Failure> {
        let answer = self.call(operation, message::RANGE, range.message(), Again::Reads).await?;
        Found::read(&answer).map_err(|error| Failure::Other(engine(operation, error)))
    }

    /// The oldest revision that is kept: a watch of the first is told.
    pub(super) async fn oldest(&self) -> Result<Revision, Error> {
        let mut watch = Watch::open(self, "\0", "", 1).await?;
        loop {
            let answer = watch.next().await?;
            if answer.canceled || answer.compacted > 0 {
                return Ok(Revision(answer.compacted));
            }
            if answer.is_progress() {
                return Ok(Revision(1));
            }
            watch.ask().await;
        }
    }
}

/// What etcd itself says.
fn said(operation: &'static str, error: grpc::Error) -> Failure {
    let is = |wanted: u32, part: &str| matches!(&error, grpc::Error::Status { code, message } if *code == wanted && message.contains(part));
    if is(code::OUT_OF_RANGE, "compacted") {
        Failure::Compacted
    } else if is(code::OUT_OF_RANGE, "future") {
        Failure::Future
    } else if is(code::RESOURCE_EXHAUSTED, "space exceeded") {
        Failure::Other(Error::Full(
            "etcd is at its size limit (alarm NOSPACE); delete objects, defragment it and disarm the alarm, or raise its \
             --quota-backend-bytes"
                .into(),
        ))
    } else if is(code::INVALID_ARGUMENT, TOO_LARGE) || is(code::RESOURCE_EXHAUSTED, "larger than max") {
        Failure::Other(Error::TooLarge(TOO_LARGE.into()))
    } else {
        Failure::Other(engine(operation, error))
    }
}

/// One watch on a stream of its own.
pub(super) struct Watch {
    member: usize,
    requests: mpsc::Sender<Bytes>,
    stream: grpc::Stream,
}

impl Watch {
    /// Watches from `key` to `end` everything at and after revision `start`.
    pub(super) async fn open(client: &Client, key: &str, end: &str, start: u64) -> Result<Watch, Error> {
        let (requests, outgoing) = mpsc::channel(4);
        let create = message::watch_create(key, end, start);
        requests.try_send(create).expect("because the channel is new and empty");
        let (member, channel) = client.member();
        // A member that was cut off from the others must end the watch rather than be silent.
        let opened = channel.stream(message::WATCH, outgoing, &[("hasleader", "true")]);
        let opened = match tokio::time::timeout(CALL, opened).await {
            Ok(opened) => opened.map_err(|error| engine("watch", error)),
            Err(_) => Err(engine("watch", format!("{} did not answer", channel.endpoint()))),
        };
        match opened {
            Ok(stream) => Ok(Watch { member, requests, stream }),
            Err(error) => {
                client.next(member);
                Err(error)
            }
        }
    }

    /// Of [`Client::next`].
    pub(super) fn member(&self) -> usize {
        self.member
    }

    /// Asks how far the stream is; etcd answers once it has sent everything up to then, or not at all.
    pub(super) async fn ask(&self) {
        let _ended = self.requests.send(message::watch_progress()).await;
    }

    /// May be dropped while it waits, and called again.
    pub(super) async fn next(&mut self) -> Result<Watched, Error> {
        match self.stream.message().await {
            Ok(Some(frame)) => Watched::read(&frame).map_err(|error| engine("watch", error)),
            Ok(None) => Err(engine("watch", "the stream ended")),
            Err(error) => Err(engine("watch", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls() {
        let check = |url: &str| {
            parse(url, None).map(|endpoint| endpoint.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(check("http://a:2379").unwrap(), "a:2379");
        assert_eq!(check("http://[::1]:2379/").unwrap(), "[::1]:2379");
        assert!(check("https://a:2379").unwrap_err().contains("no TLS"));
        assert!(check("http://a").unwrap_err().contains("the port is missing"));
        assert!(check("mysql://a:3306").unwrap_err().contains("mysql is not served"));
        assert!(check("a:2379").unwrap_err().contains("the scheme is missing"));
    }
}
