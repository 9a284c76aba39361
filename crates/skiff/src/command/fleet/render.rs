//! `skiff fleet render`: what the engine would make of files, without a cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Subcommand;

use super::helm;

#[derive(Subcommand, Debug)]
pub enum Render {
    /// Print what `kustomize build DIR` prints
    #[command(
        after_help = "Examples:\n  skiff fleet render kustomize overlays/south/store-12 | kubectl diff -f -\n  skiff fleet render kustomize . > rendered.yaml"
    )]
    Kustomize {
        /// A directory with a kustomization.yaml
        dir: PathBuf,
    },
    /// Print what `helm template` prints
    Helm(Box<helm::Helm>),
}

pub fn run(command: &Render) -> Result<ExitCode> {
    let dir = match command {
        Render::Kustomize { dir } => dir,
        Render::Helm(args) => return helm::run(args),
    };
    let text = fleet::render_kustomize(dir).with_context(|| format!("cannot render {}", dir.display()))?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}
