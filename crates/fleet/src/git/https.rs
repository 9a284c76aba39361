//! Git over https: gix' smart protocol on hyper and rustls. One connection is reused for all requests of a fetch.
//!
//! Credentials are sent with the first request: nothing is ever asked of a credential helper.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gix_transport::Protocol;
use gix_transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse, Transport,
};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{ServerName, UnixTime};
use tokio::runtime::Runtime;

use super::lines::Pieces;
use crate::source::Credentials;
use crate::wire::{Counted, Tally};

/// For an answer to begin, and between two pieces of it: a server that prepares a pack tells that it is busy.
const PATIENCE: Duration = Duration::from_secs(45);
/// For a connection and its handshake: a server that takes a connection and then says nothing is given up soon.
const HANDSHAKE: Duration = Duration::from_secs(15);
const REDIRECTS: usize = 5;

/// The transport of one repository.
pub(super) fn transport(
    url: &str,
    credentials: &Credentials,
    runtime: Arc<Runtime>,
) -> Result<Transport<Https>, String> {
    let address = gix::Url::try_from(url).map_err(|error| error.to_string())?;
    let authorization = authorization(credentials);
    let tls = tls(credentials, Arc::new(Held(crate::wire::trusted_time())))?;
    let http = Https {
        client: Arc::new(Mutex::new(Client {
            runtime,
            tls: Arc::new(tls),
            authorization,
            proxy: credentials.proxy.clone(),
            open: None,
        })),
        redirected: None,
    };
    Ok(Transport::new_http(http, address, Protocol::V2, false))
}

/// The header of that name; `None`: nobody in particular asks.
pub(super) fn authorization(credentials: &Credentials) -> Option<String> {
    if !credentials.bearer.is_empty() {
        return Some(format!("Bearer {}", credentials.bearer));
    }
    if credentials.username.is_empty() && credentials.password.is_empty() {
        return None;
    }
    // A token alone goes as a password; servers take any user with it.
    let user = if credentials.username.is_empty() { "x-access-token" } else { &credentials.username };
    Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", credentials.password))))
}

/// Whom a connection believes, by which time, and with which certificate it asks.
pub(super) fn tls(
    credentials: &Credentials,
    time: Arc<dyn rustls::time_provider::TimeProvider>,
) -> Result<rustls::ClientConfig, String> {
    let builder = if credentials.insecure {
        base::tls::trusting_anyone()
    } else {
        let given = base::tls::certificates(credentials.ca.as_bytes())
            .map_err(|error| format!("the CA certificate cannot be read: {error}"))?;
        base::tls::believing(given, true)
            .map_err(|error| format!("the CA certificate cannot be used: {error}"))?
    };
    let mut config = match credentials.client_certificate.as_bytes() {
        [] => builder.with_no_client_auth(),
        chain => base::tls::showing(builder, chain, credentials.client_key.as_bytes())?,
    };
    config.time_provider = time;
    Ok(config)
}

/// The time that the parent judges by ([`crate::trust`]): the box' own clock may start in 1970, or have jumped to 2088.
#[derive(Debug)]
struct Held(u64);

impl rustls::time_provider::TimeProvider for Held {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = if self.0 == 0 { UnixTime::now().as_secs() } else { self.0 };
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

struct Client {
    runtime: Arc<Runtime>,
    tls: Arc<rustls::ClientConfig>,
    authorization: Option<String>,
    proxy: String,
    open: Option<(String, SendRequest<Full<Bytes>>)>,
}

impl Client {
    fn send(
        &mut self,
        url: &str,
        headers: &[String],
        body: Option<Vec<u8>>,
    ) -> std::io::Result<Response<Incoming>> {
        let runtime = self.runtime.clone();
        let sending = async {
            tokio::time::timeout(PATIENCE, self.exchange(url, headers, body))
                .await
                .unwrap_or_else(|_| Err(std::io::Error::other("the server does not answer")))
        };
        runtime.block_on(sending)
    }

    async fn exchange(
        &mut self,
        url: &str,
        headers: &[String],
        body: Option<Vec<u8>>,
    ) -> std::io::Result<Response<Incoming>> {
        let uri: Uri = url.parse().map_err(std::io::Error::other)?;
        let host = uri.host().ok_or_else(|| std::io::Error::other("the address has no host"))?;
        let secure = uri.scheme_str() != Some("http");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let origin = format!("{secure}{host}:{port}");
        let mut request = Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(uri.path_and_query().map_or("/", |path| path.as_str()))
            .header("host", uri.authority().map_or(host, |authority| authority.as_str()));
        for line in headers {
            if let Some((name, value)) = line.split_once(':') {
                request = request.header(name.trim(), value.trim());
            }
        }
        // Never over plain http to another place than the owner named: the address itself chose it.
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let request =
            request.body(Full::new(Bytes::from(body.unwrap_or_default()))).map_err(std::io::Error::other)?;
        let reusable = self.open.take().filter(|(to, sender)| *to == origin && !sender.is_closed());
        let mut open = None;
        if let Some((_, mut sender)) = reusable
            && sender.ready().await.is_ok()
        {
            open = Some(sender);
        }
        let mut sender = match open {
            Some(sender) => sender,
            None => {
                let proxy = (!self.proxy.is_empty() && secure).then_some(self.proxy.as_str());
                let connecting = connect(self.tls.clone(), host, port, secure, proxy, None);
                tokio::time::timeout(HANDSHAKE, connecting).await.map_err(|_| {
                    let text =
                        format!("{host}:{port} does not finish a handshake within {} s", HANDSHAKE.as_secs());
                    std::io::Error::other(text)
                })??
            }
        };
        let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
        self.open = Some((origin, sender));
        Ok(response)
    }
}

/// A connection that speaks HTTP; its bytes count in `tally` too.
pub(super) async fn connect(
    tls: Arc<rustls::ClientConfig>,
    host: &str,
    port: u16,
    secure: bool,
    proxy: Option<&str>,
    tally: Option<Arc<Tally>>,
) -> std::io::Result<SendRequest<Full<Bytes>>> {
    let unreachable = |error: std::io::Error| {
        std::io::Error::new(error.kind(), format!("cannot connect to {host}:{port}: {error}"))
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = match proxy {
        None => tokio::net::TcpStream::connect((bare, port)).await.map_err(unreachable)?,
        Some(proxy) => super::proxy::tunnel(proxy, host, port).await?,
    };
    let stream = Counted::new(stream, tally);
    if !secure {
        return handshake(stream).await;
    }
    let name = ServerName::try_from(bare.to_string()).map_err(std::io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(tls)
        .connect(name, stream)
        .await
        .map_err(|error| std::io::Error::other(untrusted(host, &error)))?;
    handshake(stream).await
}

/// What a person can do about a server that is not believed.
fn untrusted(host: &str, error: &std::io::Error) -> String {
    use rustls::{CertificateError, Error};
    let day = |time: &UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds)
            .map_or_else(|_| "?".into(), |at| at.strftime("%Y-%m-%d").to_string())
    };
    match error.get_ref().and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after })) => format!(
            "the certificate of {host} was good until {}, and it is {} here: if that is wrong, set this machine's clock; else the server needs a new certificate",
            day(not_after),
            day(time)
        ),
        Some(Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before })) => {
            format!(
                "the certificate of {host} is good from {} on, and it is {} here: if that is wrong, set this machine's clock",
                day(not_before),
                day(time)
            )
        }
        _ => format!(
            "{host} cannot be trusted: {error}; if its CA is your own, put it into the ConfigMap argocd-tls-certs-cm"
        ),
    }
}

async fn handshake<S>(stream: S) -> std::io::Result<SendRequest<Full<Bytes>>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    let _detached = base::spawn("git https connection", async move {
        // How it ends is told by the request that it carried.
        let _ = connection.await;
    });
    Ok(sender)
}

/// gix' seam for http.
pub(super) struct Https {
    client: Arc<Mutex<Client>>,
    redirected: Option<String>,
}

/// A request whose body may still be written, and its response as far as it was read.
struct Exchange {
    client: Arc<Mutex<Client>>,
    url: String,
    headers: Vec<String>,
    body: Option<Vec<u8>>,
    /// What came of it, so that it is sent once: each part that is read asks.
    outcome: Option<Result<Response<Incoming>, Failed>>,
}

/// An [`std::io::Error`] that can be told again.
type Failed = (std::io::ErrorKind, String);

fn failed(error: std::io::Error) -> Failed {
    (error.kind(), error.to_string())
}

impl Exchange {
    fn send(&self, body: Option<Vec<u8>>) -> std::io::Result<Response<Incoming>> {
        let mut client = self.client.lock().map_err(|_| std::io::Error::other("a request panicked"))?;
        client.send(&self.url, &self.headers, body)
    }

    fn start(&mut self) -> std::io::Result<&mut Response<Incoming>> {
        if self.outcome.is_none() {
            let body = self.body.take();
            self.outcome = Some(self.send(body).and_then(checked).map_err(failed));
        }
        match self.outcome.as_mut().expect("because it was just set") {
            Ok(response) => Ok(response),
            Err((kind, text)) => Err(std::io::Error::new(*kind, text.clone())),
        }
    }

    fn next(&mut self) -> std::io::Result<Bytes> {
        let runtime =
            self.client.lock().map_err(|_| std::io::Error::other("a request panicked"))?.runtime.clone();
        let body = self.start()?.body_mut();
        loop {
            let frame = runtime.block_on(async { tokio::time::timeout(PATIENCE, body.frame()).await });
            match frame.map_err(|_| std::io::Error::other("the server stopped sending"))? {
                None => return Ok(Bytes::new()),
                Some(frame) => match frame.map_err(std::io::Error::other)?.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(data),
                    Err(_) => {}
                },
            }
        }
    }
}

fn checked(response: Response<Incoming>) -> std::io::Result<Response<Incoming>> {
    let text = match response.status().as_u16() {
        200..=299 => return Ok(response),
        // Not PermissionDenied, on which gix would ask a credential helper.
        401 | 403 => {
            "authentication required or refused: check user and password or token in the repository's Secret"
        }
        404 => "repository not found: check its address, and that the credentials may read it",
        _ => "the server failed",
    };
    Err(std::io::Error::other(format!("{text} (HTTP {})", response.status())))
}

/// One side of an exchange: its headers as lines, its body, or what is posted.
pub(super) struct Part {
    exchange: Arc<Mutex<Exchange>>,
    headers: bool,
    buffer: Bytes,
    done: bool,
}

impl Part {
    fn new(exchange: &Arc<Mutex<Exchange>>, headers: bool) -> Part {
        Part { exchange: exchange.clone(), headers, buffer: Bytes::new(), done: false }
    }
}

/// A body as gix reads it.
type Body = BufReader<Pieces<Part>>;

fn body(exchange: &Arc<Mutex<Exchange>>) -> Body {
    BufReader::new(Pieces::new(Part::new(exchange, false)))
}

impl BufRead for Part {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.buffer.is_empty() && !self.done {
            let mut exchange =
                self.exchange.lock().map_err(|_| std::io::Error::other("a request panicked"))?;
            if self.headers {
                let mut lines = Vec::new();
                for (name, value) in exchange.start()?.headers() {
                    lines.extend_from_slice(name.as_str().as_bytes());
                    lines.extend_from_slice(b": ");
                    lines.extend_from_slice(value.as_bytes());
                    lines.push(b'\n');
                }
                self.buffer = lines.into();
                self.done = true;
            } else {
                self.buffer = exchange.next()?;
                self.done = self.buffer.is_empty();
            }
        }
        Ok(&self.buffer)
    }
    fn consume(&mut self, count: usize) {
        let _ = self.buffer.split_to(count.min(self.buffer.len()));
    }
}

impl Read for Part {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

pub(super) struct Posting(Arc<Mutex<Exchange>>);

impl Write for Posting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut exchange = self.0.lock().map_err(|_| std::io::Error::other("a request panicked"))?;
        exchange.body.get_or_insert_default().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Https {
    fn exchange(&self, url: &str, headers: impl IntoIterator<Item = impl AsRef<str>>) -> Exchange {
        Exchange {
            client: self.client.clone(),
            url: url.into(),
            headers: headers.into_iter().map(|line| line.as_ref().to_string()).collect(),
            body: None,
            outcome: None,
        }
    }

    fn follow(&mut self, exchange: &mut Exchange, base: &str) -> Option<()> {
        let tail = exchange.url.strip_prefix(base)?.to_string();
        for _ in 0..REDIRECTS {
            let response = match exchange.send(None) {
                Ok(response) if response.status().is_redirection() => response,
                ended => {
                    exchange.outcome = Some(ended.and_then(checked).map_err(failed));
                    return Some(());
                }
            };
            let to = response.headers().get("location")?.to_str().ok()?;
            // Only to the same request elsewhere, and never from https down to http.
            let to =
                if to.starts_with('/') { format!("{}{to}", origin(&exchange.url)?) } else { to.to_string() };
            if exchange.url.starts_with("https://") && !to.starts_with("https://") {
                return None;
            }
            let new = to.strip_suffix(&tail)?.to_string();
            if origin(&to) != origin(&exchange.url) {
                // Credentials are for the host that they were given for.
                exchange.client.lock().ok()?.authorization = None;
            }
            self.redirected = Some(new);
            exchange.url = to;
        }
        None
    }
}

fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")? + 3;
    Some(url[start..].find('/').map_or(url, |at| &url[..start + at]))
}

impl Http for Https {
    type Headers = Part;
    type ResponseBody = Body;
    type PostBody = Posting;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::error::Result<GetResponse<Part, Body>> {
        let mut exchange = self.exchange(url, headers);
        // What could not be followed fails when it is read, with the server's answer.
        let _ = self.follow(&mut exchange, base_url);
        let exchange = Arc::new(Mutex::new(exchange));
        Ok(GetResponse { headers: Part::new(&exchange, true), body: body(&exchange) })
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _: PostBodyDataKind,
    ) -> gix::error::Result<PostResponse<Part, Body, Posting>> {
        let mut exchange = self.exchange(url, headers);
        if let Some((base, tail)) = self.redirected.as_ref().zip(url.strip_prefix(base_url)) {
            exchange.url = format!("{base}{tail}");
        }
        exchange.body = Some(Vec::new());
        let exchange = Arc::new(Mutex::new(exchange));
        let (headers, body) = (Part::new(&exchange, true), body(&exchange));
        Ok(PostResponse { headers, body, post_body: Posting(exchange) })
    }

    fn configure(&mut self, _: &dyn std::any::Any) -> gix::error::Result {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.redirected.clone()
    }
}
