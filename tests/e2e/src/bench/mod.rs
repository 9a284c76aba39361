//! The measures, one family a file; [`ALL`] is what runs, in order. To add one, add its file and its line.
//!
//! Every family has machines of its own in fresh directories, so that none sees what another left in memory or on disk. What
//! fails to be measured becomes a row that says so, and the others are measured all the same.

mod binary;
mod idle;
pub mod load;
mod pods;
mod start;
mod usage;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use anyhow::{Context, Result, bail};
use comfy_table::{Table, presets};
use e2e::{Machine, namespace};

const PORT: u16 = 16443;

/// One line of the table; budget and upstream's figure are those of the design.
pub struct Row {
    pub what: String,
    pub measured: String,
    pub budget: &'static str,
    pub upstream: &'static str,
}

impl Row {
    fn new(what: &str, measured: String, budget: &'static str, upstream: &'static str) -> Row {
        Row { what: what.into(), measured, budget, upstream }
    }
}

/// What every measure is given.
pub struct Bench<'a> {
    binary: &'a Path,
    folder: PathBuf,
    reference: &'a Reference,
}

impl Bench<'_> {
    /// A machine in fresh directories that has not started.
    fn machine(&self, name: &str) -> Result<Machine> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Machine::new(self.binary, &folder, PORT).flags(&["--node-name", "box"]))
    }
}

type Measure = for<'a> fn(&'a Bench<'a>) -> Pin<Box<dyn Future<Output = Result<Vec<Row>>> + 'a>>;

/// A family's name, for the filter, and how it is measured.
pub type Family = (&'static str, Measure);

pub const ALL: &[Family] = &[
    ("binary", |bench| Box::pin(binary::measure(bench))),
    ("start", |bench| Box::pin(start::measure(bench))),
    ("idle", |bench| Box::pin(idle::measure(bench))),
    ("pods", |bench| Box::pin(pods::measure(bench))),
    ("creates", |bench| Box::pin(load::measure(bench, load::Kind::Creates))),
    ("gets", |bench| Box::pin(load::measure(bench, load::Kind::Gets))),
];

/// The families whose name has the filter in it.
pub fn choose(filter: Option<&str>) -> Result<Vec<Family>> {
    let chosen: Vec<Family> =
        ALL.iter().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter))).copied().collect();
    if chosen.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
        bail!("nothing has that in its name; there are: {}", names.join(", "));
    }
    Ok(chosen)
}

/// The same loads on upstream's API server, if one was given.
#[derive(Default)]
pub struct Reference {
    pub creates: Option<load::Figures>,
    pub gets: Option<load::Figures>,
}

impl Reference {
    /// Puts the chosen loads on the server of `SKIFF_REFERENCE_KUBECONFIG`; without that variable there is nothing to do.
    /// The objects stay there: give it a server that is thrown away.
    pub fn measure(chosen: &[Family]) -> Result<Reference> {
        let Some(kubeconfig) = std::env::var_os("SKIFF_REFERENCE_KUBECONFIG") else {
            return Ok(Reference::default());
        };
        let kubeconfig = PathBuf::from(kubeconfig);
        let ask = |kind: load::Kind| -> Result<Option<load::Figures>> {
            if !chosen.iter().any(|(name, _)| *name == kind.name()) {
                return Ok(None);
            }
            eprintln!("... {} on the reference", kind.name());
            load::in_child(kind, &kubeconfig).context("the reference could not be measured").map(Some)
        };
        Ok(Reference { creates: ask(load::Kind::Creates)?, gets: ask(load::Kind::Gets)? })
    }
}

/// Measures and prints. Call it inside the namespace, before any thread runs.
pub fn run(binary: &Path, chosen: &[Family], reference: &Reference) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("skiff-bench-").tempdir()?;
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["what", "measured", "budget", "upstream (k3s, kube-apiserver)"]);
    println!("{}", heading(binary));
    for (name, measure) in chosen {
        eprintln!("... {name}");
        let bench = Bench { binary, folder: folder.path().join(name), reference };
        let runtime = tokio::runtime::Runtime::new()?;
        let rows = runtime.block_on(measure(&bench));
        drop(runtime);
        namespace::end_all();
        match rows {
            Ok(rows) => {
                for row in rows {
                    table.add_row([row.what, row.measured, row.budget.into(), row.upstream.into()]);
                }
            }
            Err(error) => {
                eprintln!("{name}: {error:#}");
                table.add_row([*name, "NOT MEASURED, see above", "", ""]);
            }
        }
    }
    println!("{table}");
    Ok(())
}

/// Starts the machine, measures, and takes it down again whatever came of it.
async fn with<F>(mut machine: Machine, measure: impl FnOnce(Running) -> F) -> Result<Vec<Row>>
where
    F: Future<Output = Result<Vec<Row>>>,
{
    let done = async {
        machine.start().await?;
        let client = machine.client().await?;
        let patience = e2e::machine::PATIENCE;
        e2e::until("the node to be Ready", patience, async || e2e::cluster::ready_node(&client).await)
            .await?;
        let pid = machine.pid().context("the server does not run")?;
        measure(Running { pid, client, kubeconfig: machine.kubeconfig() }).await
    };
    let done = done.await;
    let done = done.map_err(|error| error.context(format!("its log ends:\n{}", machine.log_tail(15))));
    let ended = machine.uninstall();
    let rows = done?;
    ended?;
    Ok(rows)
}

/// A server whose node is Ready.
struct Running {
    pid: nix::unistd::Pid,
    client: kube::Client,
    kubeconfig: PathBuf,
}

/// What a reader must know to compare the figures with others.
fn heading(binary: &Path) -> String {
    let profile = binary.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, |count| count.get());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let warning = match profile.as_ref() {
        "release" => "",
        _ => "\nThese are NOT the release build's figures: do not hold them against the budgets.",
    };
    format!(
        "profile {profile}, {arch}, {cores} cores ({model}), Linux {kernel}, load {load} before the start{warning}",
        arch = std::env::consts::ARCH,
        model = model.trim_start_matches([' ', '\t', ':']),
        kernel = kernel.trim(),
    )
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The sample below which this part of all lies (the nearest rank); samples are sorted by it.
fn percentile(samples: &mut [std::time::Duration], part: f64) -> std::time::Duration {
    samples.sort_unstable();
    let rank = (part * samples.len() as f64).ceil() as usize;
    samples.get(rank.max(1) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::percentile;
    use std::time::Duration;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let mut samples: Vec<Duration> = (1..=20).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut samples, 0.5), Duration::from_millis(10));
        assert_eq!(percentile(&mut samples, 0.99), Duration::from_millis(20));
        assert_eq!(percentile(&mut [], 0.5), Duration::ZERO);
    }
}
