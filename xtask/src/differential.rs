//! `cargo xtask differential`: upstream's API server and skiff's are sent the same requests and their answers compared.
//!
//! The reference is built once from the Go modules pinned in `conformance/`, whose cache also holds upstream's API fixtures.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::run;

/// Compare skiff's API with upstream's, request by request
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask differential\n  cargo xtask differential --kind Pod,apps/Deployment --limit 5000\n  cargo xtask differential --seed 7 --json differences.jsonl\n  cargo xtask differential --ask GET /api/v1/namespaces/default"
)]
pub struct Args {
    /// Folder with kube-apiserver and etcd [default: target/upstream, built if missing]
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Ask upstream anew, and forget what it answered in earlier runs
    #[arg(long)]
    fresh: bool,
    /// What the comparison takes: --kind, --seed, --limit, --json, --top, --ask
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Name, folder of the module, package.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("kube-apiserver", "conformance", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("etcd", "conformance/etcd", "go.etcd.io/etcd/server/v3"),
];

pub fn run(args: &Args) -> Result<()> {
    if !run::is_root() {
        bail!("both servers run in a network namespace of their own: run this as root");
    }
    let programs = match &args.reference {
        Some(folder) => std::path::absolute(folder)?,
        None => {
            let folder = run::target().join("upstream");
            std::fs::create_dir_all(&folder)?;
            for (name, module, package) in PROGRAMS {
                run::go_program(module, &folder.join(name), package, false)?;
            }
            folder
        }
    };
    let fixtures = module_folder("k8s.io/api")?.join("testdata/HEAD");
    run::step(
        "building the comparison",
        &mut run::cargo(&["build", "--profile", "quick", "-p", "differential"]),
    )?;
    let mut words = vec!["--reference".into(), programs.display().to_string()];
    words.extend(["--fixtures".into(), fixtures.display().to_string()]);
    // What upstream answered to a request is asked once; another build of it has a folder of its own.
    let size = std::fs::metadata(programs.join("kube-apiserver")).map(|data| data.len()).unwrap_or_default();
    let answers = run::target().join(format!("upstream-answers-{size}"));
    if args.fresh && answers.exists() {
        std::fs::remove_dir_all(&answers).with_context(|| format!("cannot remove {}", answers.display()))?;
    }
    if !args.rest.iter().any(|word| word.starts_with("--answers")) {
        words.extend(["--answers".into(), answers.display().to_string()]);
    }
    words.extend(args.rest.iter().cloned());
    run::program(&run::target().join("quick"), "differential", words)
}

/// Where the module cache keeps a module.
fn module_folder(module: &str) -> Result<PathBuf> {
    let output = run::go("conformance", false)?
        .args(["list", "-m", "-f", "{{.Dir}}", module])
        .output()
        .context("cannot run go list")?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if folder.is_empty() {
        bail!("go knows no folder of {module}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(folder.into())
}
