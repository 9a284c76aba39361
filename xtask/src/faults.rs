//! `cargo xtask faults`: what happens to data when parts die. On SQLite: kills of whole servers and of the store alone, cuts of the power
//! below the file system. `etcd`: the contract suite and kills of servers and members, on an etcd that is built here from the
//! pinned Go module (`cargo xtask test` needs no Go and leaves them out).

use std::path::Path;

use anyhow::{Result, bail};

use crate::run;

/// Kill what keeps the data, and check that nothing is lost
///
/// Whole `skiff server` processes are killed (`kill -9`) at random moments, also in the middle of a start, while HTTP clients write,
/// read, list and watch; every answer goes into a history which is judged at the end: no acknowledged write lost or moved, no
/// event skipped or doubled, no read stale. Before that the store alone, killed, and store and API server on a disk whose power is cut. Logs are in
/// target/faults.
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask faults\n  cargo xtask faults --kills 100 --cuts 0 --seed 7\n  cargo xtask faults etcd --kills 500"
)]
pub struct Args {
    #[command(subcommand)]
    place: Option<Place>,
    #[command(flatten)]
    sqlite: Sqlite,
}

#[derive(clap::Subcommand)]
enum Place {
    /// Three servers on an etcd of three members: the contract suite, then kills of servers and members
    Etcd(Etcd),
}

#[derive(clap::Args)]
struct Sqlite {
    /// Kills of a whole server
    #[arg(long, default_value_t = 2000)]
    kills: u64,
    /// Kills of the store alone
    #[arg(long, default_value_t = 200)]
    store_kills: u64,
    /// Cuts below the file system
    #[arg(long, default_value_t = 500)]
    cuts: u64,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args)]
struct Etcd {
    /// Kills of servers and of members of the etcd
    #[arg(long, default_value_t = 50)]
    kills: u64,
    #[command(flatten)]
    how: How,
}

#[derive(clap::Args)]
struct How {
    /// Which kills [default: by chance, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Judge whole servers after so many seconds, however many kills there were
    #[arg(long)]
    seconds: Option<u64>,
    /// Build skiff with this profile
    #[arg(long, default_value = "quick")]
    profile: String,
}

pub fn run(args: &Args) -> Result<()> {
    if !run::is_root() {
        bail!("the servers run in namespaces of their own: run this as root");
    }
    match &args.place {
        None => sqlite(&args.sqlite),
        Some(Place::Etcd(args)) => etcd(args),
    }
}

fn sqlite(args: &Sqlite) -> Result<()> {
    let seed = args.how.seed.map(|seed| seed.to_string());
    for (count, package, test, variable, seeded) in [
        (args.store_kills, "store", "crash", "SKIFF_CRASH_ROUNDS", "SKIFF_CRASH_SEED"),
        (args.cuts, "store", "power", "SKIFF_POWER_CUTS", "SKIFF_POWER_SEED"),
        (args.cuts, "apiserver", "power", "SKIFF_POWER_CUTS", "SKIFF_POWER_SEED"),
    ] {
        if count == 0 {
            continue;
        }
        let mut tests = run::cargo(&["test", "-p", package, "--test", test, "--", "--nocapture"]);
        tests.env(variable, count.to_string());
        tests.envs(seed.iter().map(|seed| (seeded, seed)));
        run::step(&format!("{package}: {test}"), &mut tests)?;
    }
    servers(args.kills, &args.how, None)
}

fn etcd(args: &Etcd) -> Result<()> {
    let folder = run::target().join("upstream");
    std::fs::create_dir_all(&folder)?;
    let etcd = folder.join("etcd");
    run::go_program("conformance/etcd", &etcd, "go.etcd.io/etcd/server/v3", false)?;
    let mut tests =
        run::cargo(&["test", "-p", "store", "--test", "etcd", "--test", "etcd_faults", "--", "--nocapture"]);
    tests.env("SKIFF_ETCD", &etcd).env("SKIFF_FAULT_ROUNDS", args.kills.to_string());
    if let Some(seed) = args.how.seed {
        tests.env("SKIFF_FAULT_SEED", seed.to_string());
    }
    run::step("the store on etcd", &mut tests)?;
    servers(args.kills, &args.how, Some(&etcd))
}

/// Whole servers.
fn servers(kills: u64, how: &How, etcd: Option<&Path>) -> Result<()> {
    if kills == 0 {
        return Ok(());
    }
    let folder = run::build(&how.profile, "faults")?;
    let out = run::target().join("faults");
    let mut words = vec!["--out".to_owned(), out.display().to_string(), "--kills".into(), kills.to_string()];
    for (flag, value) in [("--seed", how.seed), ("--seconds", how.seconds)] {
        words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value.to_string()]));
    }
    words.extend(etcd.into_iter().flat_map(|etcd| ["--etcd".to_owned(), etcd.display().to_string()]));
    run::program(&folder, "faults", words)
}
