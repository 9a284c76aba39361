//! Runs the official conformance suite against a skiff of its own: the driver behind `cargo xtask conformance`.
//!
//! Counts come from the suite's own JUnit reports. Image archives below `<suite>/images` are imported before the suite starts;
//! stages from C on need those that `conformance/tests.tsv` names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Parser;
use e2e::{Machine, cluster, machine, namespace, until};

/// Run the suite by stage or by name and count
#[derive(Parser)]
struct Args {
    /// Folder with e2e.test, ginkgo and images
    #[arg(long)]
    suite: PathBuf,
    #[arg(long)]
    stage: Option<String>,
    #[arg(long)]
    focus: Option<String>,
    #[arg(long, default_value_t = 4)]
    processes: u32,
}

/// The suite's tests: stage, images, name.
const TESTS: &str = include_str!("../../../../conformance/tests.tsv");

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
    let binary = PathBuf::from(
        std::env::var_os("SKIFF_BINARY")
            .context("SKIFF_BINARY names no skiff: use cargo xtask conformance")?,
    );
    let suite = std::path::absolute(&args.suite)?;
    let wanted = wanted(args);
    if wanted.is_empty() {
        bail!("no test of conformance/tests.tsv has that stage and that in its name");
    }
    let report = suite.join("report");
    let _earlier = std::fs::remove_dir_all(&report);
    std::fs::create_dir_all(&report)?;
    namespace::enter(None)?;
    let folder = tempfile::Builder::new().prefix("skiff-conformance-").tempdir()?;
    let mut machine = Machine::new(&binary, folder.path(), 16443).flags(&["--node-name", "box"]);
    let done = start(&mut machine, &suite).and_then(|()| {
        for serial in [false, true] {
            ginkgo(&machine, &suite, &report, &wanted, serial, args.processes)?;
        }
        Ok(())
    });
    std::fs::copy(machine.log(), report.join("skiff.log"))?;
    let ended = machine.uninstall();
    namespace::end_all();
    done.and(ended)?;
    count(&report, &wanted)
}

fn wanted(args: &Args) -> BTreeSet<&'static str> {
    let stages: Option<Vec<&str>> = args.stage.as_deref().map(|stages| stages.split(',').collect());
    TESTS
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let (stage, _, name) = (fields.next()?, fields.next()?, fields.next()?);
            let staged = stages.as_ref().is_none_or(|stages| stages.contains(&stage));
            (staged && args.focus.as_ref().is_none_or(|focus| name.contains(focus.as_str()))).then_some(name)
        })
        .collect()
}

fn start(machine: &mut Machine, suite: &Path) -> Result<()> {
    std::fs::create_dir_all(machine.images())?;
    for archive in std::fs::read_dir(suite.join("images")).into_iter().flatten().flatten() {
        std::fs::copy(archive.path(), machine.images().join(archive.file_name()))?;
    }
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        machine.start().await?;
        let client = machine.client().await?;
        until("a Ready node", machine::PATIENCE, async || cluster::ready_node(&client).await).await
    })?;
    Ok(())
}

/// One run of the suite: what may run side by side, or what must be alone.
fn ginkgo(
    machine: &Machine,
    suite: &Path,
    report: &Path,
    wanted: &BTreeSet<&str>,
    serial: bool,
    processes: u32,
) -> Result<()> {
    let names: Vec<String> =
        wanted.iter().filter(|name| name.contains("[Serial]") == serial).map(|name| escape(name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let kind = if serial { "serial" } else { "parallel" };
    println!(
        "==> {} {kind} tests; their log is {}",
        names.len(),
        report.join(format!("{kind}.log")).display()
    );
    let log = std::fs::File::create(report.join(format!("{kind}.log")))?;
    let status = Command::new(suite.join("ginkgo"))
        .arg(format!("-procs={}", if serial { 1 } else { processes }))
        .args(["--no-color", "--silence-skips", "--succinct", "--timeout=3h"])
        .arg(format!("--focus=({})$", names.join("|")))
        .arg(suite.join("e2e.test"))
        .args(["--", "--provider=skeleton", "--dns-domain=cluster.local", "--disable-log-dump"])
        .arg(format!("--kubeconfig={}", machine.kubeconfig().display()))
        .arg(format!("--report-dir={}", report.display()))
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

/// A name as a regular expression for it alone.
fn escape(name: &str) -> String {
    let special = |letter: char| r"\.+*?()|[]{}^$".contains(letter);
    name.chars().flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter])).collect()
}

/// Reads the JUnit reports; prints what failed and the count.
fn count(report: &Path, wanted: &BTreeSet<&str>) -> Result<bool> {
    let (mut passed, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(report)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !(name.contains("junit") && name.ends_with(".xml")) {
            continue;
        }
        let text = std::fs::read_to_string(entry.path())?;
        for case in text.split("<testcase ").skip(1) {
            let case = case.split("</testcase>").next().unwrap_or_default();
            let name = attribute(case, "name").unwrap_or_default();
            let name = name.trim_start_matches("[It] ");
            let Some(test) = wanted.iter().find(|test| name.starts_with(**test)) else { continue };
            match attribute(case, "status").as_deref() {
                Some("passed") => drop(passed.insert(*test)),
                Some("skipped") => {}
                _ => drop(failed.insert(*test)),
            }
        }
    }
    for test in &failed {
        println!("FAIL {test}");
    }
    for test in wanted.iter().filter(|test| !passed.contains(*test) && !failed.contains(*test)) {
        println!("NOT RUN {test}");
    }
    println!("conformance: passed {} of {}", passed.len(), wanted.len());
    Ok(passed.len() == wanted.len())
}

/// An attribute of an XML tag, with the five entities read.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    let value =
        value.replace("&lt;", "<").replace("&gt;", ">").replace("&#34;", "\"").replace("&quot;", "\"");
    Some(value.replace("&#39;", "'").replace("&apos;", "'").replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reports_are_read() {
        assert_eq!(escape("a [b] (c)"), r"a \[b\] \(c\)");
        assert_eq!(attribute(r#"name="a &lt;b&gt;" status="passed">"#, "status").as_deref(), Some("passed"));
        assert_eq!(attribute(r#"name="a &lt;b&gt;" status="passed">"#, "name").as_deref(), Some("a <b>"));
    }
}
