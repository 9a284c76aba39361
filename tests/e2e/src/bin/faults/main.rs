//! Whole servers that are killed under load: the driver behind `cargo xtask faults`.
//!
//! Real `skiff server` processes, real HTTP clients, `kill -9` at random moments; every answer, event and list goes into a history, which
//! is judged at the end (`history.rs` says by what). `--etcd` gives a program of etcd: then three servers share three members of it, and
//! members are killed too. Not here: cuts below the file system, which are
//! `crates/store/tests/power.rs` and `crates/apiserver/tests/power.rs`.

#[path = "../../../../../crates/store/tests/program/mod.rs"]
#[allow(clippy::unwrap_used, dead_code)] // helpers of tests fail like tests
mod etcd;
mod history;
mod load;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use e2e::{Machine, machine, namespace, until};
use nix::sys::signal::{Signal, kill};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use load::Load;

/// Kill whole servers under load and judge what their clients were told
#[derive(Parser)]
struct Args {
    /// Folder of logs
    #[arg(long)]
    out: PathBuf,
    #[arg(long)]
    kills: u64,
    /// Which kills [default: by chance, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// End earlier after so many seconds, and judge what there is
    #[arg(long)]
    seconds: Option<u64>,
    /// A program of etcd: three servers on three members, in place of one server on SQLite
    #[arg(long)]
    etcd: Option<PathBuf>,
}

const PORT: u16 = 16443;
const SERVERS: usize = 3;
const WRITERS: u64 = 6;
const LISTERS: u64 = 2;
const WATCHES: usize = 4;
/// Acknowledged writes between two kills.
const APART: std::ops::Range<u64> = 1..80;
const FLAGS: &[&str] = &["--disable-agent", "--disable", "fleet,coredns"];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is killed.
struct Place {
    servers: Vec<Machine>,
    etcd: Option<etcd::Cluster>,
    /// A member that is down.
    down: Option<usize>,
    /// How long starts took.
    starts: Vec<Duration>,
    /// Kills of servers, kills in the middle of a start, pauses, kills of members.
    counts: [u64; 4],
}

fn run(args: &Args) -> Result<bool> {
    let Some(binary) = std::env::var_os("SKIFF_BINARY").map(PathBuf::from) else {
        bail!("SKIFF_BINARY names no skiff: use cargo xtask faults");
    };
    let seed = args.seed.unwrap_or_else(|| rand::random::<u32>().into());
    println!("{} kills, --seed {seed}", args.kills);
    std::fs::create_dir_all(&args.out)?;
    namespace::enter(None)?;
    let folder = tempfile::Builder::new().prefix("skiff-faults-").tempdir()?;
    let etcd = args.etcd.clone().map(|program| etcd::Cluster::start(program, 3));
    let count = if etcd.is_some() { SERVERS } else { 1 };
    let mut servers = Vec::new();
    for number in 0..count {
        let mut machine =
            Machine::new(&binary, &folder.path().join(format!("s{number}")), PORT + number as u16)
                .flags(FLAGS);
        machine.add_flags(&["--node-name", &format!("s{number}")]);
        if let Some(etcd) = &etcd {
            machine.add_flags(&["--token", "faults", "--datastore-endpoint", &etcd.endpoints().join(",")]);
        }
        servers.push(machine);
    }
    let mut place = Place { servers, etcd, down: None, starts: Vec::new(), counts: [0; 4] };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let done = runtime.block_on(hurt(&mut place, args, seed));
    drop(runtime);
    for (number, server) in place.servers.iter_mut().enumerate() {
        let _none = std::fs::copy(server.log(), args.out.join(format!("skiff-{number}.log")));
        server.uninstall()?;
    }
    drop(place);
    namespace::end_all();
    done
}

/// Kills under load, then judges.
async fn hurt(place: &mut Place, args: &Args, seed: u64) -> Result<bool> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut clients = Vec::new();
    for server in &mut place.servers {
        place.starts.push(server.start().await?);
        clients.push(server.client_that_asks_once().await?);
    }
    let load = Load::new(clients, seed);
    let from = load.prepare().await?;
    let (end, ended) = tokio::sync::watch::channel(false);
    load.history().watches = vec![Vec::new(); WATCHES];
    let watches: Vec<_> = (0..WATCHES)
        .map(|watch| tokio::spawn(load.clone().watch(watch, from, watch % 2 == 1, ended.clone())))
        .collect();
    let mut busy: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(load.clone().write(writer))).collect();
    busy.extend((0..LISTERS).map(|lister| tokio::spawn(load.clone().list(WRITERS + lister))));
    let begun = Instant::now();
    let mut rounds = 0;
    while rounds < args.kills && args.seconds.is_none_or(|most| begun.elapsed().as_secs() < most) {
        let enough = load.acknowledged() + random.random_range(APART);
        until("writes to be acknowledged", machine::PATIENCE, async || {
            Ok((load.acknowledged() >= enough).then_some(()))
        })
        .await?;
        place.hurt(&mut random).await?;
        rounds += 1;
        if rounds % (args.kills / 20).max(1) == 0 {
            println!("{rounds} after {}s; {}", begun.elapsed().as_secs(), load.history().counts());
        }
    }
    if let (Some(etcd), Some(member)) = (&mut place.etcd, place.down.take()) {
        etcd.start_member(member);
        etcd.wait(member);
    }
    load.stop();
    for task in busy {
        task.await?;
    }
    // Until every watch has what the last list has.
    let last = until("a list", machine::PATIENCE, async || load.list_once(0, "").await.map(Some)).await?;
    let caught_up = caught_up(&load, last).await;
    end.send_replace(true);
    for watch in watches {
        watch.await?;
    }
    judge(place, &load, rounds, begun.elapsed(), caught_up)
}

/// Whether each watch saw the newest event that any saw, up to the last list.
async fn caught_up(load: &Arc<Load>, last: u64) -> Result<()> {
    let newest = |lines: &[history::Line]| {
        let revision = |line: &history::Line| match line {
            history::Line::Event { revision, .. } => Some(*revision),
            history::Line::Bookmark(_) => None,
        };
        lines.iter().rev().find_map(revision).unwrap_or(0)
    };
    until("every watch to have every event", machine::PATIENCE, async || {
        let history = load.history();
        let told = history.reads.iter().filter_map(|read| match &read.seen {
            history::Seen::All(of, items, _) if *of == last => {
                items.values().map(|(revision, _)| *revision).max()
            }
            _ => None,
        });
        let wanted = told.chain(history.watches.iter().map(|lines| newest(lines))).max().unwrap_or(0);
        let all = history.watches.iter().all(|lines| newest(lines) >= wanted);
        Ok(all.then_some(()))
    })
    .await
}

fn judge(place: &mut Place, load: &Load, rounds: u64, took: Duration, caught_up: Result<()>) -> Result<bool> {
    let history = load.history();
    let mut wrong = history.judge();
    wrong.extend(caught_up.err().map(|error| format!("{error:#}")));
    place.starts.sort();
    let at = |part: usize| place.starts[(place.starts.len() - 1) * part / 100].as_millis();
    let [servers, starting, pauses, members] = place.counts;
    println!(
        "{rounds} faults in {}s: {servers} kills of servers ({starting} of them while they started), {pauses} pauses, {members} kills of members",
        took.as_secs()
    );
    println!(
        "starts until ready: median {} ms, 99 of 100 under {} ms, longest {} ms",
        at(50),
        at(99),
        at(100)
    );
    println!("{}", history.counts());
    if history.asked.len() as u64 <= rounds {
        wrong.push("too little was written to judge".into());
    }
    for line in &wrong {
        println!("WRONG {line}");
    }
    println!(
        "{}",
        if wrong.is_empty() {
            "nothing lost, reordered, skipped, stale or invented"
        } else {
            "the history is not good"
        }
    );
    Ok(wrong.is_empty())
}

impl Place {
    /// One fault, and what brings the thing back, unless it is a member: that comes back at the next.
    async fn hurt(&mut self, random: &mut StdRng) -> Result<()> {
        if let (Some(etcd), Some(member)) = (&mut self.etcd, self.down.take()) {
            etcd.start_member(member);
            etcd.wait(member);
            // Of three members one may be missing; a server may be killed beside it.
        } else if let Some(etcd) = self.etcd.as_mut().filter(|_| random.random_bool(0.4)) {
            let member = random.random_range(0..3);
            etcd.kill(member);
            self.down = Some(member);
            self.counts[3] += 1;
            if random.random_bool(0.7) {
                return Ok(());
            }
        }
        let server = random.random_range(0..self.servers.len());
        let machine = &mut self.servers[server];
        if self.etcd.is_some() && random.random_bool(0.2) {
            // Stands still for longer than its lease of leadership, at most; what it answers afterwards must be current.
            let Some(pid) = machine.pid() else { return Ok(()) };
            kill(pid, Signal::SIGSTOP)?;
            tokio::time::sleep(Duration::from_millis(random.random_range(100..4000))).await;
            kill(pid, Signal::SIGCONT)?;
            self.counts[2] += 1;
            return Ok(());
        }
        machine.kill()?;
        self.counts[0] += 1;
        let usual = self.starts.iter().sum::<Duration>() / self.starts.len() as u32;
        while random.random_bool(0.1) {
            machine.launch()?;
            tokio::time::sleep(usual.mul_f64(random.random_range(0.0..1.2))).await;
            machine.kill()?;
            self.counts[0] += 1;
            self.counts[1] += 1;
        }
        self.starts.push(machine.start().await?);
        Ok(())
    }
}
