//! `cargo xtask bench`: measures a release build against the budgets of the design and prints figures; it asserts nothing.

use anyhow::{Result, bail};

use crate::run;

/// Measure a release build and print each figure beside its budget
#[derive(clap::Args)]
pub struct Args {
    /// Measure only what has this in its name
    filter: Option<String>,
    /// Build with this profile instead of release (figures then are not comparable)
    #[arg(long, default_value = "release")]
    profile: String,
}

pub fn run(args: &Args) -> Result<()> {
    if !run::is_root() {
        bail!("the benchmark runs real pods: run it as root");
    }
    let folder = run::build(&args.profile, "bench")?;
    run::program(&folder, "bench", &args.filter)
}
