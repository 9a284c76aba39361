//! Real git behind real transports, for suites and benchmarks: `git http-backend` behind a web server with TLS of its own
//! CA, and `git upload-pack` behind an ssh server, each on a runtime of its own that ends with it.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests; each suite uses some

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fleet::source::Credentials;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, Msg, Server as _, Session};
use russh::{Channel, ChannelId};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::ChildStdout;
use tokio::runtime::Runtime;

/// A runtime that may be made and dropped inside of another one.
struct Apart(Option<Runtime>);

impl Apart {
    fn new() -> Apart {
        Apart(Some(Runtime::new().unwrap()))
    }
    fn bind(&self) -> tokio::net::TcpListener {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let _inside = self.0.as_ref().unwrap().enter();
        tokio::net::TcpListener::from_std(listener).unwrap()
    }
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.0.as_ref().unwrap().spawn(future);
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

/// A web server with TLS in front of `git http-backend`.
pub struct Web {
    _runtime: Apart,
    pub port: u16,
    pub ca: String,
    pub requests: Arc<AtomicUsize>,
}

const AUTHORIZATION: &str = "Basic Ym9iOnNlY3JldA==";

/// A chain as public servers send it: the server's own certificate and one between it and the CA.
fn chain()
-> (String, Vec<rustls_pki_types::CertificateDer<'static>>, rustls_pki_types::PrivateKeyDer<'static>) {
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params, rcgen::KeyPair::generate().unwrap())
    };
    let (root, root_key) = authority("Test Root");
    let root_certificate = root.self_signed(&root_key).unwrap();
    let root = rcgen::Issuer::new(root, root_key);
    let (middle, middle_key) = authority("Test Intermediate");
    let middle_certificate = middle.signed_by(&middle_key, &root).unwrap();
    let middle = rcgen::Issuer::new(middle, middle_key);
    let mut leaf = rcgen::CertificateParams::new(vec!["localhost".to_string()]).unwrap();
    // Not for ever: a clock decades ahead takes it for expired.
    leaf.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf_certificate = leaf.signed_by(&leaf_key, &middle).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap();
    (root_certificate.pem(), vec![leaf_certificate.der().clone(), middle_certificate.der().clone()], key)
}

impl Web {
    /// Serves the repositories below `root` at `https://localhost:PORT/`.
    pub fn start(root: PathBuf) -> Web {
        Web::start_asking(root, None)
    }

    /// The same, for clients with a certificate of the authority.
    pub fn start_asking(root: PathBuf, clients: Option<rustls_pki_types::CertificateDer<'static>>) -> Web {
        let (ca, chain, key) = chain();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority).unwrap();
                let verifier =
                    rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = config.with_single_cert(chain, key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let runtime = Apart::new();
        let listener = runtime.bind();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, root, counter) = (acceptor.clone(), root.clone(), counter.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper::service::service_fn(move |request| {
                        counter.fetch_add(1, Ordering::SeqCst);
                        answer(root.clone(), request)
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Web { _runtime: runtime, port, ca, requests }
    }

    /// What it takes.
    pub fn credentials(&self) -> Credentials {
        Credentials {
            username: "bob".into(),
            password: "secret".into(),
            ca: self.ca.clone(),
            ..Credentials::default()
        }
    }
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

async fn answer(
    root: PathBuf,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Body>, std::convert::Infallible> {
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_string()
    };
    let plain = |status: u16, location: &str| {
        let mut response = hyper::Response::builder().status(status);
        if !location.is_empty() {
            response = response.header("location", location);
        }
        Ok(response.body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap())
    };
    let (path, query) =
        (request.uri().path().to_string(), request.uri().query().unwrap_or_default().to_string());
    if let Some(rest) = path.strip_prefix("/moved/") {
        return plain(301, &format!("/{rest}?{query}"));
    }
    if header("authorization") != AUTHORIZATION {
        return plain(401, "");
    }
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &path)
        .env("QUERY_STRING", &query)
        .env("REQUEST_METHOD", request.method().as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut child = command.env("CONTENT_LENGTH", body.len().to_string()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::spawn(async move {
        let _ = stdin.write_all(&body).await;
    });
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut response = hyper::Response::builder();
    loop {
        let mut line = String::new();
        output.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            name => response.header(name, value),
        };
    }
    Ok(response.body(streamed(child, output)).unwrap())
}

/// What a program still prints, a piece at a time: it may be gigabytes. The program ends with its reader.
fn streamed(child: tokio::process::Child, output: BufReader<ChildStdout>) -> Body {
    let pieces = futures_util::stream::unfold((child, output), |(mut child, mut output)| async {
        let mut piece = vec![0; 64 << 10];
        match output.read(&mut piece).await {
            Ok(0) => {
                let _ = child.wait().await;
                None
            }
            Ok(count) => {
                piece.truncate(count);
                Some((Ok(Frame::data(piece.into())), (child, output)))
            }
            Err(error) => Some((Err(error), (child, output))),
        }
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// An ssh server that runs `git upload-pack` for one key.
#[derive(Clone)]
struct Shell {
    allowed: PublicKey,
    protocol: String,
    channel: Arc<Mutex<Option<Channel<Msg>>>>,
}

impl russh::server::Server for Shell {
    type Handler = Shell;
    fn new_client(&mut self, _: Option<std::net::SocketAddr>) -> Shell {
        Shell { channel: Arc::default(), ..self.clone() }
    }
}

impl russh::server::Handler for Shell {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: russh::server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let known = user == "git" && key.public_key.key_data() == self.allowed.key_data();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }
    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        *self.channel.lock().unwrap() = Some(channel);
        reply.accept().await;
        Ok(())
    }
    async fn env_request(
        &mut self,
        _: ChannelId,
        name: &str,
        value: &str,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if name == "GIT_PROTOCOL" {
            self.protocol = value.into();
        }
        Ok(())
    }
    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        let command = String::from_utf8_lossy(data).into_owned();
        let path = command.strip_prefix("git-upload-pack '").unwrap().strip_suffix('\'').unwrap().to_string();
        let mut child = tokio::process::Command::new("git")
            .args(["upload-pack", &path])
            .env("GIT_PROTOCOL", &self.protocol)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let channel = self.channel.lock().unwrap().take().unwrap();
        let (mut read, mut write) = tokio::io::split(channel.into_stream());
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut read, &mut stdin).await;
        });
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut stdout, &mut write).await;
            let _ = write.shutdown().await;
            let _ = child.wait().await;
        });
        Ok(())
    }
}

pub fn key() -> (String, PrivateKey) {
    let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let key = russh::keys::decode_secret_key(&pem, None).unwrap();
    (pem, key)
}

/// An ssh server in front of `git upload-pack`.
pub struct Ssh {
    _runtime: Apart,
    pub port: u16,
    credentials: Credentials,
}

impl Ssh {
    pub fn start() -> Ssh {
        let ((_, host), (pem, client)) = (key(), key());
        let runtime = Apart::new();
        let listener = runtime.bind();
        let port = listener.local_addr().unwrap().port();
        let known_hosts = format!("[127.0.0.1]:{port} {}\n", host.public_key().to_openssh().unwrap());
        let config = Arc::new(russh::server::Config {
            keys: vec![host],
            auth_rejection_time: std::time::Duration::ZERO,
            ..Default::default()
        });
        let mut shell =
            Shell { allowed: client.public_key().clone(), protocol: String::new(), channel: Arc::default() };
        runtime.spawn(async move {
            let _ = shell.run_on_socket(config, &listener).await;
        });
        let credentials = Credentials { ssh_key: pem, known_hosts, ..Credentials::default() };
        Ssh { _runtime: runtime, port, credentials }
    }

    /// What it takes.
    pub fn credentials(&self) -> Credentials {
        self.credentials.clone()
    }
}
