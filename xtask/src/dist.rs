//! `cargo xtask dist`: the static release binary, for this machine's architecture or another.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

/// Build the static release binary
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask dist\n  cargo xtask dist --arch aarch64")]
pub struct Args {
    /// x86_64 or aarch64; another than the machine's is built with zig as its C compiler
    #[arg(long, default_value = std::env::consts::ARCH)]
    arch: String,
}

/// The linker of Rust's own toolchain, which makes one of functions whose code is the same (docs/adr/0008).
const LINKED: [&str; 2] = ["-Clinker=rust-lld", "-Clink-arg=--icf=all"];

pub fn run(args: &Args) -> Result<()> {
    let target = format!("{}-unknown-linux-musl", args.arch);
    if args.arch == std::env::consts::ARCH {
        run::packages(&[("musl-gcc", "musl-tools")]);
        let mut words =
            vec!["rustc", "--release", "-p", "skiff", "--bin", "skiff", "--target", &target, "--"];
        words.extend(LINKED);
        run::step("building the static binary", &mut run::cargo(&words))?;
    } else {
        let words = ["zigbuild", "--release", "-p", "skiff", "--target", &target];
        run::step("building the static binary", run::cargo(&words).env("PATH", with_zig()?))?;
    }
    let path = run::target().join(&target).join("release/skiff");
    let size = std::fs::metadata(&path).with_context(|| format!("cannot find {}", path.display()))?.len();
    println!("{} {:.1} MB", path.display(), size as f64 / 1e6);
    Ok(())
}

/// A PATH on which cargo-zigbuild and zig are; they are Python packages, put into an environment of their own if they are not
/// there already.
fn with_zig() -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if run::which("cargo-zigbuild").is_some() {
        return Ok(path);
    }
    let folder = run::target().join("zig");
    if !folder.join("bin/cargo-zigbuild").exists() {
        run::packages(&[("python3", "python3-venv")]);
        let mut make = Command::new("python3");
        run::step("making a Python environment", make.args(["-m", "venv"]).arg(&folder))
            .context("Debian has it in python3-venv")?;
        let mut install = Command::new(folder.join("bin/pip"));
        run::step(
            "installing cargo-zigbuild and zig",
            install.args(["install", "-q", "cargo-zigbuild", "ziglang"]),
        )?;
    }
    let all = std::iter::once(folder.join("bin")).chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(all)?)
}
