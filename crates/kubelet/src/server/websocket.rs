//! WebSocket upgrades, and the channel protocols over them: one message, its first byte the channel.

use base64::Engine;
use bytes::{Bytes, BytesMut};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use runtime::Streams;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::terminal::{self, End, Input, Output};
use super::{Body, Error, full};

pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub fn is_wanted(headers: &HeaderMap) -> bool {
    let has = |name: header::HeaderName, word: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.to_lowercase().contains(word))
    };
    has(header::UPGRADE, "websocket") && has(header::CONNECTION, "upgrade")
}

/// Answers the handshake with the first protocol of `known` that the client offers (none if it offers none).
pub fn accept(
    mut request: Request<Incoming>,
    known: &[&'static str],
) -> Result<(Response<Body>, &'static str, OnUpgrade), Error> {
    let headers = request.headers();
    let key =
        headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| Error::bad("Sec-WebSocket-Key is missing"))?;
    let accept = derive_accept_key(key.as_bytes());
    let offered: Vec<String> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_owned())
        .collect();
    let chosen = match known.iter().find(|known| offered.iter().any(|offer| offer == *known)) {
        Some(chosen) => chosen,
        None if offered.is_empty() => "",
        None => {
            return Err(Error::bad(format!("none of the subprotocols {offered:?} is known; {known:?} are")));
        }
    };
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&accept).map_err(|_| Error::bad("Sec-WebSocket-Key is no key"))?;
    fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if !chosen.is_empty() {
        fields.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(chosen));
    }
    Ok((response, chosen, hyper::upgrade::on(&mut request)))
}

/// The socket, once the answer was sent.
pub async fn socket(upgrade: OnUpgrade) -> Result<Socket, hyper::Error> {
    let upgraded = upgrade.await?;
    Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
}

/// Protocols of exec and attach, the newest first.
pub const TERMINAL: [&str; 5] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
];

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Base64 protocols write the channel as a digit and the rest encoded.
fn frame(base64: bool, channel: u8, bytes: &[u8]) -> Message {
    if base64 {
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        return Message::text(format!("{channel}{text}"));
    }
    let mut frame = BytesMut::with_capacity(bytes.len() + 1);
    frame.extend_from_slice(&[channel]);
    frame.extend_from_slice(bytes);
    Message::binary(frame.freeze())
}

fn unframe(base64: bool, message: Message) -> Option<(u8, Bytes)> {
    let bytes = match message {
        Message::Binary(bytes) => bytes,
        Message::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
        _ => return None,
    };
    let channel = *bytes.first()?;
    if base64 {
        let decoded = base64::engine::general_purpose::STANDARD.decode(&bytes[1..]).ok()?;
        return Some((channel.wrapping_sub(b'0'), decoded.into()));
    }
    Some((channel, bytes.slice(1..)))
}

/// Runs a process' session over a socket.
pub async fn terminal(socket: Socket, protocol: &str, streams: Streams) {
    let base64 = protocol.contains("base64");
    let with_status = protocol.starts_with("v4") || protocol.starts_with("v5");
    let (mut sink, mut source) = socket.split();
    let (input, inbox) = mpsc::channel(16);
    let (outbox, mut output) = mpsc::channel(16);
    let receive = async move {
        while let Some(Ok(message)) = source.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
            let told = match unframe(base64, message) {
                Some((STDIN, bytes)) => Some(Input::Stdin(bytes)),
                Some((RESIZE, bytes)) => terminal::size(&bytes),
                Some((CLOSE, bytes)) if bytes.first() == Some(&STDIN) => Some(Input::StdinClosed),
                _ => None,
            };
            if let Some(told) = told
                && input.send(told).await.is_err()
            {
                // The process has ended; its client may still talk until it reads that.
                break;
            }
        }
        // Dropped here: the session learns that its client is gone.
        drop(input);
        std::future::pending::<()>().await;
    };
    let send = async {
        while let Some(message) = output.recv().await {
            let message = match message {
                Output::Stdout(bytes) => frame(base64, STDOUT, &bytes),
                Output::Stderr(bytes) => frame(base64, STDERR, &bytes),
            };
            if sink.send(message).await.is_err() {
                return;
            }
        }
    };
    let session = async {
        let (end, ()) = tokio::join!(terminal::run(streams, inbox, outbox), send);
        end
    };
    let end = tokio::select! {
        end = session => end,
        () = receive => End::Gone,
    };
    let last = match (with_status, &end) {
        (_, End::Gone) => None,
        (true, end) => Some(end.status().to_string()),
        (false, end) => end.text(),
    };
    if let Some(last) = last {
        let _gone = sink.send(frame(base64, ERROR, last.as_bytes())).await;
    }
    close(&mut sink).await;
}

/// Ends a socket with the code of a normal end: without one kubectl takes the end for a failure (RFC 6455, 7.4.1).
async fn close(sink: &mut SplitSink<Socket, Message>) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _gone = sink.send(Message::Close(Some(frame))).await;
}

/// Protocols of what is only read, each message a piece of it.
const READER: [&str; 2] = ["binary.k8s.io", "base64.binary.k8s.io"];

/// Answers a request for an upgrade with the body of `answer` in messages. The first is empty, as upstream's: it tells the
/// client that the server is there before there is anything to read.
pub fn read_only(request: Request<Incoming>, answer: Response<Body>) -> Result<Response<Body>, Error> {
    let (response, protocol, upgrade) = accept(request, &READER)?;
    let base64 = protocol.contains("base64");
    let message = move |bytes: Bytes| match base64 {
        true => Message::text(base64::engine::general_purpose::STANDARD.encode(&bytes)),
        false => Message::binary(bytes),
    };
    let mut body = answer.into_body();
    base::spawn("log", async move {
        let socket = match socket(upgrade).await {
            Ok(socket) => socket,
            Err(error) => return tracing::debug!(%error, "a log was not upgraded"),
        };
        let (mut sink, mut source) = socket.split();
        let send = async {
            let mut going = sink.send(message(Bytes::new())).await.is_ok();
            while let Some(Ok(frame)) = body.frame().await
                && going
            {
                let Ok(bytes) = frame.into_data() else { continue };
                going = sink.send(message(bytes)).await.is_ok();
            }
            close(&mut sink).await;
        };
        // A client that is gone ends a log that is followed.
        let gone = async {
            while let Some(Ok(message)) = source.next().await
                && !matches!(message, Message::Close(_))
            {}
        };
        tokio::select! {
            () = send => {}
            () = gone => {}
        }
    });
    Ok(response)
}

/// A byte stream tunnelled in binary messages; ends when either side does.
pub async fn tunnel(socket: Socket, stream: DuplexStream) {
    let (mut sink, mut source) = socket.split();
    let (mut read, mut write) = tokio::io::split(stream);
    let inward = async {
        while let Some(Ok(message)) = source.next().await {
            match message {
                Message::Binary(bytes) if write.write_all(&bytes).await.is_err() => return,
                Message::Close(_) => break,
                _ => {}
            }
        }
        let _closed = write.shutdown().await;
    };
    let outward = async {
        let mut buffer = vec![0; 32 << 10];
        while let Ok(length) = read.read(&mut buffer).await {
            if length == 0
                || sink.send(Message::binary(Bytes::copy_from_slice(&buffer[..length]))).await.is_err()
            {
                break;
            }
        }
        close(&mut sink).await;
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(inward, std::future::pending()) } => {}
        () = outward => {}
    }
}

/// Channels by number, for port-forward's older protocol: what arrives is handed on, what is sent is framed.
pub async fn channels(
    socket: Socket,
    base64: bool,
    mut input: impl FnMut(u8, Bytes),
    mut output: mpsc::Receiver<(u8, Bytes)>,
) {
    let (mut sink, mut source) = socket.split();
    loop {
        tokio::select! {
            message = source.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(message)) => if let Some((channel, bytes)) = unframe(base64, message) {
                    input(channel, bytes);
                },
            },
            out = output.recv() => match out {
                Some((channel, bytes)) => if sink.send(frame(base64, channel, &bytes)).await.is_err() {
                    return;
                },
                None => {
                    close(&mut sink).await;
                    return;
                }
            },
        }
    }
}
