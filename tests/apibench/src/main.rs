//! `apibench`: measures the API server alone, beside upstream's in the same run. `cargo xtask bench api` builds and starts it.
//!
//! Server and load are this program again, each in a process of its own on the same cores. Figures are printed and never
//! judged: a run on a busy machine tells nothing but ratios.

mod load;
mod measures;
mod serve;
mod servers;
mod table;
mod usage;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;

use measures::{ALL, Bench};
use servers::Which;

/// What skiff runs on.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measure the API server alone, beside upstream's
#[derive(Parser)]
#[command(name = "apibench")]
enum Cli {
    Run(Run),
    /// Serve until SIGTERM
    Serve {
        folder: PathBuf,
        address: String,
        /// Where to tell how it is reached
        #[arg(long)]
        tell: PathBuf,
    },
    /// Put a load on a server and print its figures
    Load {
        load: load::Load,
        #[arg(long)]
        target: PathBuf,
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        #[command(flatten)]
        audience: load::Audience,
    },
}

/// Measure and print one table
#[derive(clap::Args)]
struct Run {
    /// Only families that have this in their name
    filter: Option<String>,
    /// Folder with upstream's kube-apiserver, kine and etcd
    #[arg(long)]
    upstream: Option<PathBuf>,
    /// Which servers; upstream's need --upstream
    #[arg(long, value_delimiter = ',', default_value = "skiff")]
    servers: Vec<Which>,
    /// How long each load lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    match Cli::parse() {
        Cli::Run(run) => measure(&run),
        Cli::Serve { folder, address, tell } => serve::run(&folder, &address, &tell),
        Cli::Load { load, target, seconds, audience } => {
            let figures = load::run(load, &target, Duration::from_secs(seconds), audience)?;
            println!("{}", serde_json::to_string(&figures)?);
            Ok(())
        }
    }
}

fn measure(run: &Run) -> Result<()> {
    let chosen: Vec<_> = ALL
        .iter()
        .filter(|(name, _)| run.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        bail!("nothing has that in its name; there are: {}", names.join(", "));
    }
    if run.upstream.is_none() && run.servers.iter().any(|which| *which != Which::Skiff) {
        bail!("where are upstream's programs? name their folder with --upstream");
    }
    let folder = tempfile::Builder::new().prefix("apibench-").tempdir()?;
    let programs = run.upstream.clone().unwrap_or_default();
    let bench = Bench { folder: folder.path(), programs: &programs, seconds: run.seconds };
    let mut rows = table::Rows::default();
    for (name, measure) in chosen {
        for &which in &run.servers {
            eprintln!("... {name}, {}", which.name());
            match measure(&bench, which) {
                Ok(figures) => rows.add(which, figures),
                // The others are measured all the same.
                Err(error) => eprintln!("{name} on {}: {error:#}", which.name()),
            }
        }
    }
    match run.json {
        true => println!("{}", rows.json()),
        false => println!("{}", rows.table()),
    }
    Ok(())
}
