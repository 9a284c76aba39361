//! `cargo xtask fuzz`: feeds each parser what it does not expect. The targets are in `fuzz/`; what they found that is new is kept in
//! `target/fuzz`, what made one fail in `fuzz/artifacts`.
//!
//! libFuzzer needs counters in every branch, which the stable compiler makes when LLVM is asked for them; no sanitizer, since
//! the parsers are safe Rust and a panic is what there is to find.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run;

/// Feed each parser what it does not expect
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask fuzz --seconds 30\n  cargo xtask fuzz protobuf --seconds 3600\n  cargo xtask fuzz json --again fuzz/artifacts/json/crash-1234"
)]
pub struct Args {
    /// One of fuzz/fuzz_targets; all if not given
    target: Option<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Run the target on this input alone
    #[arg(long, requires = "target")]
    again: Option<PathBuf>,
}

/// Coverage as libFuzzer reads it, and the `cfg` that `cargo fuzz` sets too.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // The tables are found by the names of their sections, which only this keeps.
    "-Clink-dead-code",
    "-Ccodegen-units=1",
];

pub fn run(args: &Args) -> Result<()> {
    let folder = run::root().join("fuzz");
    let targets = targets(&folder)?;
    let chosen: Vec<&(String, Option<String>)> =
        targets.iter().filter(|(name, _)| args.target.as_ref().is_none_or(|wanted| wanted == name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = targets.iter().map(|(name, _)| name.as_str()).collect();
        bail!("there is no such target; there are {}", names.join(", "));
    }
    run::packages(&[("c++", "g++")]);
    let mut failed = Vec::new();
    for (name, feature) in chosen {
        let program = build(&folder, name, feature.as_deref())?;
        let (corpus, artifacts) =
            (run::target().join("fuzz").join(name), folder.join("artifacts").join(name));
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let mut fuzz = std::process::Command::new(program);
        fuzz.arg(format!("-artifact_prefix={}/", artifacts.display()));
        match &args.again {
            Some(input) => drop(fuzz.arg(input)),
            None => {
                fuzz.args([
                    "-timeout=10",
                    "-rss_limit_mb=2048",
                    "-print_final_stats=1",
                    "-verbosity=0",
                    "-max_len=16384",
                ]);
                fuzz.arg(format!("-max_total_time={}", args.seconds)).arg(&corpus);
                fuzz.args(Some(folder.join("seeds").join(name)).filter(|seeds| seeds.is_dir()));
            }
        }
        if run::step(&format!("fuzzing {name}"), &mut fuzz).is_err() {
            failed.push(name.as_str());
        }
    }
    if !failed.is_empty() {
        bail!("{} failed; the inputs are in fuzz/artifacts", failed.join(", "));
    }
    Ok(())
}

/// Names of the targets, each with the feature that it needs.
fn targets(folder: &Path) -> Result<Vec<(String, Option<String>)>> {
    let text = std::fs::read_to_string(folder.join("Cargo.toml")).context("cannot read fuzz/Cargo.toml")?;
    let target = |part: &str| {
        let value = |key: &str| {
            let line = part.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_matches([' ', '=', '[', ']', '"']).to_owned())
        };
        Some((value("name")?, value("required-features")))
    };
    Ok(text.split("[[bin]]").skip(1).filter_map(target).collect())
}

fn build(folder: &Path, name: &str, feature: Option<&str>) -> Result<PathBuf> {
    // With a target named, build scripts and macros are built without the counters.
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut words = vec!["build", "--release", "--target", &host, "--bin", name];
    words.extend(feature.iter().flat_map(|feature| ["--features", *feature]));
    let mut cargo = run::cargo(&words);
    cargo
        .current_dir(folder)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env_remove("CARGO_TARGET_DIR");
    run::step(&format!("building {name}"), &mut cargo)?;
    Ok(folder.join("target").join(host).join("release").join(name))
}
