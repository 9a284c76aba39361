//! Runs the official conformance suite against a skiff of its own: the driver behind `cargo xtask conformance`.
//!
//! Programs and images are built from what `conformance/` pins, once. Counts come from the suite's own JUnit reports.
//! The cluster lives in namespaces and a cgroup of this process, and is gone when it ends.

mod images;
mod report;
mod select;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Parser;
use e2e::programs::Programs;
use e2e::{Machine, cluster, machine, namespace, until};

use select::{Test, escape, select};

/// Run the suite by stage or by name and count
#[derive(Parser)]
struct Args {
    /// Folder of programs, images and reports
    #[arg(long)]
    suite: PathBuf,
    /// Stages of conformance/tests.tsv, with commas
    #[arg(long, value_delimiter = ',')]
    stage: Vec<String>,
    /// Only tests whose name matches this regular expression
    #[arg(long)]
    focus: Option<String>,
    /// No test whose name matches this regular expression
    #[arg(long)]
    skip: Option<String>,
    /// Tests that run at once
    #[arg(long, default_value_t = 4)]
    parallel: u32,
}

const FLAGS: [&str; 2] = ["--node-name", "box"];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let Some(binary) = std::env::var_os("SKIFF_BINARY").map(PathBuf::from) else {
        bail!("SKIFF_BINARY names no skiff: use cargo xtask conformance");
    };
    let suite = std::path::absolute(&args.suite)?;
    let tests = select(args)?;
    let programs = Programs::new(suite.join("bin"))?;
    for program in ["e2e.test", "ginkgo", "kubectl"] {
        programs.get(program)?;
    }
    let wanted: BTreeSet<&str> = tests.iter().flat_map(Test::images).collect();
    let archives = images::build(&wanted, &suite.join("images"), &programs)?;
    let reports = suite.join("report");
    if reports.exists() {
        std::fs::remove_dir_all(&reports)?;
    }
    std::fs::create_dir_all(&reports)?;
    namespace::enter(None)?;
    let folder = tempfile::Builder::new().prefix("skiff-conformance-").tempdir()?;
    let mut machine = Machine::new(&binary, folder.path(), 16443).flags(&FLAGS);
    let done = start(&mut machine, &archives).and_then(|()| {
        let (serial, parallel): (Vec<Test>, Vec<Test>) = tests.iter().partition(|test| test.serial());
        let suite = Suite { machine: &machine, programs: &programs, reports: &reports };
        suite.ginkgo("parallel", &parallel, args.parallel)?;
        suite.ginkgo("serial", &serial, 1)
    });
    std::fs::copy(machine.log(), reports.join("skiff.log"))?;
    let ended = machine.uninstall();
    namespace::end_all();
    done.and(ended)?;
    report::report(&reports, &tests)
}

/// Starts the server and waits until its node is Ready and has every image.
fn start(machine: &mut Machine, archives: &[PathBuf]) -> Result<()> {
    std::fs::create_dir_all(machine.images())?;
    for archive in archives {
        let name = archive.file_name().context("an archive without a name")?;
        std::fs::copy(archive, machine.images().join(name))?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        machine.start().await?;
        let client = machine.client().await?;
        until("a Ready node", machine::PATIENCE, async || cluster::ready_node(&client).await).await?;
        // The node's status tells its images only every few minutes; the log tells each that was taken in.
        until("the images to be imported", machine::PATIENCE, async || {
            let log = std::fs::read_to_string(machine.log())?;
            let taken = |name: &std::ffi::OsStr| {
                let told = format!("imported archive={}", machine.images().join(name).display());
                log.contains(&told)
            };
            Ok(archives.iter().filter_map(|archive| archive.file_name()).all(taken).then_some(()))
        })
        .await
    })
}

/// What a run of the suite needs.
struct Suite<'a> {
    machine: &'a Machine,
    programs: &'a Programs,
    reports: &'a Path,
}

impl Suite<'_> {
    /// One run: of what may be side by side, or of what must be alone.
    fn ginkgo(&self, kind: &str, tests: &[Test], processes: u32) -> Result<()> {
        if tests.is_empty() {
            return Ok(());
        }
        let log = self.reports.join(format!("{kind}.log"));
        println!("==> {} {kind} tests; their log is {}", tests.len(), log.display());
        let names: Vec<String> = tests.iter().map(|test| escape(test.name)).collect();
        let log = std::fs::File::create(log)?;
        let status = Command::new(self.programs.get("ginkgo")?)
            .arg(format!("-procs={processes}"))
            .args(["--no-color", "--silence-skips", "--succinct", "--timeout=3h"])
            .arg(format!("--focus=({})$", names.join("|")))
            .arg(self.programs.get("e2e.test")?)
            .args(["--", "--provider=skeleton", "--dns-domain=cluster.local", "--disable-log-dump"])
            .arg(format!("--kubeconfig={}", self.machine.kubeconfig().display()))
            .arg(format!("--kubectl-path={}", self.programs.get("kubectl")?.display()))
            .arg(format!("--report-dir={}", self.reports.display()))
            .arg(format!("--report-prefix={kind}-"))
            .args(["--system-pods-startup-timeout=2m", "--node-schedulable-timeout=2m"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()
            .context("cannot start ginkgo")?;
        println!("    {kind}: the suite ended with {status}");
        Ok(())
    }
}
