//! kube-rs' own tests that need a cluster: those its sources mark `#[ignore = "needs cluster …"]`.
//!
//! The sources are the crates that the workspace uses, as the registry has them, built in a folder of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::lines::{End, Outcome};
use crate::{Client, Place};

pub const CLIENT: Client = Client { name: "kube-rs", flags: &[], node: true, parts: &[], run };

/// Crate, and the features with which its tests build.
const CRATES: &[(&str, &str)] = &[
    ("kube-client", "client,config,rustls-tls,ring,ws,jsonpatch"),
    ("kube", "client,config,rustls-tls,ring,ws,derive,runtime"),
    ("kube-runtime", ""),
];

/// Copies and builds the tests.
pub fn prepare(out: &Path) -> Result<()> {
    for (name, features) in CRATES {
        let folder = copy(name, out)?;
        let status = cargo(&folder, features, out).arg("--no-run").status().context("cannot start cargo")?;
        if !status.success() {
            bail!("the tests of {name} did not build ({status})");
        }
    }
    Ok(())
}

fn cargo(folder: &Path, features: &str, out: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--quiet", "--lib", "--no-default-features", "--features", features]);
    cargo.arg("--manifest-path").arg(folder.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(out.join("rust"));
    cargo
}

/// The crate's sources, outside of the registry's folder, which cargo tests nothing in.
fn copy(name: &str, out: &Path) -> Result<PathBuf> {
    let to = out.join("crates").join(name);
    if to.join("Cargo.toml").exists() {
        return Ok(to);
    }
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot start cargo")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest =
        packages.filter(|package| package["name"] == name).find_map(|one| one["manifest_path"].as_str());
    let manifest = manifest.with_context(|| format!("the workspace does not use {name}"))?;
    let from = Path::new(manifest).parent().context("a manifest lies in a folder")?;
    std::fs::create_dir_all(to.parent().context("a crate lies in a folder")?)?;
    let status = Command::new("cp").arg("-r").arg(from).arg(&to).status().context("cannot start cp")?;
    if !status.success() {
        bail!("cannot copy {}", from.display());
    }
    // A workspace of its own, or cargo takes it for a member of this one.
    let file = to.join("Cargo.toml");
    let text = std::fs::read_to_string(&file)?;
    std::fs::write(&file, format!("{text}\n[workspace]\n"))?;
    Ok(to)
}

fn run(place: &Place<'_>) -> Result<Vec<Outcome>> {
    let out = place.out.parent().context("logs lie in a folder")?;
    let mut outcomes = Vec::new();
    for (name, features) in CRATES {
        let mut command = cargo(&out.join("crates").join(name), features, out);
        command.args(["--offline", "--", "--ignored", "--test-threads", "1", "--format", "pretty"]);
        command.args(place.focus).env("KUBECONFIG", place.machine.kubeconfig());
        let output = command.output().context("cannot start cargo")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        std::fs::write(
            place.out.join(format!("{name}.log")),
            [&output.stdout[..], &output.stderr[..]].concat(),
        )?;
        outcomes.extend(parse(name, &text));
    }
    for outcome in &outcomes {
        println!("    {outcome:?}");
    }
    Ok(outcomes)
}

/// `test a::b - should panic ... ok` of libtest, and the first line of each panic.
fn parse(name: &str, text: &str) -> Vec<Outcome> {
    let why = |test: &str| {
        let start = text.find(&format!("---- {test} stdout ----"));
        let block = start.map_or("", |start| &text[start..]);
        block.lines().skip(1).find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
    };
    let line = |line: &str| {
        let (test, end) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let test = test.split(" - ").next().unwrap_or(test);
        let end = match end.split_whitespace().next()? {
            "ok" => End::Passed,
            "FAILED" => End::Failed(why(test)),
            other => End::Skipped(other.into()),
        };
        Some(Outcome { name: format!("{name}::{test}"), end })
    };
    text.lines().filter_map(line).collect()
}
