//! `cargo xtask conformance`: the official suite, built from its Go module, against a cluster that this starts itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// Run the official conformance suite by stage against a skiff of its own
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask conformance --stage A\n  cargo xtask conformance --stage C --focus sig-node\n  cargo xtask conformance --focus 'ConfigMap should be consumable'"
)]
pub struct Args {
    /// Stage of conformance/tests.tsv: A (API only) to G (two nodes)
    #[arg(long)]
    stage: Option<String>,
    /// Only tests whose name matches this regular expression
    #[arg(long)]
    focus: Option<String>,
    /// Tests that run at once
    #[arg(long, default_value_t = 4)]
    processes: u32,
    /// Where the suite is built and reports go [default: target/conformance]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Packages of the pinned Go module that make the suite.
const PROGRAMS: &[(&str, &str)] =
    &[("e2e.test", "k8s.io/kubernetes/test/e2e"), ("ginkgo", "github.com/onsi/ginkgo/v2/ginkgo")];

pub fn run(args: &Args) -> Result<()> {
    if !run::is_root() {
        bail!("the suite runs real pods: run it as root");
    }
    let out = args.out.clone().unwrap_or_else(|| run::target().join("conformance"));
    std::fs::create_dir_all(&out)?;
    for (name, package) in PROGRAMS {
        build(&out.join(name), package)?;
    }
    let folder = run::build("quick", "conformance")?;
    let mut words = vec!["--suite".to_owned(), out.display().to_string()];
    words.extend(["--processes".into(), args.processes.to_string()]);
    for (flag, value) in [("--stage", &args.stage), ("--focus", &args.focus)] {
        if let Some(value) = value {
            words.extend([flag.to_owned(), value.clone()]);
        }
    }
    run::program(&folder, "conformance", words)
}

/// Builds one program of the suite unless it is there; the first time takes a quarter of an hour.
fn build(to: &Path, package: &str) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    if run::which("go").is_none() {
        bail!("the suite is a Go program: install Go 1.26 or newer");
    }
    let mut go = Command::new("go");
    go.current_dir(run::root().join("conformance")).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=mod");
    let version = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";
    match to.file_name().and_then(|name| name.to_str()) {
        Some("e2e.test") => go.args(["test", "-c"]),
        _ => go.arg("build"),
    };
    go.args(["-ldflags", version, "-o"]).arg(to).arg(package);
    run::step(&format!("building {package}"), &mut go).context("the suite did not build")
}
