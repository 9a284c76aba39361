//! `cargo xtask bench`: measures a release build against the budgets of the design and prints figures; it asserts nothing.

use anyhow::{Result, bail};

use crate::run;

/// Measure a release build and print each figure beside its budget
#[derive(clap::Args)]
pub struct Args {
    /// Measure only what has this in its name; `render`: Kustomize trees, by a program that needs no root
    filter: Option<String>,
    /// Build with this profile instead of release (figures then are not comparable)
    #[arg(long, default_value = "release")]
    profile: String,
}

pub fn run(args: &Args) -> Result<()> {
    if args.filter.as_deref() == Some("render") {
        // Needs no root and no cluster: a program of the crate itself.
        let words = ["run", "--profile", &args.profile, "-p", "render", "--example", "bench"];
        return run::step("measuring the renderer (KUSTOMIZE names upstream's program)", &mut run::cargo(&words));
    }
    if !run::is_root() {
        bail!("the benchmark runs real pods: run it as root");
    }
    let folder = run::build(&args.profile, "bench")?;
    run::program(&folder, "bench", &args.filter)
}
