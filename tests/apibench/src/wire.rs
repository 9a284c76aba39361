//! HTTP/1.1 over TLS, as little of it as a load needs: the load shares two cores with the server, and what it costs is
//! taken from the figure. Requests are bytes made beforehand; of an answer the status is read and the body is passed over.
//!
//! Nobody's certificate is checked: both ends are this program's.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server, and who we are to it.
#[derive(Clone)]
pub struct Target {
    address: String,
    token: Option<String>,
    tls: TlsConnector,
    /// The same for HTTP/2.
    second: TlsConnector,
}

impl Target {
    /// Reads what a server's starter wrote: `{"address", "token"}` or `{"address", "certificate", "key"}` (PEM).
    pub fn read(path: &Path) -> Result<Target> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let value: Value = serde_json::from_str(&text)?;
        let text = |field: &str| value[field].as_str().map(str::to_owned);
        let config = base::tls::trusting_anyone_unproven();
        let mut config = match (text("certificate"), text("key")) {
            (Some(certificate), Some(key)) => {
                let chain: Result<Vec<_>, _> =
                    CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
                config.with_client_auth_cert(chain?, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?
            }
            _ => config.with_no_client_auth(),
        };
        let mut speaking = |protocol: &[u8]| {
            config.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(config.clone()))
        };
        let (tls, second) = (speaking(b"http/1.1"), speaking(b"h2"));
        let address = text("address").context("the target has no address")?;
        Ok(Target { address, token: text("token"), tls, second })
    }

    pub async fn connect(&self) -> Result<Connection> {
        let stream = self.tls.connect(ServerName::try_from("localhost")?, self.socket().await?).await;
        Ok(Connection { stream: stream.context("no TLS")?, buffer: Vec::with_capacity(64 * 1024), used: 0 })
    }

    async fn socket(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)
            .await
            .with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A connection of HTTP/2, which must be within a `LocalSet`: requests go beside each other.
    pub async fn connect_second(&self) -> Result<SendRequest<Empty<Bytes>>> {
        let name = ServerName::try_from("localhost")?;
        let stream = self.second.connect(name, self.socket().await?).await.context("no TLS")?;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }

    /// A GET for [`Target::connect_second`].
    pub fn second_get(&self, path: &str) -> Result<Request<Empty<Bytes>>> {
        let mut request = Request::get(format!("https://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        Ok(request.header("accept", "application/json").body(Empty::new())?)
    }

    /// The bytes of a request.
    pub fn request(&self, method: &str, path: &str, content_type: &str, body: &str) -> Vec<u8> {
        let token =
            self.token.as_ref().map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: apibench/1\r\naccept: application/json\r\n{token}\
             content-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .into_bytes()
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        self.request("GET", path, "application/json", "")
    }
}

/// A connection with at most one request under way.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were an earlier answer's.
    used: usize,
}

struct Head {
    status: u16,
    /// `None`: chunked.
    length: Option<usize>,
}

impl Connection {
    /// Sends a request and takes its answer; anything but `wanted` is an error. Gives the body.
    pub async fn ask(&mut self, request: &[u8], wanted: u16) -> Result<&[u8]> {
        let head = self.begin(request).await?;
        let body = match head.length {
            Some(length) => {
                while self.buffer.len() - self.used < length {
                    self.more().await?;
                }
                let at = self.used;
                self.used += length;
                at..self.used
            }
            None => {
                let mut chunks = Chunks::default();
                let mut body = Vec::new();
                loop {
                    self.used += chunks.take(&self.buffer[self.used..], &mut body)?;
                    if chunks.ended {
                        break;
                    }
                    self.more().await?;
                }
                // Stands in the buffer where the chunks were.
                self.buffer.truncate(self.used);
                let at = self.buffer.len();
                self.buffer.extend_from_slice(&body);
                self.used = self.buffer.len();
                at..self.used
            }
        };
        let body = &self.buffer[body];
        if head.status != wanted {
            bail!("the server answered {}: {}", head.status, String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    /// Sends a request whose answer never ends, and calls `line` for each line of it until it says to stop.
    pub async fn stream(&mut self, request: &[u8], mut line: impl FnMut(&[u8]) -> bool) -> Result<()> {
        let head = self.begin(request).await?;
        if head.status != 200 || head.length.is_some() {
            bail!("the server answered {} to a watch", head.status);
        }
        let (mut chunks, mut body) = (Chunks::default(), Vec::new());
        loop {
            self.used += chunks.take(&self.buffer[self.used..], &mut body)?;
            let mut from = 0;
            while let Some(end) = body[from..].iter().position(|byte| *byte == b'\n') {
                if !line(&body[from..from + end]) {
                    return Ok(());
                }
                from += end + 1;
            }
            body.drain(..from);
            if chunks.ended {
                bail!("the server ended a watch");
            }
            self.more().await?;
        }
    }

    async fn begin(&mut self, request: &[u8]) -> Result<Head> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        loop {
            if let Some((head, length)) = head(&self.buffer)? {
                self.used = length;
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// The head of an answer and its length, once it is all there.
fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end])?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).context("no status")?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    Ok(Some((Head { status, length: length.transpose()? }, end + 4)))
}

/// Takes the framing of chunks away (RFC 9112, 7.1).
#[derive(Default)]
struct Chunks {
    left: usize,
    /// The line break after a chunk's data is still to come.
    tail: bool,
    ended: bool,
}

impl Chunks {
    /// Moves data from `bytes` to `out`; gives how many bytes were taken.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize> {
        let mut at = 0;
        while !self.ended {
            if self.left > 0 {
                let part = self.left.min(bytes.len() - at);
                out.extend_from_slice(&bytes[at..at + part]);
                at += part;
                self.left -= part;
                if self.left > 0 {
                    break;
                }
                self.tail = true;
            }
            let skip = if self.tail { 2 } else { 0 };
            let Some(rest) = bytes.get(at + skip..) else { break };
            let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { break };
            let size = std::str::from_utf8(&rest[..end])?.split(';').next().unwrap_or_default().trim();
            self.left = usize::from_str_radix(size, 16).context("a bad chunk")?;
            if self.left == 0 {
                // No trailers are sent: one empty line follows.
                if rest.len() < end + 4 {
                    break;
                }
                at += skip + end + 4;
                self.ended = true;
                break;
            }
            self.tail = false;
            at += skip + end + 2;
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_out_whole_wherever_they_are_cut() {
        let text = b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n";
        for cut in 0..text.len() {
            let (mut chunks, mut out) = (Chunks::default(), Vec::new());
            let first = chunks.take(&text[..cut], &mut out).unwrap();
            let then = chunks.take(&text[first..], &mut out).unwrap();
            assert_eq!(
                (first + then, out.as_slice(), chunks.ended),
                (text.len(), &b"hello, world"[..], true)
            );
        }
    }
}
