//! `watch` over a WebSocket, for browsers: each event is one message, text for JSON and binary for protobuf
//! (k8s.io/apiserver/pkg/endpoints/handlers/watch.go, `HandleWS`).
//!
//! What the client sends is passed over. The watch ends with the socket, and the socket with the watch.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::Call;
use super::watch::Watch;
use crate::http::accept::Media;
use crate::http::{Body, Upgrade};
use crate::status::{Result, Status};

/// Bytes of a message that a client may send, though nobody reads it.
const INCOMING: usize = 64 * 1024;
/// Bytes before a protobuf object that tell its length: a message has its own.
const LENGTH: usize = 4;

fn has(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.to_ascii_lowercase().contains(word))
}

/// The request asks for a WebSocket (`wsstream.IsWebSocketRequest`).
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    upgrade.eq_ignore_ascii_case("websocket") && has(headers, header::CONNECTION, "upgrade")
}

/// The answer of the handshake, by the rules of golang.org/x/net/websocket: version 13, an origin, at most one subprotocol.
fn handshake(headers: &HeaderMap) -> Result<Response<Body>> {
    let text =
        |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let key = text(header::SEC_WEBSOCKET_KEY);
    if key.is_empty() {
        return Err(Status::bad_request("challenge/response is missing: Sec-WebSocket-Key"));
    }
    if text(header::SEC_WEBSOCKET_VERSION) != "13" {
        return Err(Status::bad_request("missing or bad WebSocket Version"));
    }
    if text(header::ORIGIN).is_empty() {
        return Err(Status::new(403, "Forbidden", "a WebSocket needs an Origin"));
    }
    let protocol = text(header::SEC_WEBSOCKET_PROTOCOL).trim();
    if protocol.contains(',') {
        return Err(Status::bad_request("missing or bad WebSocket-Protocol"));
    }
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let mut set = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    set(header::UPGRADE, "websocket");
    set(header::CONNECTION, "Upgrade");
    set(header::SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes()));
    if !protocol.is_empty() {
        set(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

impl Call {
    /// Opens the watch, and serves it once the connection is the socket's.
    pub async fn watch_by_websocket(self: Arc<Call>, upgrade: Option<Upgrade>) -> Result<Response<Body>> {
        let upgrade =
            upgrade.ok_or_else(|| Status::bad_request("this connection cannot be upgraded: use HTTP/1.1"))?;
        let response = handshake(&self.headers)?;
        let binary = self.accept.media == Media::Protobuf;
        let watch = Watch::open(&self).await?;
        self.inner.tasks.spawn("websocket-watch", async move {
            // Held whole: what the audit log notes of the request lasts as long as the socket.
            let mut upgrade = upgrade;
            let Ok(upgraded) = (&mut upgrade.client).await else { return };
            let config =
                WebSocketConfig::default().max_message_size(Some(INCOMING)).max_frame_size(Some(INCOMING));
            let io = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
            serve(socket, watch, binary).await;
        });
        Ok(response)
    }
}

async fn serve(mut socket: WebSocketStream<TokioIo<Upgraded>>, mut watch: Watch, binary: bool) {
    loop {
        tokio::select! {
            frame = watch.frame() => {
                let Some(frame) = frame else { break };
                let message = match binary {
                    true => Message::binary(frame.slice(LENGTH.min(frame.len())..)),
                    false => match Utf8Bytes::try_from(frame) {
                        Ok(text) => Message::Text(text),
                        Err(_) => break,
                    },
                };
                let sent = match watch.is_pending() {
                    true => socket.feed(message).await,
                    false => socket.send(message).await,
                };
                if sent.is_err() {
                    return;
                }
            }
            message = socket.next() => match message {
                None | Some(Err(_)) | Some(Ok(Message::Close(_))) => return,
                // Nothing is expected; a ping was answered.
                Some(Ok(_)) => {}
            },
        }
    }
    let end = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() };
    let _peer_gone = socket.close(Some(end)).await;
}
