//! kube-rs' own tests that need a cluster: those its sources mark `#[ignore = "needs cluster …"]`.
//!
//! The sources are the crates that the workspace uses, as the registry has them, built in a workspace of their own. What the registry
//! takes out of them, the dependency of the tests on `kube` itself, is put back.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::lines::{End, Outcome};
use crate::{Client, Place};

pub const CLIENT: Client = Client { name: "kube-rs", flags: &[], node: true, parts: &[], run };

/// Crate, the features with which its tests build, and what the tests need beside what the registry knows of.
const CRATES: &[(&str, &str, &str)] = &[
    (
        "kube-client",
        "client,config,rustls-tls,ring,ws,jsonpatch,gzip,admission",
        "schemars = \"1\"\nkube = { version = \"*\", features = [\"derive\", \"client\", \"ws\"] }\n",
    ),
    ("kube", "client,config,rustls-tls,ring,ws,jsonpatch,gzip,admission,derive,runtime", ""),
    ("kube-runtime", "", "kube = { version = \"*\", features = [\"derive\", \"client\", \"runtime\"] }\n"),
];

/// Copies and builds the tests.
pub fn prepare(out: &Path) -> Result<()> {
    let folder = out.join("crates");
    copy(&folder)?;
    for (name, features, _) in CRATES {
        let status = cargo(name, features, out).arg("--no-run").status().context("cannot start cargo")?;
        if !status.success() {
            bail!("the tests of {name} did not build ({status})");
        }
    }
    Ok(())
}

fn cargo(name: &str, features: &str, out: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--quiet", "--lib", "--no-default-features", "--features", features]);
    cargo.arg("--manifest-path").arg(out.join("crates").join(name).join("Cargo.toml"));
    cargo.arg("--target-dir").arg(out.join("rust"));
    cargo
}

/// The crates' sources, outside of the registry's folder, which cargo tests nothing in, with the versions that the workspace has.
fn copy(to: &Path) -> Result<()> {
    if to.join("Cargo.toml").exists() {
        return Ok(());
    }
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot start cargo")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    std::fs::create_dir_all(to)?;
    let (mut members, mut patches) = (String::new(), String::new());
    for (name, _, more) in CRATES {
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let manifest =
            packages.filter(|package| package["name"] == *name).find_map(|one| one["manifest_path"].as_str());
        let manifest = manifest.with_context(|| format!("the workspace does not use {name}"))?;
        let from = Path::new(manifest).parent().context("a manifest lies in a folder")?;
        let copy: PathBuf = to.join(name);
        let status = Command::new("cp").arg("-r").arg(from).arg(&copy).status().context("cannot start cp")?;
        if !status.success() {
            bail!("cannot copy {}", from.display());
        }
        let file = copy.join("Cargo.toml");
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, format!("{text}\n[dev-dependencies]\n{more}"))?;
        members += &format!("\"{name}\", ");
        patches += &format!("{name} = {{ path = \"{name}\" }}\n");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    std::fs::copy(root, to.join("Cargo.lock")).context("cannot copy Cargo.lock")?;
    // Last: it says that all is there.
    let text =
        format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n{patches}");
    std::fs::write(to.join("Cargo.toml"), text)?;
    Ok(())
}

fn run(place: &Place<'_>) -> Result<Vec<Outcome>> {
    let out = place.out.parent().context("logs lie in a folder")?;
    let mut outcomes = Vec::new();
    for (name, features, _) in CRATES {
        let mut command = cargo(name, features, out);
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
