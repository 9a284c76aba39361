//! Listens, on UDP and TCP, and gives each question to who can answer it.
//!
//! Names of the cluster are answered where they are read, in microseconds; what must be asked elsewhere is a task of
//! its own, of which there are only so many: beyond that the answer is SERVFAIL.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base::Tasks;
use client::Caches;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Record;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use crate::Config;
use crate::catalog::Catalog;
use crate::forward::Forwarder;
use crate::message::{Incoming, Question, read};
use crate::zone::{Answer, Zone};

#[cfg(test)]
pub(crate) mod tests;

/// Questions that are being asked elsewhere at the same time.
const ASKING: usize = 512;
/// TCP clients at the same time, and how long one may say nothing.
const CLIENTS: usize = 128;
const IDLE: Duration = Duration::from_secs(10);
/// How many ExternalNames may lead to one another.
const ALIASES: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{domain:?} is no domain name")]
    Domain { domain: String },
    #[error(
        "listen for DNS on {address} ({protocol}): is another DNS server on that address, or on all addresses?"
    )]
    Listen {
        address: SocketAddr,
        protocol: &'static str,
        #[source]
        source: io::Error,
    },
}

struct Server {
    zone: Zone,
    catalog: Catalog,
    forwarder: Forwarder,
    asking: Arc<Semaphore>,
    clients: Arc<Semaphore>,
    turn: AtomicUsize,
}

/// Starts the DNS server of one node; it runs until `tasks` stop. Must be called within the async runtime. Listening
/// begins at once; until the caches are filled, cluster names are SERVFAIL, so that nobody remembers an absence.
pub fn run(config: Config, caches: &Caches, tasks: &Tasks) -> Result<(), Error> {
    let zone = Zone::new(&config).ok_or_else(|| Error::Domain { domain: config.domain.clone() })?;
    let fail = |address: &SocketAddr, protocol| {
        let address = *address;
        move |source| Error::Listen { address, protocol, source }
    };
    let mut sockets = Vec::new();
    for address in &config.listen {
        let udp = std::net::UdpSocket::bind(address)
            .and_then(|socket| socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket)))
            .map_err(fail(address, "UDP"))?;
        let tcp = listen(*address).map_err(fail(address, "TCP"))?;
        sockets.push((Arc::new(udp), tcp));
    }
    let caches = caches.clone();
    let owner = tasks.clone();
    tasks.spawn("dns", async move {
        let Some((services, slices)) = caches.both::<Service, EndpointSlice>().await else { return };
        let namespaces = caches.get(&client::resource::<Namespace>());
        let catalog = Catalog::new(services, slices, namespaces);
        let watch = catalog.watch();
        let own = config.listen.iter().map(SocketAddr::ip).chain([config.address]).collect();
        let server = Arc::new(Server {
            zone,
            catalog,
            forwarder: Forwarder::new(config.resolv_conf.clone(), own),
            asking: Arc::new(Semaphore::new(ASKING)),
            clients: Arc::new(Semaphore::new(CLIENTS)),
            turn: AtomicUsize::new(0),
        });
        for (udp, tcp) in sockets {
            owner.spawn("dns over UDP", server.clone().udp(udp));
            owner.spawn("dns over TCP", server.clone().tcp(tcp));
        }
        server.catalog.follow(watch).await;
    });
    Ok(())
}

/// A restart must not wait for connections of its predecessor to fade.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(128)
}

/// What is left to do for a question after the zone was asked.
enum Step {
    Done(Message),
    Fail(ResponseCode),
    /// Ask elsewhere about this, and put the record before what comes.
    Ask(Question, Option<Record>),
}

impl Server {
    /// What can be said at once.
    fn step(&self, question: &Question) -> Step {
        let mut about = question.clone();
        let mut first = None;
        for _ in 0..ALIASES {
            match self.zone.answer(&self.catalog, about.name(), about.kind()) {
                Answer::Elsewhere => {
                    if let Some((message, age)) = self.forwarder.remembered(&about, Instant::now()) {
                        return Step::Done(question.relay(first, &message, age));
                    }
                    return Step::Ask(about, first);
                }
                _ if !self.catalog.synced() => return Step::Fail(ResponseCode::ServFail),
                Answer::Alias { record, target } => {
                    about = question.about(target);
                    first = first.or(Some(*record));
                }
                answer => {
                    let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                    let mut message = about.answer(&self.zone, answer, turn);
                    if let Some(first) = first {
                        message = question.relay(Some(first), &message, 0);
                        message.metadata.authoritative = true;
                    }
                    return Step::Done(message);
                }
            }
        }
        Step::Fail(ResponseCode::ServFail)
    }

    async fn ask(&self, question: &Question, about: &Question, first: Option<Record>) -> Option<Message> {
        // An alias whose target nobody can tell is no answer yet: the client shall ask again.
        let heard = self.forwarder.ask(about).await?;
        Some(question.relay(first, &heard, 0))
    }

    async fn udp(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = [0; 4096];
        loop {
            // An error is about an earlier answer that could not be delivered.
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let question = match read(&buffer[..length]) {
                Incoming::Ask(question) => question,
                Incoming::Refuse(packet) => {
                    let _client_may_be_gone = socket.try_send_to(&packet, peer);
                    continue;
                }
                Incoming::Drop => continue,
            };
            let packet = match self.step(&question) {
                Step::Done(message) => question.udp(&message),
                Step::Fail(code) => question.fail(code),
                Step::Ask(about, first) => match self.asking.clone().try_acquire_owned() {
                    Err(_) => question.fail(ResponseCode::ServFail),
                    Ok(place) => {
                        let (server, socket) = (self.clone(), socket.clone());
                        let _detached = base::spawn("dns question", async move {
                            let packet = match server.ask(&question, &about, first).await {
                                Some(message) => question.udp(&message),
                                None => question.fail(ResponseCode::ServFail),
                            };
                            let _client_may_be_gone = socket.send_to(&packet, peer).await;
                            drop(place);
                        });
                        continue;
                    }
                },
            };
            let _client_may_be_gone = socket.send_to(&packet, peer).await;
        }
    }

    async fn tcp(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors: give others time to close theirs.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = self.clients.clone().try_acquire_owned() else { continue };
            let server = self.clone();
            let _detached = base::spawn("dns client", async move {
                let _hung_up = server.converse(stream).await;
                drop(place);
            });
        }
    }

    /// One question after the other, until the client closes or says nothing for a while.
    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let length = tokio::time::timeout(IDLE, stream.read_u16()).await??;
            buffer.resize(length.into(), 0);
            tokio::time::timeout(IDLE, stream.read_exact(&mut buffer)).await??;
            let packet = match read(&buffer) {
                Incoming::Drop => return Ok(()),
                Incoming::Refuse(packet) => packet,
                Incoming::Ask(question) => match self.step(&question) {
                    Step::Done(message) => question.tcp(&message),
                    Step::Fail(code) => question.fail(code),
                    Step::Ask(about, first) => match self.ask(&question, &about, first).await {
                        Some(message) => question.tcp(&message),
                        None => question.fail(ResponseCode::ServFail),
                    },
                },
            };
            let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
            let whole = [&length.to_be_bytes(), &packet[..]].concat();
            tokio::time::timeout(IDLE, stream.write_all(&whole)).await??;
        }
    }
}
