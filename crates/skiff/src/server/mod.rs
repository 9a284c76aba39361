//! `skiff server`: the roles of a cluster in one process, started in the order in which they need each other.
//!
//! Invariant: nothing is lost by a stop at any point. The store is closed last; containers are not stopped at all, since
//! they outlive the daemon (D7).

mod address;
mod kubeconfig;

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::{Clock, Tasks};
use jiff::Timestamp;
use store::{Sqlite, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Server;
use crate::roles::{Report, Roles, State};

/// Kubernetes' version that is served.
pub const KUBERNETES: &str = "v1.36.3";
/// How often certificates are looked at; each is renewed after two thirds of its life.
const RENEWAL: Duration = Duration::from_secs(12 * 3600);

/// Runs until SIGTERM or SIGINT.
pub fn run(config: Server) -> Result<ExitCode> {
    let _lock = lock(&config.data_dir)?;
    make_private(&config.run_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4)))
        .thread_name("skiff")
        .thread_keep_alive(Duration::from_secs(5))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let done = runtime.block_on(serve(config));
    runtime.shutdown_timeout(Duration::from_secs(5));
    done.map(|()| ExitCode::SUCCESS)
}

/// Where `net` keeps its leases and its network namespaces.
pub fn network_folders(data: &Path, run: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    (data.join("node/network"), run.join("netns"))
}

/// One server a data directory: the lock is the process' as long as the file is open.
fn lock(data: &Path) -> Result<File> {
    make_private(data)?;
    let path = data.join("skiff.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => bail!(
            "a skiff server already uses {}; stop it, or give this one another --data-dir",
            data.display()
        ),
        Err(std::fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))
}

/// The trusted clock never reads below the build, or below the last write to the database (D12).
fn clock(database: &Path) -> Clock {
    let built = Timestamp::from_second(crate::BUILT).unwrap_or(Timestamp::UNIX_EPOCH);
    let clock = Clock::system(built);
    for suffix in ["", "-wal"] {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        let written = std::fs::metadata(path).and_then(|file| file.modified()).ok();
        if let Some(seen) = written.and_then(|time| Timestamp::try_from(time).ok()) {
            clock.observe(seen);
        }
    }
    clock
}

async fn serve(config: Server) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let paths = base::paths::Paths::new(&config.data_dir, &config.run_dir);
    let clock = clock(&paths.database());
    let node_ip = address::node(&config)?;
    let listen = SocketAddr::new(config.bind_address, config.port);
    let listener = TcpListener::bind(listen).await.with_context(|| {
        format!("cannot listen on {listen}: stop what does (ss -ltnp shows it), or choose another --https-listen-port")
    })?;
    let roles = Roles::new(Report {
        version: crate::VERSION.into(),
        kubernetes: KUBERNETES.into(),
        pid: std::process::id(),
        node: config.node_name.clone(),
        data_dir: config.data_dir.display().to_string(),
        started: Timestamp::now(),
        address: format!("https://{}:{}", node_ip, config.port),
        roles: Vec::new(),
    });
    let tasks = Tasks::new();
    let (status, run_dir) = (roles.clone(), config.run_dir.clone());
    tasks.spawn("status", async move {
        if let Err(error) = status.serve(&run_dir).await {
            tracing::error!(
                error = format!("{error:#}"),
                "the status socket failed; skiff status will not answer"
            );
        }
    });

    roles.set("store", State::Starting, "", "");
    let database = paths.database();
    let opened = tokio::task::spawn_blocking(move || Sqlite::open(&database, Default::default()));
    let store: Arc<dyn Store> = Arc::new(opened.await?.context("cannot open the store")?);
    roles.up("store");

    let started = start(&config, &paths, &clock, node_ip, listener, store.clone(), &roles, &tasks).await;
    if started.is_ok() {
        tracing::info!(version = crate::VERSION, node = config.node_name, %listen, "skiff is up");
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping; containers run on"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping; containers run on"),
        }
    }
    if tokio::time::timeout(Duration::from_secs(10), tasks.stop()).await.is_err() {
        tracing::warn!("some tasks did not stop in ten seconds");
    }
    store.close().await;
    let _socket = std::fs::remove_file(config.run_dir.join("skiff.sock"));
    started
}

/// Starts the roles, the API first.
async fn start(
    config: &Server,
    paths: &base::paths::Paths,
    clock: &Clock,
    node_ip: std::net::IpAddr,
    listener: TcpListener,
    store: Arc<dyn Store>,
    roles: &Roles,
    tasks: &Tasks,
) -> Result<()> {
    roles.set("api", State::Starting, "", "");
    let pki = Arc::new(pki::Pki::open(&paths.tls(), clock)?);
    let advertise = SocketAddr::new(config.advertise_address.unwrap_or(node_ip), config.port);
    let mut settings = apiserver::Config::new(advertise, pki.service_account.clone());
    settings.service_cidrs = vec![config.service_cidr];
    settings.node_ports = config.node_ports.clone();
    settings.cluster_domain = config.cluster_domain.clone();
    settings.client_ca = Some(pki.client.pem());
    apiserver_arguments(&mut settings, config)?;
    let serving = serving(config, &settings, paths, &pki, clock, node_ip, tasks)?;
    let tls = pki.server_config(serving)?;
    let dialer = Arc::new(NoNode);
    let server = apiserver::Server::start(settings, store, dialer, clock.clone(), tasks).await?;
    tasks.spawn("api", server.serve(listener, tls));
    kubeconfig::write(config, paths, &pki, clock)?;
    roles.up("api");
    Ok(())
}

/// The API's certificate, renewed live and early.
fn serving(
    config: &Server,
    settings: &apiserver::Config,
    paths: &base::paths::Paths,
    pki: &Arc<pki::Pki>,
    clock: &Clock,
    node_ip: std::net::IpAddr,
    tasks: &Tasks,
) -> Result<Arc<pki::Serving>> {
    let mut names: Vec<String> = vec!["localhost".into(), "127.0.0.1".into(), node_ip.to_string()];
    let domain = &config.cluster_domain;
    names.extend(["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(String::from));
    names.push(format!("kubernetes.default.svc.{domain}"));
    names.push(settings.kubernetes_ip().to_string());
    names.push(config.node_name.clone());
    names.extend(config.advertise_address.iter().chain(&config.node_external_ip).map(ToString::to_string));
    names.extend(config.tls_san.iter().cloned());
    names.sort();
    names.dedup();
    let request =
        pki::Request { common_name: "skiff".into(), organization: None, names, purpose: pki::Purpose::Serve };
    let tls = paths.tls();
    let serving = pki::Serving::new(&pki.server.keep(&tls, "serving", &request, clock)?)?;
    let (renewed, pki, clock) = (serving.clone(), pki.clone(), clock.clone());
    tasks.spawn("certificates", async move {
        loop {
            tokio::time::sleep(RENEWAL).await;
            let kept = pki.server.keep(&tls, "serving", &request, &clock);
            if let Err(error) = kept.and_then(|issued| renewed.replace(&issued)) {
                tracing::error!(error = %base::chain(&error), "the API's certificate could not be renewed");
            }
        }
    });
    Ok(serving)
}

/// `--kube-apiserver-arg`, by upstream's names.
fn apiserver_arguments(settings: &mut apiserver::Config, config: &Server) -> Result<()> {
    for (name, value) in &config.apiserver_args {
        let bad = || format!("--kube-apiserver-arg={name}={value}");
        match name.as_str() {
            "anonymous-auth" => settings.anonymous = value.parse().with_context(bad)?,
            "event-ttl" => {
                let hours = value.strip_suffix("h0m0s").or_else(|| value.strip_suffix('h'));
                let hours: u32 = hours
                    .unwrap_or("")
                    .parse()
                    .with_context(|| format!("{}: hours are needed, such as 1h", bad()))?;
                settings.limits.event_ttl = hours * 3600;
            }
            "max-requests-inflight" => settings.limits.in_flight = value.parse().with_context(bad)?,
            "runtime-config" => {
                for part in value.split(',') {
                    let (group, on) = part.split_once('=').unwrap_or((part, "true"));
                    settings.runtime_config.push((group.into(), on.parse().with_context(bad)?));
                }
            }
            "service-account-issuer" => {
                settings.issuer = value.clone();
                settings.audiences = vec![value.clone()];
            }
            _ => bail!(
                "{}: known are anonymous-auth, event-ttl, max-requests-inflight, runtime-config and \
                 service-account-issuer",
                bad()
            ),
        }
    }
    Ok(())
}

/// Without a kubelet in this process there is no node to reach.
struct NoNode;

#[async_trait::async_trait]
impl apiserver::NodeDialer for NoNode {
    async fn connect(&self, node: &str) -> std::io::Result<Box<dyn apiserver::node::Stream>> {
        let text = format!("node {node} is not reachable: this server runs with --disable-agent");
        Err(std::io::Error::new(std::io::ErrorKind::NotConnected, text))
    }
}
