//! Asking the node's own resolvers, and remembering what they said for a while.
//!
//! A resolver that does not answer is passed over for some seconds, so that an island without uplink says SERVFAIL at
//! once instead of keeping every client waiting; one question at a time still tries it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::message::{LARGE, Question};
use crate::resolv;

#[cfg(test)]
mod tests;

/// How long one resolver has to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one that did not is passed over.
const PASSED_OVER: Duration = Duration::from_secs(5);
/// Answers kept, at most, and how long: CoreDNS' `cache 30`, as k3s sets it.
const KEPT: usize = 2000;
const LONGEST: u32 = 30;
/// How often the list of resolvers is looked at, at most.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Clone, PartialEq, Eq, Hash)]
struct CacheKey {
    name: Name,
    kind: RecordType,
    dnssec_ok: bool,
    checking_disabled: bool,
}

struct Kept {
    message: Arc<Message>,
    since: Instant,
    until: Instant,
}

/// See the module.
pub(crate) struct Forwarder {
    resolv_conf: PathBuf,
    own: Vec<IpAddr>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    resolvers: Vec<SocketAddr>,
    looked: Option<Instant>,
    modified: Option<SystemTime>,
    silent_until: HashMap<SocketAddr, Instant>,
    kept: HashMap<CacheKey, Kept>,
}

impl Forwarder {
    pub(crate) fn new(resolv_conf: PathBuf, own: Vec<IpAddr>) -> Forwarder {
        Forwarder { resolv_conf, own, state: Mutex::default() }
    }

    /// What is remembered, and how many seconds ago it was heard.
    pub(crate) fn remembered(&self, question: &Question, now: Instant) -> Option<(Arc<Message>, u32)> {
        let state = self.state.lock();
        let kept = state.kept.get(&key(question)).filter(|kept| now < kept.until)?;
        Some((kept.message.clone(), u32::try_from((now - kept.since).as_secs()).unwrap_or(LONGEST)))
    }

    /// Asks the resolvers, one after the other. `None` if none gave an answer.
    pub(crate) async fn ask(&self, question: &Question) -> Option<Arc<Message>> {
        let mut failure = None;
        for resolver in self.resolvers(Instant::now()) {
            match tokio::time::timeout(PATIENCE, exchange(resolver, question)).await {
                Ok(Ok(message)) => {
                    self.state.lock().silent_until.remove(&resolver);
                    let message = Arc::new(message);
                    match message.metadata.response_code {
                        ResponseCode::NoError | ResponseCode::NXDomain => {
                            self.keep(question, message.clone(), Instant::now());
                            return Some(message);
                        }
                        // Another may know better.
                        _ => failure = Some(message),
                    }
                }
                Ok(Err(error)) => {
                    tracing::debug!(%resolver, %error, "a resolver cannot be asked");
                    self.silent(resolver);
                }
                Err(_) => self.silent(resolver),
            }
        }
        failure
    }

    fn silent(&self, resolver: SocketAddr) {
        self.state.lock().silent_until.insert(resolver, Instant::now() + PASSED_OVER);
    }

    /// Those worth asking now. A silent one whose time is up is offered to one question, and passed over by the others
    /// until that was answered.
    fn resolvers(&self, now: Instant) -> Vec<SocketAddr> {
        let mut state = self.state.lock();
        if state.looked.is_none_or(|looked| now - looked >= LOOK) {
            state.looked = Some(now);
            let modified = std::fs::metadata(&self.resolv_conf).and_then(|file| file.modified()).ok();
            if modified.is_none() || modified != state.modified {
                let text = std::fs::read_to_string(&self.resolv_conf).unwrap_or_default();
                state.resolvers = resolv::parse(&text, &self.own);
                state.modified = modified;
                state.silent_until.clear();
            }
        }
        let all = state.resolvers.clone();
        all.into_iter()
            .filter(|resolver| match state.silent_until.get_mut(resolver) {
                Some(until) if now < *until => false,
                Some(until) => {
                    *until = now + PASSED_OVER;
                    true
                }
                None => true,
            })
            .collect()
    }

    fn keep(&self, question: &Question, message: Arc<Message>, now: Instant) {
        // An absence lasts as its SOA says (RFC 2308, 5); an empty answer without one is not kept.
        let records = if message.answers.is_empty() { &message.authorities } else { &message.answers };
        let Some(seconds) = records.iter().map(|record| record.ttl).min().filter(|ttl| *ttl > 0) else {
            return;
        };
        let until = now + Duration::from_secs(seconds.min(LONGEST).into());
        let mut state = self.state.lock();
        if state.kept.len() >= KEPT {
            state.kept.retain(|_, kept| now < kept.until);
            if state.kept.len() >= KEPT {
                // Full of what is still good: start over, which is as good as any order and costs none to keep.
                state.kept.clear();
            }
        }
        state.kept.insert(key(question), Kept { message, since: now, until });
    }
}

fn key(question: &Question) -> CacheKey {
    CacheKey {
        name: question.name().to_lowercase(),
        kind: question.kind(),
        dnssec_ok: question.dnssec_ok,
        checking_disabled: question.checking_disabled,
    }
}

/// One question to one resolver, over TCP if the answer does not fit UDP.
async fn exchange(resolver: SocketAddr, question: &Question) -> io::Result<Message> {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = question.checking_disabled;
    message.add_query(question.query().clone());
    let mut edns = Edns::new();
    edns.set_max_payload(LARGE).set_version(0).set_dnssec_ok(question.dnssec_ok);
    message.set_edns(edns);
    let packet = message.to_vec().map_err(io::Error::other)?;
    // A fresh socket has a port that nobody can guess.
    let any: SocketAddr = if resolver.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(&packet).await?;
    let mut buffer = vec![0; 4096];
    let answer = loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = accept(&message, &buffer[..length]) {
            break answer;
        }
    };
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let mut stream = TcpStream::connect(resolver).await?;
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), &packet[..]].concat()).await?;
    buffer.resize(stream.read_u16().await?.into(), 0);
    stream.read_exact(&mut buffer).await?;
    accept(&message, &buffer).ok_or_else(|| io::Error::other("an answer to another question"))
}

/// An answer to `asked`, and nothing else.
fn accept(asked: &Message, packet: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(packet).ok()?;
    let same = answer.metadata.id == asked.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && (answer.queries == asked.queries || answer.queries.is_empty());
    same.then_some(answer)
}
