//! `cargo xtask check`: the house rules. Format, lints, crate edges, file sizes, module heads, documents, licences.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::run;

/// Check format, lints, crate edges, file sizes, documents and licences
#[derive(clap::Args)]
pub struct Args {}

/// The layers of the design; an edge goes from a higher layer to a lower one. `dev` is for tests.
const LAYERS: &[(&str, u8)] = &[
    ("base", 0),
    ("api", 0),
    // Stands on nothing: its owner gives it the tasks.
    ("grpc", 0),
    // Stands on nothing, and gives `runtime` the words that both speak.
    ("shim", 0),
    // For build scripts only.
    ("static-program", 0),
    ("store", 1),
    ("client", 1),
    ("pki", 1),
    ("image", 1),
    ("runtime", 1),
    ("net", 1),
    ("render", 1),
    ("apiserver", 2),
    ("scheduler", 2),
    ("controllers", 2),
    ("kubelet", 2),
    ("proxy", 2),
    ("dns", 2),
    ("ingress", 2),
    ("fleet", 2),
    ("skiff", 3),
    ("toolbox", 4),
    ("testkit", 4),
    ("testkit-cluster", 4),
    ("apibench", 5),
    ("differential", 5),
    ("e2e", 5),
    ("xtask", 5),
];

/// Lines that a file may have without saying why, tests not counted.
const MOST_LINES: usize = 600;
/// What a longer file's head says.
const EXCUSE: &str = "Long because";

pub fn run(_args: &Args) -> Result<()> {
    fast()?;
    advisories()
}

/// Everything that needs no network.
pub fn fast() -> Result<()> {
    house()?;
    run::step("format", &mut run::cargo(&["fmt", "--all", "--check"]))?;
    licences()?;
    run::step("lints", &mut run::cargo(&["clippy", "--workspace", "--quiet", "--", "-D", "warnings"]))?;
    // Tests may unwrap: a panic is how they fail.
    run::step(
        "lints of tests",
        &mut run::cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
            "-A",
            "clippy::unwrap_used",
        ]),
    )?;
    run::step(
        "documents",
        run::cargo(&["doc", "--workspace", "--no-deps", "--quiet"])
            .env("RUSTDOCFLAGS", "-D rustdoc::broken_intra_doc_links"),
    )
}

/// Licences, banned crates and sources of all dependencies.
fn licences() -> Result<()> {
    if !deny_is_here() {
        return Ok(());
    }
    run::step(
        "licences",
        &mut run::cargo(&["deny", "--all-features", "check", "licenses", "bans", "sources"]),
    )
}

/// Known weaknesses of dependencies; the list of them is fetched, so this says when it cannot be.
fn advisories() -> Result<()> {
    if !deny_is_here() {
        return Ok(());
    }
    if run::step("the list of advisories", &mut run::cargo(&["deny", "fetch", "db"])).is_err() {
        eprintln!("COULD NOT RUN: advisories (the list could not be fetched)");
        return Ok(());
    }
    run::step("advisories", &mut run::cargo(&["deny", "--offline", "--all-features", "check", "advisories"]))
}

fn deny_is_here() -> bool {
    let here = run::which("cargo-deny").is_some();
    if !here {
        eprintln!(
            "COULD NOT RUN: licences and advisories (`cargo install --locked cargo-deny` brings the program)"
        );
    }
    here
}

/// The rules that are text: edges, sizes, heads.
fn house() -> Result<()> {
    eprintln!("==> house rules");
    let mut wrong = edges()?;
    let mut files = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        sources(&run::root().join(folder), &mut files)?;
    }
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(run::root()).unwrap_or(&file).display().to_string();
        wrong.extend(head(&text).map(|what| format!("{name}: {what}")));
        wrong.extend(size(&name, &text).map(|what| format!("{name}: {what}")));
    }
    if !wrong.is_empty() {
        bail!("house rules are broken:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                sources(&path, files)?;
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn head(text: &str) -> Option<&'static str> {
    (!text.starts_with("//!"))
        .then_some("opens without //!: say what it is, what it keeps, what it does not do")
}

fn size(name: &str, text: &str) -> Option<String> {
    if name.contains("/tests") || name.ends_with("tests.rs") {
        return None;
    }
    let own = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
    let excused = text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains(EXCUSE));
    (own > MOST_LINES && !excused).then(|| {
        format!("has {own} lines, {MOST_LINES} is the most: split it, or say \"{EXCUSE} …\" in its head")
    })
}

fn edges() -> Result<Vec<String>> {
    let output = run::cargo(&["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cannot run cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(layer) = layers.get(name) else {
            wrong.push(format!("{name}: a crate that is in no layer; see xtask/src/check.rs"));
            continue;
        };
        for edge in package["dependencies"].as_array().into_iter().flatten() {
            let to = edge["name"].as_str().unwrap_or_default();
            let Some(below) = layers.get(to).filter(|_| edge["path"].is_string()) else { continue };
            let dev = edge["kind"] == "dev";
            // base and api stand beside each other; api is the purer one and may not look at base.
            let fine = below < layer || (dev && *below == 4);
            if !fine {
                wrong.push(format!("{name} → {to}: an edge must go to a lower layer"));
            }
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_rules_are_kept() {
        house().unwrap();
    }

    #[test]
    fn a_long_file_needs_an_excuse() {
        let long = "//! A table.\n".to_string() + &"line\n".repeat(700);
        assert!(size("a.rs", &long).is_some());
        assert!(size("a.rs", &long.replace("A table", "A table. Long because it is one")).is_none());
        assert!(size("crates/a/src/tests.rs", &long).is_none());
        assert!(head("use std;").is_some());
    }
}
