//! `skiff fleet agent manifests` and `skiff fleet agent image`: what runs the agent in a cluster.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::tarball;

/// `skiff fleet agent manifests`
#[derive(Args, Debug)]
pub struct Shape {
    /// The image that holds this program
    #[arg(long, default_value = tarball::NAME, value_name = "IMAGE")]
    image: String,
    /// Whose objects are followed: argocd, flux
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    front_ends: Vec<String>,
    /// Leave out the binding to cluster-admin: the agent then may apply only what ServiceAccounts named by
    /// Kustomizations, or roles that you bind to it, allow
    #[arg(long)]
    restricted: bool,
    /// Listen for webhooks behind a Service; an Ingress to it is yours to make
    #[arg(long)]
    webhooks: bool,
}

/// `skiff fleet agent install --print`, as `manifests` was called
#[derive(Args, Debug)]
pub struct Install {
    /// Print the manifests; nothing is ever applied by this command
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    shape: Shape,
}

/// `skiff fleet agent image`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  skiff fleet agent image -o skiff.tar\n  k3s ctr images import skiff.tar\n  docker load -i skiff.tar"
)]
pub struct Image {
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The image's name
    #[arg(long, default_value = tarball::NAME, value_name = "IMAGE")]
    name: String,
}

pub fn run(args: &Install) -> Result<ExitCode> {
    if !args.print {
        bail!("give --print, read what it says, and apply it with kubectl");
    }
    manifests(&args.shape)
}

pub fn manifests(args: &Shape) -> Result<ExitCode> {
    super::agent::known(&args.front_ends)?;
    let install = fleet::install::Install {
        image: args.image.clone(),
        front_ends: args.front_ends.clone(),
        restricted: args.restricted,
        webhooks: args.webhooks,
    };
    print!("{}", install.manifests());
    Ok(ExitCode::SUCCESS)
}

pub fn image(args: &Image) -> Result<ExitCode> {
    let program = std::fs::read("/proc/self/exe").context("cannot read this program")?;
    if tarball::needs_libraries(&program) {
        bail!(
            "this build needs the machine's C library, which an image of it alone does not have; take a release"
        );
    }
    let file = std::fs::File::create(&args.output)
        .with_context(|| format!("cannot make {}", args.output.display()))?;
    tarball::write(&args.name, &program, file)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    println!("{} holds {}", args.output.display(), args.name);
    Ok(ExitCode::SUCCESS)
}
