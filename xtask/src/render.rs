//! `cargo xtask render`: asks upstream's own code and this the same questions, and compares the answers byte for byte.
//!
//! The other side is Go, pinned in `oracle/go.mod`: the oracle program, and for `krusty` a copy of Kustomize's module whose
//! own tests record what they build. Nothing of it is kept in the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// Compare rendering with upstream's code
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask render krusty\n  cargo xtask render trees --count 10000 --seed 7\n  cargo xtask render yaml --count 1000000"
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Kustomize's own tests, recorded by running them
    Krusty,
    /// Generated trees of overlays
    Trees(Generated),
    /// Generated YAML documents, read and printed as Kustomize does
    Yaml(Generated),
    /// Every function of Sprig and Helm with arguments of every type
    Functions(Generated),
    /// Generated charts, rendered with flags
    Charts(Generated),
    /// Generated values.schema.json files beside values
    Schemas(Generated),
    /// Generated YAML as Helm reads it, and lines of --set
    Texts(Generated),
    /// Charts that lie below a folder, by the program that HELM names
    RealCharts(Real),
    /// Kustomizations that lie below a folder, by the program that KUSTOMIZE names
    RealTrees(Real),
}

#[derive(clap::Args)]
struct Real {
    /// The folder, an absolute path
    folder: PathBuf,
    /// How often each chart is rendered with its values changed by chance
    #[arg(long, default_value_t = 0)]
    variants: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(clap::Args)]
struct Generated {
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub fn run(args: &Args) -> Result<()> {
    if run::which("go").is_none() {
        bail!("the other side is a Go program: install Go 1.26 or newer");
    }
    let generated = |name: &str, all: &Generated| {
        differential(&[name.into(), all.count.to_string(), all.seed.to_string()], Some(&oracle()?))
    };
    match &args.what {
        What::Krusty => differential(&["krusty".into(), record()?.display().to_string()], None),
        What::Trees(all) => generated("trees", all),
        What::Yaml(all) => generated("yaml", all),
        What::Functions(all) => generated("functions", all),
        What::Charts(all) => generated("charts", all),
        What::Schemas(all) => generated("schemas", all),
        What::Texts(all) => generated("texts", all),
        What::RealCharts(real) => {
            let folder = real.folder.display().to_string();
            differential(
                &["real-charts".into(), folder, real.variants.to_string(), real.seed.to_string()],
                None,
            )
        }
        What::RealTrees(real) => {
            differential(&["real-trees".into(), real.folder.display().to_string()], None)
        }
    }
}

fn differential(words: &[String], oracle: Option<&Path>) -> Result<()> {
    let mut command =
        run::cargo(&["run", "--profile", "quick", "-p", "render", "--example", "differential", "--"]);
    command.args(words);
    if let Some(oracle) = oracle {
        command.env("ORACLE", oracle);
    }
    run::step("comparing", &mut command)
}

/// Builds the oracle and gives its place.
fn oracle() -> Result<PathBuf> {
    let to = run::target().join("oracle");
    let mut go = Command::new("go");
    go.current_dir(run::root().join("oracle")).args(["build", "-o"]).arg(&to).arg(".");
    run::step("building the oracle", &mut go)?;
    Ok(to)
}

/// Runs Kustomize's own tests in a copy of its module that records each build, and gives the file of records.
fn record() -> Result<PathBuf> {
    let out = run::target().join("krusty");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    std::fs::create_dir_all(&out)?;
    let found = Command::new("go")
        .current_dir(run::root().join("oracle"))
        .args(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kustomize/api"])
        .output()
        .context("cannot start go")?;
    let module = String::from_utf8(found.stdout)?.trim().to_owned();
    if module.is_empty() {
        bail!("the module sigs.k8s.io/kustomize/api is not there: run `go mod download` in oracle/");
    }
    let copy = out.join("api");
    run::step("copying the module", Command::new("cp").args(["-r", &module]).arg(&copy))?;
    run::step("unlocking the copy", Command::new("chmod").args(["-R", "u+w"]).arg(&copy))?;
    let kustomizer = copy.join("krusty/kustomizer.go");
    let text = std::fs::read_to_string(&kustomizer)?;
    let renamed = text.replace("func (b *Kustomizer) Run(", "func (b *Kustomizer) run(");
    if renamed == text {
        bail!("the module's Run is not where it was; adapt oracle/krusty to the new version");
    }
    std::fs::write(&kustomizer, renamed)?;
    std::fs::copy(run::root().join("oracle/krusty/record.go.txt"), copy.join("krusty/record.go"))?;
    let records = out.join("cases.jsonl");
    eprintln!(
        "==> running Kustomize's own tests (some need a network and fail without; what they build is recorded all the same)"
    );
    let status = Command::new("go")
        .current_dir(&copy)
        .env("SKIFF_RECORD", &records)
        .env("GOFLAGS", "-mod=mod")
        .args(["test", "-p", "1", "./krusty/..."])
        .stdout(std::process::Stdio::null())
        .status()?;
    if !records.exists() {
        bail!("Kustomize's tests recorded nothing ({status})");
    }
    Ok(records)
}
