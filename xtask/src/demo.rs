//! `cargo xtask demo`: builds skiff, then runs the demo program of `tests/e2e`.

use anyhow::{Result, bail};

use crate::run;

/// From a Git commit to running pods, in a network namespace of its own, offline
#[derive(clap::Args)]
pub struct Args {
    /// Leave everything running at the end and say what to try
    #[arg(long)]
    keep: bool,
}

pub fn run(args: &Args) -> Result<()> {
    if !run::is_root() {
        bail!("the demo makes namespaces, cgroups and overlay mounts: run it as root");
    }
    let folder = run::build("quick", "demo")?;
    run::program(&folder, "demo", args.keep.then_some("--keep"))
}
