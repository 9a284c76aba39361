//! `cargo xtask dist`: the static release binary, for this machine's architecture or another.

use anyhow::{Context, Result, bail};

use crate::run;

/// Build the static release binary
#[derive(clap::Args)]
pub struct Args {
    /// x86_64 or aarch64; another than the machine's is built with cargo-zigbuild
    #[arg(long, default_value = std::env::consts::ARCH)]
    arch: String,
}

pub fn run(args: &Args) -> Result<()> {
    let target = format!("{}-unknown-linux-musl", args.arch);
    if args.arch == std::env::consts::ARCH {
        run::packages(&[("musl-gcc", "musl-tools")]);
        let words = ["build", "--release", "-p", "skiff", "--target", &target];
        run::step("building the static binary", &mut run::cargo(&words))?;
    } else {
        if run::which("cargo-zigbuild").is_none() {
            bail!("building for {target} needs cargo-zigbuild and zig: `pip install cargo-zigbuild ziglang`");
        }
        let words = ["zigbuild", "--release", "-p", "skiff", "--target", &target];
        run::step("building the static binary", &mut run::cargo(&words))?;
    }
    let path = run::target().join(&target).join("release/skiff");
    let size = std::fs::metadata(&path).with_context(|| format!("cannot find {}", path.display()))?.len();
    println!("{} {:.1} MB", path.display(), size as f64 / 1e6);
    Ok(())
}
