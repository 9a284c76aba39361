//! `skiff server`: the roles of a cluster in one process, started in the order in which they need each other.
//!
//! Invariant: nothing is lost by a stop at any point. The store is closed last; containers are not stopped at all, since
//! they outlive the daemon (D7).

mod access;
mod address;
mod api;
mod arguments;
mod certificates;
mod control;
mod dialer;
mod dns;
pub mod encryption;
mod kubeconfig;
mod leader;
mod node;
mod peer;
mod reload;
pub mod shared;
mod token;

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base::{Clock, Tasks};
use jiff::Timestamp;
use store::{Sqlite, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Server;
use crate::roles::{Report, Roles, State};

/// Kubernetes' version that is served.
pub const KUBERNETES: &str = "v1.36.3";

/// The cgroup that all pods are below, unless `--kubelet-arg=cgroup-root` names another.
pub const CGROUP: &str = "skiff";
/// After a start or much work, before its pages are given back.
const QUIET: Duration = Duration::from_secs(30);

/// What every role is given.
#[derive(Clone)]
struct Host {
    config: Server,
    paths: base::paths::Paths,
    clock: Clock,
    node_ip: IpAddr,
    roles: Roles,
    tasks: Tasks,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(config: Server) -> Result<ExitCode> {
    if config.agent && !nix::unistd::geteuid().is_root() {
        bail!(
            "skiff makes namespaces, cgroups and nftables rules: run it as root (only --disable-agent needs none)"
        );
    }
    let _lock = lock(&config.data_dir)?;
    make_private(&config.data_dir.join("server"))?;
    make_private(&config.run_dir)?;
    raise_file_limit();
    crate::rest::by_small_pages();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4)))
        .thread_name("skiff")
        .thread_keep_alive(Duration::from_secs(5))
        .on_thread_park(crate::rest::one_parked)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let done = runtime.block_on(serve(config));
    runtime.shutdown_timeout(Duration::from_secs(5));
    done.map(|()| ExitCode::SUCCESS)
}

/// Takes as many file descriptors as the machine allows: started by hand there are 1,024, fewer than connections that are
/// served. Go's programs do the same.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Where `net` keeps its leases and its network namespaces.
pub fn network_folders(data: &Path, run: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    (data.join("node/network"), run.join("netns"))
}

/// One server a data directory: the lock is the process' as long as the file is open.
pub fn lock(data: &Path) -> Result<File> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
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

/// Makes a folder that only root enters: it holds Secrets, keys and sockets.
fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let make = || {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
    };
    make().with_context(|| format!("cannot make {} for root alone", folder.display()))
}

/// A database without a byte, beside the keys of a cluster, lost what it held: it is older than the keys. SQLite would take it
/// for a new one.
fn not_emptied(database: &Path, keys: &Path) -> Result<()> {
    let written = std::fs::read_dir(keys).is_ok_and(|mut files| files.next().is_some());
    if written && std::fs::metadata(database).is_ok_and(|file| file.len() == 0) {
        bail!(
            "the database is damaged: {} is empty, and {} holds the keys of a cluster; restore a backup, or remove that file to \
             start with an empty one",
            database.display(),
            keys.display()
        );
    }
    Ok(())
}

/// A configuration file in YAML or JSON; of several documents the first.
pub fn document(path: &Path) -> Result<::api::Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents = ::api::yaml::parse(&text, ::api::yaml::Dialect::V2)
        .map_err(|error| anyhow::anyhow!("{}, line {}: {}", path.display(), error.line, error.text))?;
    documents.into_iter().next().with_context(|| format!("{} is empty", path.display()))
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
    let hangup = signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?;
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
    tasks.spawn("rest", crate::rest::keep(QUIET));
    let (status, run_dir) = (roles.clone(), config.run_dir.clone());
    tasks.spawn("status", async move {
        if let Err(error) = status.serve(&run_dir).await {
            tracing::error!(
                error = format!("{error:#}"),
                "the status socket failed; skiff status will not answer"
            );
        }
    });

    let host = Host { config, paths, clock, node_ip, roles, tasks };
    let store = open_store(&host).await?;
    let started = start(&host, listener, store.clone(), hangup).await;
    let Host { config, tasks, .. } = host;
    if let Ok(candidate) = &started {
        tracing::info!(version = crate::VERSION, node = config.node_name, %listen, "skiff is up");
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping; containers run on"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping; containers run on"),
        }
        if let Some(candidate) = candidate {
            candidate.leave().await;
        }
    }
    if tokio::time::timeout(Duration::from_secs(10), tasks.stop()).await.is_err() {
        tracing::warn!("some tasks did not stop in ten seconds");
    }
    store.close().await;
    let _socket = std::fs::remove_file(config.run_dir.join("skiff.sock"));
    started.map(drop)
}

/// The database under the data directory, or the etcd that was told.
async fn open_store(host: &Host) -> Result<Arc<dyn Store>> {
    let (config, roles) = (&host.config, &host.roles);
    roles.set("store", State::Starting, "", "");
    let (store, hint): (Arc<dyn Store>, _) = match &config.datastore {
        Some(options) => {
            let hint = format!(
                "is the etcd well? etcdctl --endpoints {} endpoint health",
                options.endpoints.join(",")
            );
            (shared::open(host, options.clone()).await?, hint)
        }
        None => {
            let database = host.paths.database();
            let marked = shared::mark(&config.data_dir);
            if marked.exists() {
                bail!(
                    "this server's objects are in an etcd ({}): give it --datastore-endpoint, or another --data-dir",
                    std::fs::read_to_string(&marked).unwrap_or_default().trim()
                );
            }
            not_emptied(&database, &host.paths.tls())?;
            let opened = tokio::task::spawn_blocking(move || Sqlite::open(&database, Default::default()));
            let hint = format!(
                "writes are refused until the next one succeeds, what was written is kept; look at the disk of {} (df)",
                config.data_dir.display()
            );
            (Arc::new(opened.await?.context("cannot open the store")?), hint)
        }
    };
    match &config.datastore {
        Some(options) => roles.set("store", State::Up, format!("etcd {}", options.endpoints.join(",")), ""),
        None => roles.up("store"),
    }
    let seen = store.clone();
    roles.look("store", move || Some((seen.trouble()?, hint.clone())));
    Ok(store)
}

/// Starts the roles, the API first. Of several servers one leads.
async fn start(
    host: &Host,
    listener: TcpListener,
    store: Arc<dyn Store>,
    hangup: Signal,
) -> Result<Option<leader::Candidate>> {
    // What the node needs of the machine does not wait for the API.
    let machine = async {
        match host.config.agent {
            true => node::Machine::open(host).await.map(Some),
            false => Ok(None),
        }
    };
    let pki = Arc::new(pki::Pki::open(&host.paths.tls(), &host.clock)?);
    token::keep(&host.config, &host.paths)?;
    let dialer = Arc::new(dialer::InProcess::new(&host.config.node_name));
    host.roles.set("api", State::Starting, "", "");
    let (started, machine) = tokio::join!(api::start(host, listener, store, &pki, dialer.clone()), machine);
    let api::Started { server, reload } = started?;
    host.tasks.spawn("reload", reload.run(hangup));
    kubeconfig::write(&host.config, &host.paths, &pki)?;
    host.roles.up("api");
    let candidate = match host.config.datastore {
        Some(_) => Some(leader::Candidate::start(host, &server, &pki)),
        None => {
            control::start(host, &server, &pki);
            None
        }
    };
    dns::service(host, &server);
    match machine? {
        Some(machine) => node::start(host, &server, machine, &dialer).await?,
        None => host.roles.set("kubelet", State::Disabled, "--disable-agent", ""),
    }
    Ok(candidate)
}
