//! One connection to one endpoint, shared by all calls; a call finds it, or makes it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex, mpsc};

use crate::frame::{self, Outgoing};
use crate::{Endpoint, Error, Spawn};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// A silent connection is asked for a sign of life this often, and given up without one: etcd's own client does the same, and a
/// server whose power was cut says no goodbye.
const PING: Duration = Duration::from_secs(10);
const PING_ANSWER: Duration = Duration::from_secs(5);
/// Largest message that is taken.
const MOST: usize = 512 << 20;
/// Bytes on their way to us before the sender must wait: a list is megabytes.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// See the module.
pub struct Channel {
    endpoint: Endpoint,
    spawn: Spawn,
    // Held while connecting, so that a hundred calls make one connection.
    connection: Mutex<Option<SendRequest<Outgoing>>>,
}

impl Channel {
    /// Nothing is connected before the first call.
    pub fn new(endpoint: Endpoint, spawn: Spawn) -> Channel {
        Channel { endpoint, spawn, connection: Mutex::new(None) }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// One message there, one back.
    ///
    /// # Errors
    /// See [`Error`]: only [`Error::Connect`] says that nothing was carried out.
    pub async fn unary(&self, path: &'static str, message: Bytes, limit: Duration) -> Result<Bytes, Error> {
        let call = async {
            let answer = self.send(path, Outgoing::One(Some(message)), &[]).await?;
            let mut stream = self.stream_of(answer)?;
            let message = stream.message().await?;
            // What follows is the status.
            let more = stream.message().await?;
            match (message, more) {
                (Some(message), None) => Ok(message),
                _ => Err(self.broken("the answer is not one message")),
            }
        };
        match tokio::time::timeout(limit, call).await {
            Ok(result) => result,
            Err(_) => Err(Error::Late { endpoint: self.endpoint.to_string(), seconds: limit.as_secs() }),
        }
    }

    /// Messages there as long as `messages`' sender lives, messages back as long as the service likes.
    ///
    /// # Errors
    /// As [`Channel::unary`].
    pub async fn stream(
        &self,
        path: &'static str,
        messages: mpsc::Receiver<Bytes>,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Stream, Error> {
        let answer = self.send(path, Outgoing::Many(messages), headers).await?;
        self.stream_of(answer)
    }

    fn broken(&self, why: impl std::fmt::Display) -> Error {
        Error::Broken { endpoint: self.endpoint.to_string(), why: why.to_string() }
    }

    fn unconnected(&self, why: impl std::fmt::Display) -> Error {
        Error::Connect { endpoint: self.endpoint.to_string(), why: why.to_string() }
    }

    async fn send(
        &self,
        path: &'static str,
        body: Outgoing,
        headers: &[(&'static str, &'static str)],
    ) -> Result<Response<Incoming>, Error> {
        let scheme =
            if matches!(self.endpoint, Endpoint::Tcp { tls: Some(_), .. }) { "https" } else { "http" };
        let authority = match &self.endpoint {
            Endpoint::Unix(_) => "localhost".to_string(),
            tcp => tcp.to_string(),
        };
        let mut request = Request::post(format!("{scheme}://{authority}{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body).map_err(|error| self.unconnected(error))?;
        // A connection that ended while nobody looked is found out by the request that it gives back unsent.
        let mut again = true;
        loop {
            let mut sender = self.sender().await?;
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(answer),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if again => {
                        again = false;
                        self.connection.lock().await.take();
                        request = unsent;
                    }
                    Some(_) => return Err(self.unconnected(chain(error.error()))),
                    None => return Err(self.broken(chain(error.error()))),
                },
            }
        }
    }

    async fn sender(&self) -> Result<SendRequest<Outgoing>, Error> {
        let mut connection = self.connection.lock().await;
        if let Some(sender) = connection.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let connecting = tokio::time::timeout(CONNECT, self.connect());
        let made = connecting.await.map_err(|_| self.unconnected("no answer in three seconds"))?;
        let sender = made.map_err(|error| self.unconnected(error))?;
        *connection = Some(sender.clone());
        Ok(sender)
    }

    async fn connect(&self) -> Result<SendRequest<Outgoing>, String> {
        match &self.endpoint {
            Endpoint::Unix(path) => {
                self.handshake(UnixStream::connect(path).await.map_err(|error| error.to_string())?).await
            }
            Endpoint::Tcp { host, port, tls } => {
                let stream =
                    TcpStream::connect((host.as_str(), *port)).await.map_err(|error| error.to_string())?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                let Some(tls) = tls else { return self.handshake(stream).await };
                let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
                let connector = tokio_rustls::TlsConnector::from(tls.clone());
                let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
                self.handshake(stream).await
            }
        }
    }

    async fn handshake<S>(&self, stream: S) -> Result<SendRequest<Outgoing>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING_ANSWER)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let made = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(|error| chain(&error))?;
        // What it ends with, the calls on it are told.
        (self.spawn)(Box::pin(async move { drop(connection.await) }));
        Ok(sender)
    }

    fn stream_of(&self, answer: Response<Incoming>) -> Result<Stream, Error> {
        if let Some((code, message)) = frame::status(answer.headers()).filter(|(code, _)| *code != 0) {
            return Err(Error::Status { code, message });
        }
        if !answer.status().is_success() {
            return Err(self.broken(format!("the answer is HTTP {}", answer.status())));
        }
        let endpoint = self.endpoint.to_string();
        Ok(Stream { endpoint, body: answer.into_body(), buffer: BytesMut::new(), trailers: None })
    }
}

/// What the service sends.
pub struct Stream {
    endpoint: String,
    body: Incoming,
    buffer: BytesMut,
    trailers: Option<HeaderMap>,
}

impl Stream {
    /// The next message, `None` after the last. May be dropped while it waits, and called again.
    ///
    /// # Errors
    /// [`Error::Status`] when the service ends the stream with one, [`Error::Broken`] when the connection does.
    pub async fn message(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(message) = frame::unpack(&mut self.buffer, MOST).map_err(|why| self.broken(why))? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => return Err(self.broken(chain(&error))),
                None => {
                    return match self.trailers.as_ref().and_then(frame::status) {
                        Some((0, _)) => Ok(None),
                        Some((code, message)) => Err(Error::Status { code, message }),
                        None => Err(self.broken("it ended without a status")),
                    };
                }
            }
        }
    }

    fn broken(&self, why: impl std::fmt::Display) -> Error {
        Error::Broken { endpoint: self.endpoint.clone(), why: why.to_string() }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
