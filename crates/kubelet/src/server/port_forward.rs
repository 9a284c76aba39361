//! `/portForward`: connections to ports of a pod, over SPDY, over SPDY in a WebSocket, or over WebSocket channels.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::exec::{accept_spdy, is_spdy};
use super::{Body, Error, Query, find, spdy, websocket};
use crate::pod::spec;
use crate::work::Shared;

const PROTOCOL: &str = "portforward.k8s.io";
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
const CHANNELS: &str = "v4.channel.k8s.io";
const CHANNELS_BASE64: &str = "v4.base64.channel.k8s.io";

pub(super) async fn serve(
    shared: &Arc<Shared>,
    namespace: &str,
    name: &str,
    query: &Query,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Error> {
    let (pod, sandbox) = find(shared, namespace, name).await?;
    if !sandbox.is_some_and(|sandbox| sandbox.ready) {
        return Err(Error::not_found(format!(
            "unable to forward port because pod is not running. Current status={}",
            pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default()
        )));
    }
    let target = Target { shared: shared.clone(), uid: spec::uid(&pod).to_owned(), pod: name.to_owned() };
    if websocket::is_wanted(request.headers()) {
        let ports: Result<Vec<u16>, _> = query
            .all("ports")
            .iter()
            .chain(&query.all("port"))
            .flat_map(|ports| ports.split(','))
            .map(str::parse)
            .collect();
        let ports = ports.map_err(|_| Error::bad("query parameter \"port\" is no list of ports"))?;
        let (response, protocol, upgrade) = websocket::accept(request, &[TUNNEL, CHANNELS, CHANNELS_BASE64])?;
        if protocol != TUNNEL && ports.is_empty() {
            return Err(Error::bad("query parameter \"port\" is required"));
        }
        base::spawn("port-forward", async move {
            let socket = match websocket::socket(upgrade).await {
                Ok(socket) => socket,
                Err(error) => return tracing::debug!(%error, "a port-forward was not upgraded"),
            };
            if protocol == TUNNEL {
                let (near, far) = tokio::io::duplex(64 << 10);
                tokio::join!(websocket::tunnel(socket, near), session(far, target));
            } else {
                channels(socket, protocol == CHANNELS_BASE64, ports, target).await;
            }
        });
        return Ok(response);
    }
    if !is_spdy(&request) {
        return Err(Error::bad("an upgrade to WebSocket or SPDY/3.1 is needed"));
    }
    let (response, _) = accept_spdy(&request, &[PROTOCOL])?;
    let upgrade = hyper::upgrade::on(&mut request);
    base::spawn("port-forward", async move {
        match upgrade.await {
            Ok(upgraded) => session(TokioIo::new(upgraded), target).await,
            Err(error) => tracing::debug!(%error, "a port-forward was not upgraded"),
        }
    });
    Ok(response)
}

#[derive(Clone)]
struct Target {
    shared: Arc<Shared>,
    uid: String,
    pod: String,
}

impl Target {
    async fn connect(&self, port: u16) -> Result<tokio::net::TcpStream, String> {
        let connected = self.shared.seams.runtime.port_forward(&self.uid, port).await;
        connected.map_err(|error| {
            format!(
                "error forwarding port {port} to pod {}, uid {}: {}",
                self.pod,
                self.uid,
                base::chain(&error)
            )
        })
    }
}

/// A SPDY session: each pair of an error and a data stream with one request id is one connection.
async fn session<S: AsyncRead + AsyncWrite + Unpin>(io: S, target: Target) {
    let (mut opened, drive) = spdy::serve(io);
    let forward = async {
        let mut errors: HashMap<String, spdy::Stream> = HashMap::new();
        while let Some(stream) = opened.recv().await {
            let header = |name: &str| stream.headers.get(name).cloned().unwrap_or_default();
            let (kind, port, id) = (header("streamtype"), header("port"), header("requestid"));
            // Old clients send no id: both streams of a pair then have the same port.
            let id = if id.is_empty() { port.clone() } else { id };
            match kind.as_str() {
                "error" => {
                    errors.insert(id, stream);
                }
                "data" => {
                    let Some(error) = errors.remove(&id) else { continue };
                    let target = target.clone();
                    base::spawn("port-forward", async move {
                        let port = port.parse().map_err(|_| format!("unable to parse {port:?} as a port"));
                        let done = match port {
                            Ok(port) => match target.connect(port).await {
                                Ok(connection) => {
                                    join(stream, connection).await;
                                    Ok(())
                                }
                                Err(message) => Err(message),
                            },
                            Err(message) => Err(message),
                        };
                        if let Err(message) = done {
                            let _gone = error.write.send(message.into()).await;
                        }
                        let _gone = error.write.finish().await;
                    });
                }
                other => tracing::debug!(kind = other, "a port-forward stream of an unknown type"),
            }
        }
    };
    let ((), driven) = tokio::join!(forward, drive);
    if let Err(error) = driven {
        tracing::debug!(%error, "a port-forward's connection broke");
    }
}

/// Copies both ways until both are done.
async fn join(stream: spdy::Stream, connection: tokio::net::TcpStream) {
    let (mut from, mut to) = connection.into_split();
    let spdy::Stream { mut read, write, .. } = stream;
    let inward = async {
        while let Some(bytes) = read.recv().await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _closed = to.shutdown().await;
    };
    let outward = async {
        let mut buffer = vec![0; 32 << 10];
        while let Ok(length) = from.read(&mut buffer).await {
            if length == 0 || write.send(Bytes::copy_from_slice(&buffer[..length])).await.is_err() {
                break;
            }
        }
        let _gone = write.finish().await;
    };
    // Once the pod has closed, what the client may still send has no reader; it is given a moment to close too.
    tokio::pin!(inward);
    tokio::select! {
        () = &mut inward => {}
        () = outward => {
            let _late = tokio::time::timeout(Duration::from_secs(5), inward).await;
            return;
        }
    }
    let mut buffer = vec![0; 32 << 10];
    while let Ok(length) = from.read(&mut buffer).await {
        if length == 0 || write.send(Bytes::copy_from_slice(&buffer[..length])).await.is_err() {
            break;
        }
    }
    let _gone = write.finish().await;
}

/// The older protocol: for the n-th port channel 2n carries data and 2n+1 errors; each begins with the port, two bytes,
/// the lower first.
async fn channels(socket: websocket::Socket, base64: bool, ports: Vec<u16>, target: Target) {
    let (output, outbox) = mpsc::channel(32);
    let mut inputs: HashMap<u8, mpsc::UnboundedSender<Bytes>> = HashMap::new();
    for (index, port) in ports.into_iter().enumerate() {
        let Ok(channel) = u8::try_from(index * 2) else { break };
        // Unbounded, as one slow port must not hold up the others; a client sends as much as TCP lets it.
        let (input, mut inbox) = mpsc::unbounded_channel::<Bytes>();
        inputs.insert(channel, input);
        let (output, target) = (output.clone(), target.clone());
        base::spawn("port-forward", async move {
            let prefix = Bytes::copy_from_slice(&port.to_le_bytes());
            for channel in [channel, channel + 1] {
                if output.send((channel, prefix.clone())).await.is_err() {
                    return;
                }
            }
            let connection = match target.connect(port).await {
                Ok(connection) => connection,
                Err(message) => {
                    let _gone = output.send((channel + 1, message.into())).await;
                    return;
                }
            };
            let (mut from, mut to) = connection.into_split();
            let inward = async {
                while let Some(bytes) = inbox.recv().await {
                    if to.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
            };
            let outward = async {
                let mut buffer = vec![0; 32 << 10];
                while let Ok(length) = from.read(&mut buffer).await {
                    if length == 0
                        || output.send((channel, Bytes::copy_from_slice(&buffer[..length]))).await.is_err()
                    {
                        break;
                    }
                }
            };
            tokio::select! {
                () = inward => {}
                () = outward => {}
            }
        });
    }
    drop(output);
    let input = |channel: u8, bytes: Bytes| {
        if let Some(input) = inputs.get(&channel) {
            // The port's connection has ended.
            let _gone = input.send(bytes);
        }
    };
    websocket::channels(socket, base64, input, outbox).await;
}
