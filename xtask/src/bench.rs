//! `cargo xtask bench`: measures a release build against the budgets of the design and prints figures; it asserts nothing.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// Measure a release build and print each figure beside its budget
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench pods\n  cargo xtask bench api\n  cargo xtask bench api gets --servers skiff,kine --json\n  KUSTOMIZE=kustomize HELM=helm cargo xtask bench render\n  cargo xtask bench fleet wire"
)]
pub struct Args {
    /// Measure only what has this in its name; `render`: Kustomize trees, by a program that needs no root; `api`: the API
    /// server alone, beside upstream's; `fleet`: the agent beside an API server, and what looks at Git cost
    filter: Option<String>,
    /// Of `api`: only families that have this in their name; of `fleet`: wire, agent or speed
    family: Option<String>,
    /// Build with this profile instead of release (figures then are not comparable)
    #[arg(long, default_value = "release")]
    profile: String,
    /// Of `api`: which servers [default: skiff,kine,etcd]
    #[arg(long)]
    servers: Option<String>,
    /// Of `api`: how long each load lasts
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Of `api`: print JSON
    #[arg(long)]
    json: bool,
}

/// Upstream's programs: the pinned Go module that has each, its package, and whether it needs a C compiler.
const UPSTREAM: &[(&str, &str, &str, bool)] = &[
    ("kube-apiserver", "conformance", "k8s.io/kubernetes/cmd/kube-apiserver", false),
    ("kine", "tests/apibench/upstream/kine", "github.com/k3s-io/kine", true),
    ("etcd", "conformance/etcd", "go.etcd.io/etcd/server/v3", false),
];

pub fn run(args: &Args) -> Result<()> {
    if args.filter.as_deref() == Some("render") {
        // Needs no root and no cluster: a program of the crate itself.
        let words = ["run", "--profile", &args.profile, "-p", "render", "--example", "bench"];
        let mut measure = run::cargo(&words);
        if run::which("go").is_some() {
            measure.env("ORACLE", crate::render::oracle()?);
        }
        return run::step(
            "measuring the renderer (KUSTOMIZE and HELM name upstream's programs)",
            &mut measure,
        );
    }
    if args.filter.as_deref() == Some("api") {
        return api(args);
    }
    if args.filter.as_deref() == Some("fleet") {
        return fleet(args);
    }
    if !run::is_root() {
        bail!("the benchmark runs real pods: run it as root");
    }
    let folder = run::build(&args.profile, "bench")?;
    run::program(&folder, "bench", &args.filter)
}

/// The fleet agent: no root, no pods.
fn fleet(args: &Args) -> Result<()> {
    let build = ["build", "--profile", &args.profile, "-p", "skiff"];
    run::step("building skiff", &mut run::cargo(&build))?;
    let folder = if args.profile == "dev" { "debug" } else { &args.profile };
    let skiff = run::target().join(folder).join("skiff");
    let mut measure = run::cargo(&["run", "-p", "fleet", "--example", "figures", "--"]);
    measure.arg(skiff).args(&args.family);
    run::step("measuring the fleet agent", &mut measure)
}

/// The API server alone: no root, no pods.
fn api(args: &Args) -> Result<()> {
    let servers = args.servers.as_deref().unwrap_or("skiff,kine,etcd");
    let upstream = run::target().join("upstream");
    if servers != "skiff" {
        std::fs::create_dir_all(&upstream)?;
        for (name, module, package, c) in UPSTREAM {
            run::go_program(module, &upstream.join(name), package, *c)?;
        }
    }
    let build = ["build", "--profile", &args.profile, "-p", "apibench"];
    run::step("building the API server and its load", &mut run::cargo(&build))?;
    let folder = if args.profile == "dev" { "debug" } else { &args.profile };
    let mut command = Command::new(run::target().join(folder).join("apibench"));
    command.arg("run").args(&args.family).args([
        "--servers",
        servers,
        "--seconds",
        &args.seconds.to_string(),
    ]);
    command.arg("--upstream").arg(&upstream);
    if args.json {
        command.arg("--json");
    }
    if !command.status().context("cannot start apibench")?.success() {
        bail!("apibench failed");
    }
    Ok(())
}
