//! Running other programs: cargo, and what the tests need from the distribution.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("because xtask lies in the repository")
}

/// The target directory that cargo uses here.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

pub fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root());
    command
}

/// Runs a step to its end, says how long it took, and fails with it.
pub fn step(what: &str, command: &mut Command) -> Result<()> {
    eprintln!("==> {what}");
    let since = Instant::now();
    let status = command.status().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{what}: failed ({status})");
    }
    eprintln!("    {what}: {:.0}s", since.elapsed().as_secs_f64());
    Ok(())
}

/// `go` in the folder of a pinned module of this repository; `c`: with cgo. Errors: it is not installed.
pub fn go(module: &str, c: bool) -> Result<Command> {
    if which("go").is_none() {
        bail!("what skiff is compared with is Go: install Go 1.26 or newer");
    }
    let mut go = Command::new("go");
    go.current_dir(root().join(module))
        .env("CGO_ENABLED", if c { "1" } else { "0" })
        .env("GOFLAGS", "-mod=mod");
    Ok(go)
}

/// Builds a program of a pinned Go module unless it is there; the first time takes minutes.
pub fn go_program(module: &str, to: &Path, package: &str, c: bool) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    let version = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";
    let mut go = go(module, c)?;
    go.args(["build", "-ldflags", version, "-o"]).arg(to).arg(package);
    step(&format!("building {package}"), &mut go).with_context(|| format!("{package} did not build"))
}

/// Finds a program on the PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// Installs Debian packages whose programs are missing; says so where that is not possible.
pub fn packages(wanted: &[(&str, &str)]) {
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| which(program).is_none()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return;
    }
    if !is_root() || which("apt-get").is_none() {
        eprintln!(
            "MISSING: {} (the tests that need them will say that they could not run)",
            missing.join(" ")
        );
        return;
    }
    eprintln!("==> installing {}", missing.join(" "));
    let apt = |words: &[&str]| {
        Command::new("apt-get")
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
    };
    let updated = apt(&["update"]);
    let mut words = vec!["install", "-y", "--no-install-recommends"];
    words.extend(&missing);
    match updated.and_then(|_| apt(&words)) {
        Ok(status) if status.success() => {}
        _ => eprintln!(
            "MISSING: {} could not be installed (the tests that need them will say so)",
            missing.join(" ")
        ),
    }
}

/// Builds the server and a program of the end-to-end package in one profile, and gives their folder.
pub fn build(profile: &str, program: &str) -> Result<PathBuf> {
    step(
        "building skiff and its shim (the first time takes minutes)",
        &mut cargo(&[
            "build",
            "--profile",
            profile,
            "-p",
            "skiff",
            "-p",
            "e2e",
            "--bin",
            "skiff",
            "--bin",
            program,
        ]),
    )?;
    Ok(target().join(if profile == "dev" { "debug" } else { profile }))
}

/// Replaces nothing: starts a built program with arguments and fails with it.
pub fn program(folder: &Path, name: &str, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<()> {
    let status = Command::new(folder.join(name))
        .args(words)
        .env("SKIFF_BINARY", folder.join("skiff"))
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}
