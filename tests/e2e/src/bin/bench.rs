//! The benchmark: what a server costs and how fast it is, each figure beside its budget and upstream's. It asserts nothing, and
//! a figure of a build that is not `release`, or of a machine that does other work, says so above the table.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use e2e::namespace;

#[path = "../bench/mod.rs"]
mod bench;

/// Measures skiff against its budgets
#[derive(Parser)]
struct Args {
    /// Measure only what has this in its name
    filter: Option<String>,
    /// Put one load on the server of a kubeconfig and print its figures: how the benchmark calls itself
    #[arg(long, hide = true, requires = "kubeconfig")]
    load: Option<bench::load::Kind>,
    #[arg(long, hide = true)]
    kubeconfig: Option<PathBuf>,
}

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> Result<()> {
    if let (Some(kind), Some(kubeconfig)) = (args.load, &args.kubeconfig) {
        let figures = tokio::runtime::Runtime::new()?.block_on(bench::load::run(kind, kubeconfig))?;
        println!("{}", figures.to_line());
        return Ok(());
    }
    let binary = PathBuf::from(
        std::env::var_os("SKIFF_BINARY").context("SKIFF_BINARY names no skiff: use cargo xtask bench")?,
    );
    let chosen = bench::choose(args.filter.as_deref())?;
    // The reference listens on the host's loopback, which is out of reach once this process is in its namespace.
    let reference = bench::Reference::measure(&chosen)?;
    namespace::enter(None)?;
    let done = bench::run(&binary, &chosen, &reference);
    namespace::end_all();
    done
}
