//! Sources over https, ssh and as local paths, against real git: `git http-backend` behind a web server with TLS of its
//! own CA, and `git upload-pack` behind an ssh server. git is used here only; skiff runs none.

#![allow(clippy::unwrap_used)] // helpers of tests, outside of test functions

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fleet::git::{Outcome, obtain};
use fleet::source::{Credentials, Fetch};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, Msg, Server as _, Session};
use russh::{Channel, ChannelId};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

/// A repository with a commit, and a folder for what is fetched.
struct Fixture {
    directory: tempfile::TempDir,
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(at)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .output()
        .expect("these tests need the program git");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

impl Fixture {
    fn new() -> Fixture {
        let fixture = Fixture { directory: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(fixture.work()).unwrap();
        git(&fixture.work(), &["init", "-q"]);
        fixture.commit("one");
        fixture
    }
    fn work(&self) -> PathBuf {
        self.directory.path().join("srv/repo")
    }
    fn commit(&self, text: &str) -> String {
        std::fs::write(self.work().join("a.yaml"), text).unwrap();
        git(&self.work(), &["add", "-A"]);
        git(&self.work(), &["commit", "-q", "-m", text]);
        git(&self.work(), &["rev-parse", "HEAD"])
    }
    fn request(&self, url: &str, revision: &str) -> Fetch {
        Fetch {
            url: url.into(),
            revision: revision.into(),
            credentials: Credentials::default(),
            repository: self.directory.path().join("clone"),
            known: None,
        }
    }
}

/// The commit and the text of `a.yaml`.
fn fetched(request: &Fetch) -> Result<(String, String), String> {
    match obtain(request).map_err(|error| error.to_string())? {
        Outcome::Unchanged(revision) => Ok((revision, "unchanged".into())),
        Outcome::Commit(commit) => {
            let tree = render::Tree::new(commit.tree.expect("a commit has a tree"));
            Ok((commit.revision, tree.text("", "a.yaml").unwrap()))
        }
    }
}

/// What every kind of source must do.
fn contract(fixture: &Fixture, url: &str, change: impl Fn(&mut Fetch)) {
    let ask = |revision: &str, known: Option<&str>| {
        let mut request = fixture.request(url, revision);
        change(&mut request);
        request.known = known.map(Into::into);
        fetched(&request)
    };
    let first = git(&fixture.work(), &["rev-parse", "HEAD"]);
    git(&fixture.work(), &["tag", "light"]);
    git(&fixture.work(), &["tag", "-a", "-m", "x", "heavy"]);
    assert_eq!(ask("main", None).unwrap(), (first.clone(), "one".into()));
    assert_eq!(ask("", None).unwrap().0, first);
    assert_eq!(ask("main", Some(&first)).unwrap().1, "unchanged");
    let second = fixture.commit("two");
    assert_eq!(ask("main", Some(&first)).unwrap(), (second.clone(), "two".into()));
    for tag in ["light", "heavy", "refs/tags/heavy", &first] {
        assert_eq!(ask(tag, None).unwrap(), (first.clone(), "one".into()), "{tag}");
    }
    // A rewritten history is followed.
    git(&fixture.work(), &["reset", "-q", "--hard", &first]);
    let other = fixture.commit("three");
    assert_eq!(ask("main", Some(&second)).unwrap(), (other, "three".into()));
    // A range of versions is the highest tag in it.
    let first = ask("light", None).unwrap().0;
    git(&fixture.work(), &["tag", "v1.2.0", &first]);
    git(&fixture.work(), &["tag", "-a", "-m", "x", "v1.3.0", "HEAD"]);
    let head = git(&fixture.work(), &["rev-parse", "HEAD"]);
    assert_eq!(ask("semver:1.x", None).unwrap(), (head.clone(), "three".into()));
    assert_eq!(ask("semver:1.x", Some(&head)).unwrap().1, "unchanged");
    assert_eq!(ask("semver:~1.2.0", None).unwrap(), (first, "one".into()));
    assert!(ask("semver:>=2", None).is_err());
    let error = ask("nowhere", None).unwrap_err();
    assert!(error.contains("unable to resolve 'nowhere'"), "{error}");
}

#[test]
fn local_paths_are_read_where_they_are() {
    let fixture = Fixture::new();
    contract(&fixture, fixture.work().to_str().unwrap(), |_| {});
    assert!(!fixture.directory.path().join("clone").exists());
    let error = fetched(&fixture.request("/nowhere/at/all", "main")).unwrap_err();
    assert!(error.contains("cannot open the repository"), "{error}");
}

/// A web server with TLS in front of `git http-backend`.
struct Web {
    runtime: Runtime,
    port: u16,
    ca: String,
    requests: Arc<AtomicUsize>,
}

const AUTHORIZATION: &str = "Basic Ym9iOnNlY3JldA==";

impl Web {
    fn start(root: PathBuf) -> Web {
        let runtime = Runtime::new().unwrap();
        let key = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        let ca = key.cert.pem();
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![key.cert.der().clone()],
                    rustls_pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap(),
                )
                .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
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
        Web { runtime, port, ca, requests }
    }
}

async fn answer(
    root: PathBuf,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, std::convert::Infallible> {
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_string()
    };
    let plain = |status: u16, location: &str| {
        let mut response = hyper::Response::builder().status(status);
        if !location.is_empty() {
            response = response.header("location", location);
        }
        Ok(response.body(Full::default()).unwrap())
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
        .stdout(Stdio::piped());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut child = command.env("CONTENT_LENGTH", body.len().to_string()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::spawn(async move {
        let _ = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await.unwrap().stdout;
    let split = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = hyper::Response::builder();
    for line in String::from_utf8_lossy(&output[..split]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            name => response.header(name, value),
        };
    }
    Ok(response.body(Full::new(Bytes::copy_from_slice(&output[split + 4..]))).unwrap())
}

#[test]
fn https_with_an_own_ca_and_credentials() {
    let fixture = Fixture::new();
    let web = Web::start(fixture.directory.path().join("srv"));
    let url = format!("https://localhost:{}/repo/.git", web.port);
    let known = |request: &mut Fetch| {
        request.credentials.username = "bob".into();
        request.credentials.password = "secret".into();
        request.credentials.ca = web.ca.clone();
    };
    contract(&fixture, &url, known);
    // Incremental fetches do not pile up for ever.
    for round in 0..20 {
        let commit = fixture.commit(&format!("round {round}"));
        let mut request = fixture.request(&url, "main");
        known(&mut request);
        assert_eq!(fetched(&request).unwrap().0, commit);
    }
    let packs = std::fs::read_dir(fixture.directory.path().join("clone/objects/pack")).unwrap().count();
    assert!(packs <= 36, "{packs} files in the pack folder");

    let moved = format!("https://localhost:{}/moved/repo/.git", web.port);
    let mut request = fixture.request(&moved, "main");
    known(&mut request);
    assert_eq!(fetched(&request).unwrap().1, "round 19");

    let before = web.requests.load(Ordering::SeqCst);
    let mut request = fixture.request(&url, "main");
    known(&mut request);
    request.known = Some(git(&fixture.work(), &["rev-parse", "HEAD"]));
    assert_eq!(fetched(&request).unwrap().1, "unchanged");
    assert_eq!(web.requests.load(Ordering::SeqCst) - before, 2, "a poll without news is two requests");

    let fails = |change: &dyn Fn(&mut Fetch), expected: &str| {
        let mut request = fixture.request(&url, "main");
        known(&mut request);
        change(&mut request);
        let error = fetched(&request).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    fails(&|request| request.credentials.password = "wrong".into(), "check user and password");
    fails(&|request| request.credentials.ca.clear(), "cannot be trusted");
    fails(&|request| request.url = url.replace("/repo", "/none"), "repository not found");
    fails(&|request| request.url = "https://localhost:1/x".into(), "cannot connect to localhost:1");
    drop(web.runtime);
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

fn key() -> (String, PrivateKey) {
    let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let key = russh::keys::decode_secret_key(&pem, None).unwrap();
    (pem, key)
}

#[test]
fn ssh_with_a_key_and_known_hosts() {
    let fixture = Fixture::new();
    let ((_, host), (pem, client), (stranger, _)) = (key(), key(), key());
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = format!("[127.0.0.1]:{port} {}\n", host.public_key().to_openssh().unwrap());
    let config = Arc::new(russh::server::Config {
        keys: vec![host],
        auth_rejection_time: std::time::Duration::ZERO,
        ..Default::default()
    });
    let mut shell =
        Shell { allowed: client.public_key().clone(), protocol: String::new(), channel: Arc::default() };
    runtime.spawn(async move { shell.run_on_socket(config, &listener).await });
    let url = format!("ssh://git@127.0.0.1:{port}{}", fixture.work().display());
    let known = |request: &mut Fetch| {
        request.credentials.ssh_key = pem.clone();
        request.credentials.known_hosts = line.clone();
    };
    contract(&fixture, &url, known);
    let fails = |change: &dyn Fn(&mut Fetch), expected: &str| {
        let mut request = fixture.request(&url, "main");
        known(&mut request);
        change(&mut request);
        let error = fetched(&request).unwrap_err();
        assert!(error.contains(expected), "{error}");
    };
    fails(&|request| request.credentials.ssh_key = stranger.clone(), "refused the ssh key");
    fails(&|request| request.credentials.known_hosts.clear(), "not among the known hosts");
    fails(&|request| request.credentials.ssh_key.clear(), "sshPrivateKey");
}
