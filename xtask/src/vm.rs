//! `cargo xtask vm`: skiff in a virtual machine with a Debian kernel and cgroups v2. Not part of the tests: it emulates a processor.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// Run skiff on a Debian kernel with cgroups v2, in a virtual machine
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask vm\n  cargo xtask vm --kernel /boot/vmlinuz-6.1.0-1-amd64 --modules /lib/modules/6.1.0-1-amd64"
)]
pub struct Args {
    /// The kernel [default: Debian's linux-image-amd64, downloaded into target/vm]
    #[arg(long, requires = "modules")]
    kernel: Option<PathBuf>,
    /// Its modules
    #[arg(long, requires = "kernel")]
    modules: Option<PathBuf>,
    /// What qemu runs the processor with: tcg (emulated) or kvm
    #[arg(long, default_value = "tcg")]
    accelerator: String,
    /// Build skiff with this profile
    #[arg(long, default_value = "quick")]
    profile: String,
}

pub fn run(args: &Args) -> Result<()> {
    run::packages(&[("qemu-system-x86_64", "qemu-system-x86"), ("ldd", "libc-bin")]);
    let (kernel, modules) = match (&args.kernel, &args.modules) {
        (Some(kernel), Some(modules)) => (kernel.clone(), modules.clone()),
        _ => debian(&run::target().join("vm"))?,
    };
    let folder = run::build(&args.profile, "vm")?;
    let words = [OsStr::new("--kernel"), kernel.as_os_str(), OsStr::new("--modules"), modules.as_os_str()];
    run::program(
        &folder,
        "vm",
        words.into_iter().chain(["--accelerator".as_ref(), args.accelerator.as_ref()]),
    )
}

/// Debian's kernel and its modules, unpacked below `folder`.
fn debian(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let boot = folder.join("boot");
    if !boot.exists() {
        std::fs::create_dir_all(folder)?;
        let said = Command::new("apt-cache").args(["depends", "--important", "linux-image-amd64"]).output();
        let said = said.context("no apt-cache here: give --kernel and --modules")?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let package = said.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        let package = package
            .context("apt knows no linux-image-amd64: run apt-get update, or give --kernel and --modules")?;
        let mut download = Command::new("apt-get");
        run::step("downloading Debian's kernel", download.args(["download", package]).current_dir(folder))?;
        let archive = only(folder, |name| name.ends_with(".deb"))?;
        run::step("unpacking it", Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder))?;
        std::fs::remove_file(archive)?;
    }
    Ok((only(&boot, |name| name.starts_with("vmlinuz-"))?, only(&folder.join("lib/modules"), |_| true)?))
}

/// The one entry of a folder with such a name.
fn only(folder: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let found = entries.flatten().find(|entry| fits(&entry.file_name().to_string_lossy()));
    match found {
        Some(entry) => Ok(entry.path()),
        None => bail!("{} has not what it should: remove it and try again", folder.display()),
    }
}
