//! `cargo xtask render`: asks upstream's own code and this the same questions, and compares the answers byte for byte.
//!
//! The other side is Go, pinned in `oracle/go.mod`: the oracle program, and for `krusty` and `plugins` a copy of Kustomize's module whose
//! own tests record what they build. Nothing of it is kept in the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

mod helm;

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
    /// Kustomize's own tests, recorded by running them (those with charts too if HELM names the program)
    Krusty,
    /// The tests of Kustomize's built-in plugins, recorded by running them
    Plugins {
        /// Where Kustomize's repository lies; fetched if not given
        repository: Option<PathBuf>,
    },
    /// Helm's own unit tests, recorded by running them: writes what the tests of the crate ask
    Helm,
    /// Generated trees of overlays
    Trees(Generated),
    /// Generated YAML documents, read and printed as Helm and as Kustomize do
    Yaml(Generated),
    /// Generated directories of plain manifests, as Argo CD takes them
    Directories(Generated),
    /// Generated objects with variables, substituted as Flux does
    Substitutions(Generated),
    /// Every function of Sprig and Helm with arguments of every type
    Functions(Generated),
    /// Generated charts, rendered with flags
    Charts(Generated),
    /// Generated values.schema.json files beside values
    Schemas(Generated),
    /// Lines of --set and its kin
    Texts(Generated),
    /// Charts that lie below a folder, by the program that HELM names
    RealCharts(Real),
    /// The same charts with values made from their schemas, or from the shapes of their own values
    Values(Real),
    /// The golden files of Helm's own tests of `helm template`
    Goldens,
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
        What::Plugins { repository } => {
            let records = record_plugins(repository.as_deref())?;
            differential(&["plugins".into(), records.display().to_string()], Some(&oracle()?))
        }
        What::Helm => helm::record(),
        What::Trees(all) => generated("trees", all),
        What::Yaml(all) => generated("yaml", all),
        What::Directories(all) => generated("directories", all),
        What::Substitutions(all) => generated("substitutions", all),
        What::Functions(all) => generated("functions", all),
        What::Charts(all) => generated("charts", all),
        What::Schemas(all) => generated("schemas", all),
        What::Texts(all) => generated("texts", all),
        What::RealCharts(real) => differential(&below("real-charts", real), None),
        What::Values(real) => differential(&below("values", real), Some(&oracle()?)),
        What::Goldens => differential(&["goldens".into(), module("helm.sh/helm/v3")?], None),
        What::RealTrees(real) => {
            differential(&["real-trees".into(), real.folder.display().to_string()], None)
        }
    }
}

fn below(name: &str, real: &Real) -> [String; 4] {
    let folder = real.folder.display().to_string();
    [name.into(), folder, real.variants.to_string(), real.seed.to_string()]
}

/// Where a module that the oracle pins lies.
fn module(name: &str) -> Result<String> {
    let found = Command::new("go")
        .current_dir(run::root().join("oracle"))
        .args(["list", "-m", "-f", "{{.Dir}}", name])
        .output()
        .context("cannot start go")?;
    let folder = String::from_utf8(found.stdout)?.trim().to_owned();
    if folder.is_empty() {
        bail!("the module {name} is not there: run `go mod download` in oracle/");
    }
    Ok(folder)
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
pub fn oracle() -> Result<PathBuf> {
    let to = run::target().join("oracle");
    let mut go = Command::new("go");
    go.current_dir(run::root().join("oracle")).args(["build", "-o"]).arg(&to).arg(".");
    run::step("building the oracle", &mut go)?;
    Ok(to)
}

const KUSTOMIZE: &str = "sigs.k8s.io/kustomize/api";

/// A copy of a module in `out` that can be written to.
fn copy_of_module(name: &str, out: &Path) -> Result<PathBuf> {
    if out.exists() {
        std::fs::remove_dir_all(out)?;
    }
    std::fs::create_dir_all(out)?;
    let module = module(name)?;
    let copy = out.join("copy");
    run::step("copying the module", Command::new("cp").args(["-r", &module]).arg(&copy))?;
    run::step("unlocking the copy", Command::new("chmod").args(["-R", "u+w"]).arg(&copy))?;
    Ok(copy)
}

/// Changes a file of the copy; each text must be there.
fn change(file: &Path, changes: &[(&str, &str)]) -> Result<()> {
    let mut text = std::fs::read_to_string(file)?;
    for (from, to) in changes {
        if !text.contains(from) {
            bail!("{}: `{from}` is not where it was; adapt oracle/ to the new version", file.display());
        }
        text = text.replace(from, to);
    }
    Ok(std::fs::write(file, text)?)
}

/// Runs tests of the copy, which write what they do to the file of records that this gives.
fn tests(copy: &Path, packages: &[String]) -> Result<PathBuf> {
    let records = copy.with_file_name("cases.jsonl");
    // The harness of tests with plugins wants a folder of their sources, and calls Helm by this name.
    let (plugins, programs) = (copy.with_file_name("plugin"), copy.with_file_name("bin"));
    std::fs::create_dir_all(plugins)?;
    std::fs::create_dir_all(&programs)?;
    if let Ok(helm) = std::env::var("HELM") {
        std::os::unix::fs::symlink(helm, programs.join("helmV3"))?;
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let status = Command::new("go")
        .current_dir(copy)
        .env("PATH", path)
        .env("SKIFF_RECORD", &records)
        .env("GOFLAGS", "-mod=mod")
        .args(["test", "-count", "1", "-p", "1"])
        .args(packages)
        .stdout(std::process::Stdio::null())
        .status()?;
    if !records.exists() {
        bail!("the tests recorded nothing ({status})");
    }
    Ok(records)
}

/// Runs Kustomize's own tests in a copy of its module that records each build, and gives the file of records.
fn record() -> Result<PathBuf> {
    let copy = copy_of_module(KUSTOMIZE, &run::target().join("krusty"))?;
    let renamed = [("func (b *Kustomizer) Run(", "func (b *Kustomizer) run(")];
    change(&copy.join("krusty/kustomizer.go"), &renamed)?;
    std::fs::copy(run::root().join("oracle/krusty/record.go.txt"), copy.join("krusty/record.go"))?;
    eprintln!(
        "==> running Kustomize's own tests (some need a network and fail without; what they build is recorded all the same)"
    );
    tests(&copy, &["./krusty/...".into()])
}

/// The tag of Kustomize's repository that has the tests of the plugins in the pinned module.
const PLUGINS: &str = "api/v0.21.1";

/// Runs the tests of the built-in plugins, which lie in Kustomize's repository, against a copy of its module that records each call.
fn record_plugins(repository: Option<&Path>) -> Result<PathBuf> {
    let copy = copy_of_module(KUSTOMIZE, &run::target().join("plugins"))?;
    let harness = copy.join("testutils/kusttest/harnessenhanced.go");
    change(
        &harness,
        &[
            ("HarnessEnhanced) PrepBuiltin(", "HarnessEnhanced) prepBuiltin("),
            ("HarnessEnhanced) RunTransformerFromResMap(", "HarnessEnhanced) runTransformerFromResMap("),
            (
                "HarnessEnhanced) LoadAndRunGeneratorWithBuildAnnotations(",
                "HarnessEnhanced) loadAndRunGeneratorWithBuildAnnotations(",
            ),
            ("types.BploLoadFromFileSys", "types.BploUseStaticallyLinked"),
        ],
    )?;
    let recorder = run::root().join("oracle/krusty/plugins.go.txt");
    std::fs::copy(recorder, harness.with_file_name("record.go"))?;
    let clone;
    let repository = match repository {
        Some(repository) => repository,
        None => {
            clone = copy.with_file_name("repository");
            let mut git = Command::new("git");
            git.args(["clone", "--quiet", "--depth", "1", "--branch", PLUGINS]);
            git.arg("https://github.com/kubernetes-sigs/kustomize").arg(&clone);
            run::step("fetching Kustomize's repository", &mut git)?;
            &clone
        }
    };
    let archive = copy.with_file_name("tests.tar");
    let mut git = Command::new("git");
    git.arg("-C").arg(repository).args(["archive", "--output"]).arg(&archive);
    git.args([PLUGINS, "plugin/builtin"]);
    run::step("taking the plugins' tests", &mut git)?;
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&archive).arg("-C").arg(&copy).args(["--wildcards", "*_test.go"]);
    run::step("unpacking them", &mut tar)?;
    eprintln!("==> running the plugins' tests (Helm's need its program and are skipped without)");
    tests(&copy, &["./plugin/...".into()])
}
