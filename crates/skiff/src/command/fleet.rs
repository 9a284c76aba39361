//! `skiff fleet`: what can be asked of the fleet engine without a cluster.

mod helm;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;

/// Work with what Git says this cluster should run
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Render manifests as the engine would, and print them
    #[command(subcommand)]
    Render(Render),
}

#[derive(Subcommand, Debug)]
pub enum Render {
    /// Print what `kustomize build DIR` prints
    #[command(
        after_help = "Example:\n  skiff fleet render kustomize overlays/south/store-12 | kubectl diff -f -"
    )]
    Kustomize {
        /// A directory with a kustomization.yaml
        dir: PathBuf,
    },
    /// Print what `helm template` prints
    Helm(Box<helm::Helm>),
}

pub fn run(command: &Command) -> Result<ExitCode> {
    let Command::Render(render) = command;
    let dir = match render {
        Render::Kustomize { dir } => dir,
        Render::Helm(args) => return helm::run(args),
    };
    let text = fleet::render_kustomize(dir).with_context(|| format!("cannot render {}", dir.display()))?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}
