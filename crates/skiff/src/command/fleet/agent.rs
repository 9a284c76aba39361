//! `skiff fleet agent`: the engine beside a cluster that is not ours. One of several agents leads at a time.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use fleet::{child, lease};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::Reach;
use super::install::{Image, Install, Shape};

/// `skiff fleet agent`
#[derive(Args, Debug, Serialize, Deserialize)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:\n  skiff fleet agent --kubeconfig /etc/rancher/k3s/k3s.yaml --front-ends argocd\n  skiff fleet agent manifests --front-ends flux | kubectl apply -f -"
)]
pub struct Agent {
    #[command(subcommand)]
    #[serde(skip)]
    pub part: Option<Part>,
    #[command(flatten)]
    reach: Reach,
    /// Where clones, last good manifests and inventories are kept
    #[arg(long, default_value = "/var/lib/skiff-fleet", value_name = "DIR")]
    data_dir: PathBuf,
    /// Whose objects are followed: argocd, flux
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    front_ends: Vec<String>,
    /// How often Git is asked, in place of the owner's interval
    #[arg(long, value_name = "SECONDS")]
    interval: Option<u64>,
    /// Bytes a month that Git may cost (500M, 2G); once they are used up, only what is asked for by hand is fetched
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    monthly_bytes: Option<u64>,
    /// Bytes of one commit of a source (500M, 2G); 0: any number. A gigabyte of the disk stays free in any case [default: 8G]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    source_bytes: Option<u64>,
    /// Listen there for webhooks (0.0.0.0:9292), so that a push is fetched at once; nothing needs them
    #[arg(long, value_name = "ADDRESS")]
    webhooks: Option<std::net::SocketAddr>,
    /// Serve metrics there (127.0.0.1:9293) at /metrics, to whoever asks
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<std::net::SocketAddr>,
    /// The name of this site in reports; the host's name without it
    #[arg(long, env = "SKIFF_SITE", value_name = "NAME")]
    site: Option<String>,
    /// The namespace of the lease by which one of several agents leads
    #[arg(long, default_value = fleet::install::NAMESPACE, value_name = "NAMESPACE")]
    lease_namespace: String,
}

#[derive(Subcommand, Debug)]
pub enum Part {
    /// Print the manifests that run the agent in a cluster
    Manifests(Shape),
    #[command(hide = true)]
    Install(Install),
    /// Write an image of this program as a tar, to load where the agent shall run
    Image(Image),
}

fn bytes(text: &str) -> Result<u64, String> {
    fleet::ledger::parse(text).ok_or_else(|| format!("{text} is no number of bytes; write 500M or 2G"))
}

/// After a turn or a renewal of the lease, before its pages are given back.
const QUIET: Duration = Duration::from_millis(500);

/// Refuses names that no front end has.
pub fn known(front_ends: &[String]) -> Result<()> {
    for name in front_ends {
        if !fleet::frontends::owners().any(|owner| owner == name) {
            bail!("--front-ends={name}: argocd and flux are known");
        }
    }
    Ok(())
}

/// Starts the agent as a program of its own, under the same process number: what reading a command line with hundreds of flags
/// touched of the program and left in the heap would stay with it for months.
pub fn start(args: &Agent) -> Result<ExitCode> {
    let said = serde_json::to_string(args)?;
    let error = Command::new("/proc/self/exe").arg0("skiff").args([crate::FLEET_AGENT, &said]).exec();
    // Without /proc it runs as it is.
    tracing::debug!(%error, "cannot start anew");
    resume(args)
}

/// [`start`], in the program that was started.
pub fn resumed(said: &str) -> Result<ExitCode> {
    resume(&serde_json::from_str(said).context("fleet-agent is started by `skiff fleet agent`")?)
}

fn resume(args: &Agent) -> Result<ExitCode> {
    crate::rest::by_small_pages();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().on_thread_park(crate::rest::parked).build()?.block_on(run(args))
}

async fn run(args: &Agent) -> Result<ExitCode> {
    crate::log::start(&Default::default())?;
    known(&args.front_ends)?;
    crate::heap::keep_nothing();
    let client = args.reach.client().await?;
    let cluster = fleet::cluster::Cluster::new(client.clone());
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let site = args.site.clone().unwrap_or_else(|| host.clone());
    std::fs::create_dir_all(&args.data_dir)
        .with_context(|| format!("cannot make {}", args.data_dir.display()))?;
    let tasks = base::Tasks::new();
    tasks.spawn("rest", crate::rest::keep(QUIET));
    let clock = base::Clock::system(jiff::Timestamp::from_second(crate::BUILT).unwrap_or_default());
    let identity = format!("{host}_{}", std::process::id());
    info!(identity, front_ends = args.front_ends.join(","), "waiting for the lease");
    let held = tokio::select! {
        held = lease::acquire(&cluster, &args.lease_namespace, &identity, &clock) => held,
        () = stopped() => return Ok(ExitCode::SUCCESS),
    };
    info!("leading");
    let config = fleet::Config {
        directory: args.data_dir.clone(),
        site: fleet::Site { name: site, ..Default::default() },
        child: child::Command {
            program: "/proc/self/exe".into(),
            arguments: vec![crate::FLEET_CHILD.into()],
        },
        interval: args.interval.map(Duration::from_secs),
        monthly_bytes: args.monthly_bytes,
        webhooks: args.webhooks,
        metrics: args.metrics,
        limits: fleet::source::Limits::with_source(args.source_bytes),
        front_ends: args.front_ends.clone(),
        ..fleet::Config::new(&args.data_dir)
    };
    let own = tasks.clone();
    tasks.spawn("fleet", async move { fleet::run(config, client, clock, own).await });
    let code = tokio::select! {
        () = stopped() => ExitCode::SUCCESS,
        text = held.lost() => {
            warn!("{text}: another agent leads now");
            ExitCode::FAILURE
        }
    };
    tasks.stop().await;
    if code == ExitCode::SUCCESS {
        held.release().await;
    }
    Ok(code)
}

/// SIGTERM or SIGINT.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
