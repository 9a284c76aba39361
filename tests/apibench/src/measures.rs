//! The figures of issue "the API server, whole", one family a function; [`ALL`] is what runs, in order.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::load::{Figures, Load, configmap};
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
    ("applies", applies),
    ("memory", memory),
];

fn figure(what: &'static str, budget: &'static str, unit: &'static str, more: bool, value: f64) -> Figure {
    Figure { what, budget, unit, more, value }
}

impl Bench<'_> {
    fn server(&self, which: Which) -> Result<Server> {
        Server::start(which, self.folder, self.programs).map(|(server, _)| server)
    }

    /// Runs a load in a process of its own; gives its figures and what the server took meanwhile.
    fn load(&self, server: &Server, load: Load) -> Result<(Figures, Usage)> {
        let name = clap::ValueEnum::to_possible_value(&load).context("a load without a name")?;
        let before = server.usage()?;
        let output = Command::new(std::env::current_exe()?)
            .args(["load", name.get_name(), "--seconds", &self.seconds.to_string(), "--target"])
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
