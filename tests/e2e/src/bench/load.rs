//! Load on an API server: connections over TLS that each send the next request when the last is answered, for five seconds. It
//! runs in a process of its own, the same for skiff and the reference, on the machine of the server: both share its cores.
//!
//! Requests are HTTP/1.1 and bodies JSON, made before the clock starts as far as they can be; an answer's body is read and not
//! parsed. Any status but the wanted one ends the run: figures with failures in them compare nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kube::client::ConfigExt;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use super::{Bench, Row, percentile, with};

const LASTS: Duration = Duration::from_secs(5);
const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Durable creates of ConfigMaps of 1 KB
    Creates,
    /// Reads of one such ConfigMap
    Gets,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Creates => "creates",
            Kind::Gets => "gets",
        }
    }

    fn connections(self) -> usize {
        match self {
            Kind::Creates => 64,
            Kind::Gets => 32,
        }
    }
}

/// What a load came to.
pub struct Figures {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

impl Figures {
    /// How a child tells them to its parent.
    pub fn to_line(&self) -> Value {
        json!([self.per_second, self.p50.as_secs_f64(), self.p99.as_secs_f64()])
    }

    fn from_line(line: &str) -> Result<Figures> {
        let [per_second, p50, p99]: [f64; 3] = serde_json::from_str(line)?;
        Ok(Figures { per_second, p50: Duration::from_secs_f64(p50), p99: Duration::from_secs_f64(p99) })
    }
}

/// Measures skiff, and tells the ratio to the reference.
pub async fn measure(bench: &Bench<'_>, kind: Kind) -> Result<Vec<Row>> {
    let reference = match kind {
        Kind::Creates => &bench.reference.creates,
        Kind::Gets => &bench.reference.gets,
    };
    with(bench.machine(kind.name())?, |running| async move {
        let figures = in_child(kind, &running.kubeconfig)?;
        let beside = match reference {
            Some(reference) => format!(
                "{:.1}× the reference's {:.0}/s (p99 {:.1} ms)",
                figures.per_second / reference.per_second,
                reference.per_second,
                reference.p99.as_secs_f64() * 1e3
            ),
            None => "no reference given".into(),
        };
        let measured = format!(
            "{:.0}/s, p50 {:.1} ms, p99 {:.1} ms; {beside}",
            figures.per_second,
            figures.p50.as_secs_f64() * 1e3,
            figures.p99.as_secs_f64() * 1e3
        );
        Ok(vec![match kind {
            Kind::Creates => Row::new(
                "durable creates of 1 KB, 64 clients, TLS",
                measured,
                "10×",
                "1,839/s (kine), 2,015/s (etcd)",
            ),
            Kind::Gets => Row::new("GET of one object, 32 connections, TLS", measured, "15×", "4,257/s"),
        }])
    })
    .await
}

/// Runs this program once more, for the load alone.
pub fn in_child(kind: Kind, kubeconfig: &Path) -> Result<Figures> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--load", kind.name(), "--kubeconfig"])
        .arg(kubeconfig)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the load")?;
    if !output.status.success() {
        bail!("the load failed ({})", output.status);
    }
    Figures::from_line(String::from_utf8_lossy(&output.stdout).trim())
}

/// Connects everything, then sends for five seconds.
pub async fn run(kind: Kind, kubeconfig: &Path) -> Result<Figures> {
    let target = Arc::new(Target::of(kubeconfig).await?);
    // Names differ between runs on one server.
    let run = std::process::id();
    let only = format!("bench-{run}");
    if kind == Kind::Gets {
        let mut sender = target.connect().await?;
        send(&mut sender, target.create(&only)?, StatusCode::CREATED).await?;
    }
    let begin = Arc::new(Barrier::new(kind.connections()));
    let mut tasks = Vec::new();
    for connection in 0..kind.connections() {
        let (target, begin, only) = (target.clone(), begin.clone(), only.clone());
        let mut sender = target.connect().await?;
        tasks.push(tokio::spawn(async move {
            begin.wait().await;
            let (since, mut times) = (Instant::now(), Vec::new());
            while since.elapsed() < LASTS {
                let (request, wanted) = match kind {
                    Kind::Creates => {
                        let name = format!("bench-{run}-{connection}-{}", times.len());
                        (target.create(&name)?, StatusCode::CREATED)
                    }
                    Kind::Gets => (target.get(&only)?, StatusCode::OK),
                };
                let sent = Instant::now();
                send(&mut sender, request, wanted).await?;
                times.push(sent.elapsed());
            }
            anyhow::Ok((times, since.elapsed()))
        }));
    }
    let (mut times, mut lasted) = (Vec::new(), LASTS);
    for task in tasks {
        let (more, until) = task.await??;
        times.extend(more);
        lasted = lasted.max(until);
    }
    Ok(Figures {
        per_second: times.len() as f64 / lasted.as_secs_f64(),
        p50: percentile(&mut times, 0.5),
        p99: percentile(&mut times, 0.99),
    })
}

type Sender = SendRequest<Full<Bytes>>;

async fn send(sender: &mut Sender, request: Request<Full<Bytes>>, wanted: StatusCode) -> Result<()> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    if status != wanted {
        let text = body.collect().await?.to_bytes();
        bail!("the server answered {status}: {}", String::from_utf8_lossy(&text));
    }
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

/// A server, and who we are to it.
struct Target {
    address: String,
    host: String,
    token: Option<String>,
    tls: tokio_rustls::TlsConnector,
    filling: String,
}

impl Target {
    async fn of(kubeconfig: &Path) -> Result<Target> {
        let text = std::fs::read_to_string(kubeconfig)
            .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        let read = kube::config::Kubeconfig::from_yaml(&text)?;
        let config = kube::Config::from_custom_kubeconfig(read, &Default::default()).await?;
        // Its authority, client certificate or leave to trust anybody.
        let mut tls = config.rustls_client_config()?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let host = config.cluster_url.host().context("the kubeconfig's server has no host")?.to_owned();
        let port = config.cluster_url.port_u16().unwrap_or(443);
        let value: Value = serde_saphyr::from_str(&text)?;
        let token = value["users"][0]["user"]["token"].as_str().map(|token| format!("Bearer {token}"));
        Ok(Target {
            address: format!("{host}:{port}"),
            host,
            token,
            tls: Arc::new(tls).into(),
            filling: "x".repeat(1000),
        })
    }

    async fn connect(&self) -> Result<Sender> {
        let stream = TcpStream::connect(&self.address)
            .await
            .with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned())?;
        let stream = self.tls.connect(name, stream).await.context("no TLS")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, method: Method, path: &str, body: String) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        Ok(request.body(Full::new(body.into()))?)
    }

    fn create(&self, name: &str) -> Result<Request<Full<Bytes>>> {
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"filling":"{}"}}}}"#,
            self.filling
        );
        self.request(Method::POST, CONFIGMAPS, body)
    }

    fn get(&self, name: &str) -> Result<Request<Full<Bytes>>> {
        self.request(Method::GET, &format!("{CONFIGMAPS}/{name}"), String::new())
    }
}
