//! `cargo xtask test`: installs what the tests need and runs all of them; what CI runs.

use anyhow::Result;

use crate::{check, kubectl, run};

/// Install what the tests need, check the house rules and run all tests
#[derive(clap::Args)]
pub struct Args {
    /// Only the tests, without format, lints and house rules
    #[arg(long)]
    no_check: bool,
}

pub fn run(args: &Args) -> Result<()> {
    run::packages(&[
        ("nft", "nftables"),
        ("git", "git"),
        ("ip", "iproute2"),
        ("cc", "gcc"),
        ("make", "make"),
        ("sshd", "openssh-server"),
        ("ssh-keygen", "openssh-client"),
        ("gpg", "gnupg"),
    ]);
    if !args.no_check {
        check::fast()?;
    }
    // With the tests' own features, or all that skiff is made of would be compiled twice.
    let build = ["build", "--workspace", "--bins", "--tests", "--examples"];
    run::step("building the tests", &mut run::cargo(&build))?;
    let mut tests = run::cargo(&["test", "--workspace", "--no-fail-fast"]);
    tests.env("SKIFF_BINARY", run::target().join("debug/skiff"));
    if std::env::var_os("SKIFF_KUBECTL").is_none()
        && let Some(kubectl) = kubectl::newest()
    {
        tests.env("SKIFF_KUBECTL", kubectl);
    }
    run::step("tests", &mut tests)
}
