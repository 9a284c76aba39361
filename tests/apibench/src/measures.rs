//! The figures of issue "the API server, whole", one family a function; [`ALL`] is what runs, in order.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::{Audience, CONNECTIONS, DEFINITIONS, Figures, Load, WATCHES, configmap};
use crate::servers::{Server, Which};
use crate::usage::Usage;

/// What every family is given.
pub struct Bench<'a> {
    /// For the servers' directories.
    pub folder: &'a Path,
    /// Where upstream's programs are.
    pub programs: &'a Path,
    /// Of one load.
    pub seconds: u64,
}

/// One figure of one server.
#[derive(Clone, Debug)]
pub struct Figure {
    pub what: &'static str,
    /// Against upstream (`10×`), or in the figure's unit (`15 MB`).
    pub budget: &'static str,
    pub unit: &'static str,
    /// More is better.
    pub more: bool,
    pub value: f64,
}

type Measure = fn(&Bench<'_>, Which) -> Result<Vec<Figure>>;

/// A family's name and how it is measured.
pub const ALL: &[(&str, Measure)] = &[
    ("idle", idle),
    ("creates", creates),
    ("single", single),
    ("gets", gets),
    ("lists", lists),
    ("watch", watch),
    ("thousand", thousand),
    ("applies", applies),
    ("memory", memory),
    ("churn", churn),
    ("card", card),
    ("connections", connections),
    ("watchers", watchers),
    ("definitions", definitions),
];

/// What the issue asks for.
const AUDIENCE: Audience = Audience { watchers: 100, rate: 200 };

fn figure(what: &'static str, budget: &'static str, unit: &'static str, more: bool, value: f64) -> Figure {
    Figure { what, budget, unit, more, value }
}

impl Bench<'_> {
    fn server(&self, which: Which) -> Result<Server> {
        Server::start(which, self.folder, self.programs).map(|(server, _)| server)
    }

    /// Runs a load in a process of its own; gives its figures and what the server took meanwhile.
    fn load(&self, server: &Server, load: Load) -> Result<(Figures, Usage)> {
        self.load_before(server, load, AUDIENCE)
    }

    fn load_before(&self, server: &Server, load: Load, audience: Audience) -> Result<(Figures, Usage)> {
        let name = clap::ValueEnum::to_possible_value(&load).context("a load without a name")?;
        let before = server.usage()?;
        let output = Command::new(std::env::current_exe()?)
            .args(["load", name.get_name(), "--seconds", &self.seconds.to_string()])
            .args(["--watchers", &audience.watchers.to_string(), "--rate", &audience.rate.to_string()])
            .arg("--target")
            .arg(server.target())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start the load")?;
        if !output.status.success() {
            bail!("the load {} failed", name.get_name());
        }
        let figures: Figures = serde_json::from_slice(&output.stdout)?;
        let after = server.usage()?;
        Ok((figures, Usage { memory: after.memory, processor: after.processor - before.processor }))
    }

    /// Measures while a load that says when it is there stays; gives what it said too.
    fn beside<T>(
        &self,
        server: &Server,
        load: &str,
        measure: impl FnOnce() -> Result<T>,
    ) -> Result<(Figures, T)> {
        let mut running = Command::new(std::env::current_exe()?)
            .args(["load", load, "--target"])
            .arg(server.target())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the load")?;
        let output = running.stdout.take().context("the load has no output")?;
        let measured = (|| {
            let mut told = String::new();
            BufReader::new(output).read_line(&mut told)?;
            Ok((serde_json::from_str(&told).context("the load did not come to its begin")?, measure()?))
        })();
        running.kill()?;
        running.wait()?;
        measured
    }

    /// Rate, latency and the server's own time of a load of requests.
    fn requests(
        &self,
        which: Which,
        load: Load,
        names: [(&'static str, &'static str); 3],
    ) -> Result<Vec<Figure>> {
        let server = self.server(which)?;
        if load == Load::Lists {
            self.load(&server, Load::Fill)?;
        }
        let (figures, used) = self.load(&server, load)?;
        let [rate, latency, cost] = names;
        Ok(vec![
            figure(rate.0, rate.1, "/s", true, figures["per_second"]),
            figure(latency.0, latency.1, "ms", false, figures["p99_ms"]),
            figure(cost.0, cost.1, "µs", false, used.processor * 1e6 / figures["count"]),
        ])
    }
}

fn idle(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let (server, took) = Server::start(which, bench.folder, bench.programs)?;
    std::thread::sleep(Duration::from_secs(5));
    Ok(vec![
        figure("start, empty", "", "s", false, took.as_secs_f64()),
        figure("memory, idle (PSS)", "15 MB", "MB", false, server.usage()?.memory / 1e6),
    ])
}

fn creates(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let names = [("creates, 64 clients", "10×"), ("creates, p99", ""), ("server's CPU a create", "")];
    bench.requests(which, Load::Creates, names)
}

fn single(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let names = [("creates, one client", ""), ("one client, p99", ""), ("server's CPU a single create", "")];
    bench.requests(which, Load::Single, names)
}

fn gets(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let names = [("GETs, 32 clients", "15×"), ("GETs, p99", ""), ("server's CPU a GET", "")];
    bench.requests(which, Load::Gets, names)
}

fn lists(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let names = [("LISTs of 20,000 by pages of 500", "5×"), ("LIST, p99", ""), ("server's CPU a LIST", "")];
    bench.requests(which, Load::Lists, names)
}

fn watch(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let server = bench.server(which)?;
    let (figures, used) = bench.load(&server, Load::Watch)?;
    let (seen, expected) = (figures["count"], figures["expected"]);
    if seen < expected {
        bail!("{} of {expected} events were delivered", seen);
    }
    Ok(vec![
        figure("watch, 100 watchers, 200 writes/s, p50", "", "ms", false, figures["p50_ms"]),
        figure("watch, the same, p99", "20 ms", "ms", false, figures["p99_ms"]),
        figure("server's CPU an event delivered", "5×", "µs", false, used.processor * 1e6 / seen),
    ])
}

/// The highest rate, of some, at which 1,000 watchers of one namespace each get every event, 99 of 100 within a second.
fn thousand(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let server = bench.server(which)?;
    let mut best = (0, Figures::new(), 0.0);
    for rate in [10, 25, 50, 100, 150, 200, 300, 400, 600, 800] {
        let (figures, used) = bench.load_before(&server, Load::Watch, Audience { watchers: 1000, rate })?;
        let all = figures["count"] >= figures["expected"];
        // Watchers who hold up the writers are no good either.
        let in_time = figures["per_second"] > 0.95 * rate as f64 * 1000.0 && figures["p99_ms"] < 1e3;
        let kept = all && in_time;
        eprintln!("    {rate}/s: p99 {:.0} ms{}", figures["p99_ms"], if kept { "" } else { ", not kept" });
        if !kept {
            break;
        }
        best = (rate, figures.clone(), used.processor * 1e6 / figures["count"]);
    }
    let (rate, figures, cost) = best;
    Ok(vec![
        figure("writes/s that 1,000 watchers keep up with", "", "/s", true, rate as f64),
        figure("p99 of delivery then", "", "ms", false, figures.get("p99_ms").copied().unwrap_or_default()),
        figure("server's CPU an event delivered to 1,000", "", "µs", false, cost),
    ])
}

/// Memory and disk over a load that leaves nothing behind: `--seconds` five times over, the first to warm up.
fn churn(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let server = bench.server(which)?;
    let (mut sizes, mut writes) = (Vec::new(), 0.0);
    for _ in 0..5 {
        writes += bench.load(&server, Load::Churn)?.0["count"];
        sizes.push((server.usage()?.memory / 1e6, server.disk()? / 1e6));
        eprintln!(
            "    {:.1} MB of memory, {:.0} MB on disk",
            sizes[sizes.len() - 1].0,
            sizes[sizes.len() - 1].1
        );
    }
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    Ok(vec![
        figure("writes of churn", "", "", true, writes),
        figure("memory after a fifth of them (PSS)", "", "MB", false, first.0),
        figure("memory after all of them", "", "MB", false, last.0),
        figure("disk after a fifth of them", "", "MB", false, first.1),
        figure("disk after all of them", "", "MB", false, last.1),
    ])
}

/// What 5,000 connections that ask nothing cost, and those who ask beside them.
fn connections(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let server = bench.server(which)?;
    let (alone, _) = bench.load(&server, Load::Gets)?;
    let before = server.usage()?.memory;
    let (opened, (memory, beside)) =
        bench.beside(&server, "idle", || Ok((server.usage()?.memory, bench.load(&server, Load::Gets)?.0)))?;
    let each = (memory - before) / CONNECTIONS as f64 / 1e3;
    Ok(vec![
        figure("connections opened, one after the other", "", "/s", true, opened["per_second"]),
        figure("memory of each of 5,000 idle connections", "", "kB", false, each),
        figure("GETs before, 32 clients", "", "/s", true, alone["per_second"]),
        figure("GETs beside 5,000 idle connections", "", "/s", true, beside["per_second"]),
    ])
}

/// What 5,000 watches cost that get nothing, on 50 connections.
fn watchers(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let server = bench.server(which)?;
    bench.load(&server, Load::Gets)?;
    let before = server.usage()?.memory;
    let (opened, memory) = bench.beside(&server, "quiet", || {
        // What was sent at their begin is let go.
        std::thread::sleep(Duration::from_secs(10));
        Ok(server.usage()?.memory)
    })?;
    let each = (memory - before) / WATCHES as f64 / 1e3;
    Ok(vec![
        figure("watches opened, of 100 objects", "", "/s", true, opened["per_second"]),
        figure("memory of each of 5,000 idle watches", "a few", "kB", false, each),
    ])
}

/// 10,000 CustomResourceDefinitions.
fn definitions(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let mut server = bench.server(which)?;
    let before = server.usage()?.memory;
    let (made, _) = bench.load(&server, Load::Definitions)?;
    let memory = server.usage()?.memory;
    let (gets, _) = bench.load(&server, Load::Gets)?;
    server.stop();
    let took = server.again()?;
    let each = (memory - before) / DEFINITIONS as f64 / 1e3;
    Ok(vec![
        figure("CustomResourceDefinitions made, of 10,000", "", "/s", true, made["per_second"]),
        figure("the same, p99", "", "ms", false, made["p99_ms"]),
        figure("memory of each", "", "kB", false, each),
        figure("GETs beside 10,000 definitions", "", "/s", true, gets["per_second"]),
        figure("start with 10,000 definitions", "", "s", false, took.as_secs_f64()),
    ])
}

/// A disk whose flushes take 10 ms longer, as an SD card's: by a library that is loaded before the C library.
fn card(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    if which == Which::Etcd {
        bail!("it makes its system calls without the C library, which is what can be slowed here");
    }
    let source = bench.folder.join("card.c");
    std::fs::write(&source, CARD)?;
    let library = bench.folder.join("card.so");
    let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    if !made.context("cannot start the C compiler")?.success() {
        bail!("the C compiler failed");
    }
    let (server, _) = Server::slowed(which, bench.folder, bench.programs, &library)?;
    let (one, _) = bench.load(&server, Load::Single)?;
    let (many, _) = bench.load(&server, Load::Creates)?;
    Ok(vec![
        figure("flush of 10 ms: one client's create, p50", "10 ms and one's own", "ms", false, one["p50_ms"]),
        figure("flush of 10 ms: one client's create, p99", "", "ms", false, one["p99_ms"]),
        figure("flush of 10 ms: creates, 64 clients", "", "/s", true, many["per_second"]),
        figure("flush of 10 ms: 64 clients, p99", "", "ms", false, many["p99_ms"]),
    ])
}

const CARD: &str = "
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int slow(long call, int file) {
    struct timespec time = {0, 10 * 1000 * 1000};
    nanosleep(&time, 0);
    return syscall(call, file);
}
int fsync(int file) { return slow(SYS_fsync, file); }
int fdatasync(int file) { return slow(SYS_fdatasync, file); }
";

fn applies(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let names =
        [("server-side applies, 16 clients", "8×"), ("applies, p99", ""), ("server's CPU an apply", "")];
    bench.requests(which, Load::Applies, names)
}

/// Memory of 50,000 ConfigMaps of 1 KB, and the start with them.
fn memory(bench: &Bench<'_>, which: Which) -> Result<Vec<Figure>> {
    let rest = || std::thread::sleep(Duration::from_secs(5));
    let mut server = bench.server(which)?;
    rest();
    let empty = server.usage()?.memory;
    bench.load(&server, Load::FillMore)?;
    rest();
    let full = server.usage()?.memory;
    server.stop();
    let took = server.again()?;
    rest();
    let again = server.usage()?.memory;
    // What is stored has uid, time and managedFields too: some 400 bytes more than was sent.
    let bytes = 50_000.0 * (configmap("bench-10000-10-1000", &"x".repeat(1000)).len() as f64 + 405.0);
    Ok(vec![
        figure("memory with 50,000 ConfigMaps (PSS)", "8×", "MB", false, full / 1e6),
        figure("memory a byte of JSON", "1.6", "", false, (full - empty) / bytes),
        figure("the same after a restart", "1.6", "", false, (again - empty) / bytes),
        figure("start with 50,000 objects", "1 s", "s", false, took.as_secs_f64()),
    ])
}
