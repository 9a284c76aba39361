//! `skiff fleet`: what Git says that a cluster should run, seen and asked for from the command line. Works with any
//! cluster that a kubeconfig names; `agent` runs the engine beside one.

mod act;
pub mod agent;
mod handover;
mod helm;
mod install;
mod render;
mod show;
mod tarball;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use fleet::cluster::Cluster;
use serde::{Deserialize, Serialize};

use super::Output;

/// Work with what Git says this cluster should run
#[derive(Subcommand, Debug)]
pub enum Command {
    /// List applications: Argo CD's Applications, Flux' GitRepositories and Kustomizations
    Status(show::Status),
    /// Show what a sync would do, without doing it
    Plan(show::Plan),
    /// Show what a sync would change, line by line, without doing it
    Diff(show::Plan),
    /// Show an application's objects and what controllers made of them
    Tree(show::One),
    /// Show an application's syncs
    History(show::One),
    /// Sync an application now
    Sync(act::Sync),
    /// Stop following Git; what is there stays
    Suspend(act::Named),
    /// Follow Git again
    Resume(act::Named),
    /// Say "not now": changes wait, for a few days at the most
    Postpone(act::Postpone),
    /// Go back to an earlier sync of an Application
    Rollback(act::Rollback),
    /// Keep a cluster in step with Git from here, or print what installs that
    Agent(agent::Agent),
    /// Make ours what Argo CD or Flux made here, once their controllers are scaled down; no pod restarts
    Takeover(handover::Takeover),
    /// Give what is ours back to Argo CD or Flux; no pod restarts
    Handback(handover::Handback),
    /// Render manifests as the engine would, and print them
    #[command(
        subcommand,
        after_help = "Examples:\n  skiff fleet render kustomize overlays/site\n  skiff fleet render helm charts/shop -f site.yaml"
    )]
    Render(render::Render),
}

/// Which cluster.
#[derive(Args, Debug, Clone, Serialize, Deserialize)]
pub struct Reach {
    /// The cluster's kubeconfig; without it, skiff's own if it is there, else the cluster that this runs in
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Reach {
    async fn client(&self) -> Result<kube::Client> {
        let own = PathBuf::from(crate::config::KUBECONFIG);
        let file = self.kubeconfig.clone().or_else(|| own.exists().then_some(own));
        let config = match file {
            Some(file) => {
                let read = kube::config::Kubeconfig::read_from(&file)
                    .with_context(|| format!("cannot read the kubeconfig {}", file.display()))?;
                let options =
                    kube::config::KubeConfigOptions { context: self.context.clone(), ..Default::default() };
                kube::Config::from_custom_kubeconfig(read, &options)
                    .await
                    .with_context(|| format!("cannot use the kubeconfig {}", file.display()))?
            }
            None => kube::Config::incluster()
                .context("no kubeconfig: give --kubeconfig, or run this on a server or in a cluster")?,
        };
        fleet::connect::client(config).context("cannot make a client")
    }

    async fn cluster(&self) -> Result<Cluster> {
        Ok(Cluster::new(self.client().await?))
    }
}

pub fn run(command: &Command) -> Result<ExitCode> {
    if let Command::Render(command) = command {
        return render::run(command);
    }
    if let Command::Agent(agent) = command {
        match &agent.part {
            Some(agent::Part::Manifests(shape)) => return install::manifests(shape),
            Some(agent::Part::Install(args)) => return install::run(args),
            Some(agent::Part::Image(args)) => return install::image(args),
            None => return agent::start(agent),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Status(args) => show::status(args).await,
            Command::Plan(args) => show::plan(args, false).await,
            Command::Diff(args) => show::plan(args, true).await,
            Command::Tree(args) => show::tree(args).await,
            Command::History(args) => show::history(args).await,
            Command::Sync(args) => act::sync(args).await,
            Command::Suspend(args) => act::hold(args, true).await,
            Command::Resume(args) => act::hold(args, false).await,
            Command::Postpone(args) => act::postpone(args).await,
            Command::Rollback(args) => act::rollback(args).await,
            Command::Takeover(args) => handover::take_over(args).await,
            Command::Handback(args) => handover::hand_back(args).await,
            Command::Render(_) | Command::Agent(_) => unreachable!("because it was carried out above"),
        }
    })
}
