//! `cargo xtask faults`: what happens to data when parts die. `etcd`: the contract suite and the kills of servers and members, on an etcd
//! that is built here from the pinned Go module (`cargo xtask test` needs no Go and leaves them out).

use anyhow::Result;

use crate::run;

/// Kill what keeps the data, and check that nothing is lost
#[derive(clap::Subcommand)]
pub enum Command {
    /// Several servers on one etcd: the contract suite, then kills of servers and members
    Etcd(Etcd),
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask faults etcd\n  cargo xtask faults etcd --kills 500 --seed 7"
)]
pub struct Etcd {
    /// Kills of servers and of members of the etcd
    #[arg(long, default_value_t = 50)]
    kills: u64,
    /// Which kills [default: by chance, and printed]
    #[arg(long)]
    seed: Option<u64>,
}

pub fn run(command: &Command) -> Result<()> {
    let Command::Etcd(args) = command;
    let folder = run::target().join("upstream");
    std::fs::create_dir_all(&folder)?;
    let etcd = folder.join("etcd");
    run::go_program("conformance/etcd", &etcd, "go.etcd.io/etcd/server/v3", false)?;
    let mut tests =
        run::cargo(&["test", "-p", "store", "--test", "etcd", "--test", "etcd_faults", "--", "--nocapture"]);
    tests.env("SKIFF_ETCD", &etcd).env("SKIFF_FAULT_ROUNDS", args.kills.to_string());
    if let Some(seed) = args.seed {
        tests.env("SKIFF_FAULT_SEED", seed.to_string());
    }
    run::step("the store on etcd", &mut tests)
}
