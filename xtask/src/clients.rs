//! `cargo xtask clients`: clients that nobody here wrote, with their makers' own tests, against a skiff that this starts.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::run;

/// Run kubectl's, Helm's, Python's, kube-rs' and controller-runtime's own tests against a skiff of their own
///
/// Each client's tests are listed as they end, then counted; what does not pass and why stands in tests/clients/known.tsv. The first
/// run builds Go programs, a Python environment and kube-rs' tests from what is pinned; logs are in target/clients.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask clients\n  cargo xtask clients --client kubectl --focus run_pod_tests\n  cargo xtask clients --client helm,python"
)]
pub struct Args {
    /// kubectl, helm, python, kube-rs, controller-runtime; with commas [default: all]
    #[arg(long)]
    client: Option<String>,
    /// Only tests whose name holds this (for kubectl: the name of one of the suite's functions)
    #[arg(long)]
    focus: Option<String>,
    /// Build skiff with this profile
    #[arg(long, default_value = "quick")]
    profile: String,
}

/// Programs that the tests call, and the Debian packages that have them.
const PACKAGES: &[(&str, &str)] = &[
    ("jq", "jq"),
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("busybox", "busybox-static"),
    ("python3", "python3-venv"),
];

pub fn run(args: &Args) -> Result<()> {
    if !run::is_root() {
        bail!("the server runs in namespaces of its own, and real pods on it: run this as root");
    }
    run::packages(PACKAGES);
    let folder = run::build(&args.profile, "clients")?;
    let out: PathBuf = run::target().join("clients");
    let mut words = vec!["--out".to_owned(), out.display().to_string()];
    for (flag, value) in [("--client", &args.client), ("--focus", &args.focus)] {
        if let Some(value) = value {
            words.extend([flag.to_owned(), value.clone()]);
        }
    }
    run::program(&folder, "clients", words)
}
