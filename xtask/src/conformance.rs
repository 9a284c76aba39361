//! `cargo xtask conformance`: the official suite, built from its Go module, against a cluster that this starts itself.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::run;

/// Run the official conformance suite by stage against a skiff of its own
///
/// The first run builds the suite (Go 1.26, a quarter of an hour) and its images; later runs take minutes. Failed tests are
/// listed with the first line of why, then counts by SIG; target/conformance/report holds summary.json, the suite's logs and
/// JUnit files, and skiff's log. Stages: A the API alone, B API with controllers, C pods on one node, D Services, DNS and the
/// pod network, E volumes, F scheduling, DaemonSets and taints (alone), G two nodes. Fails when one test did not pass.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask conformance --stage A\n  cargo xtask conformance --stage C --focus '^\\[sig-node\\]'\n  cargo xtask conformance --focus 'ConfigMap should be consumable' --skip 'non-root' --parallel 2"
)]
pub struct Args {
    /// Stages of conformance/tests.tsv, with commas: A to G [default: all]
    #[arg(long)]
    stage: Option<String>,
    /// Only tests whose name matches this regular expression
    #[arg(long)]
    focus: Option<String>,
    /// No test whose name matches this regular expression
    #[arg(long)]
    skip: Option<String>,
    /// Tests that run at once
    #[arg(long, default_value_t = 4)]
    parallel: u32,
    /// Where the suite is built and reports go [default: target/conformance]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Build skiff with this profile
    #[arg(long, default_value = "quick")]
    profile: String,
}

/// Programs that images of the suite hold, and the Debian packages that have them.
const PACKAGES: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("bash", "bash"),
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("host", "bind9-host"),
    ("nc.openbsd", "netcat-openbsd"),
    ("ip", "iproute2"),
    ("iperf", "iperf"),
    ("findmnt", "util-linux"),
    ("getent", "libc-bin"),
];

pub fn run(args: &Args) -> Result<()> {
    if !run::is_root() {
        bail!("the suite runs real pods: run it as root");
    }
    if run::which("go").is_none() {
        bail!("the suite is made of Go programs: install Go 1.26 or newer");
    }
    // Only the first stage runs no pods, and so no images.
    if args.stage.as_deref() != Some("A") {
        run::packages(PACKAGES);
    }
    let folder = run::build(&args.profile, "conformance")?;
    let out = args.out.clone().unwrap_or_else(|| run::target().join("conformance"));
    let mut words = vec!["--suite".to_owned(), out.display().to_string()];
    words.extend(["--parallel".into(), args.parallel.to_string()]);
    for (flag, value) in [("--stage", &args.stage), ("--focus", &args.focus), ("--skip", &args.skip)] {
        if let Some(value) = value {
            words.extend([flag.to_owned(), value.clone()]);
        }
    }
    run::program(&folder, "conformance", words)
}
