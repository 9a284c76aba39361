//! `cargo xtask gitops`: builds the command lines of Flux and Argo CD from their modules, and runs the end-to-end cases that
//! use them as their users do.
//!
//! Both embed files that their makefiles fetch or build, so each is built in a copy of its module with an empty one. The
//! versions are the newest that Go 1.26 builds: Argo CD 3.3 to 3.6 need files that their modules leave out, or Go 1.27. Programs
//! that are there already are named by `SKIFF_FLUX` and `SKIFF_ARGOCD`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// Flux' and Argo CD's own command lines against skiff (needs root, and Go with a module proxy the first time)
#[derive(clap::Args)]
pub struct Args {}

struct Program {
    module: &'static str,
    version: &'static str,
    package: &'static str,
    /// A file that is embedded and not in the module.
    embedded: &'static str,
    /// The variable that holds the version.
    symbol: &'static str,
    name: &'static str,
    variable: &'static str,
}

const PROGRAMS: [Program; 2] = [
    Program {
        module: "github.com/fluxcd/flux2/v2",
        version: "2.9.5",
        package: "./cmd/flux",
        embedded: "cmd/flux/manifests/none.yaml",
        symbol: "main.VERSION",
        name: "flux",
        variable: "SKIFF_FLUX",
    },
    Program {
        module: "github.com/argoproj/argo-cd/v3",
        version: "3.2.11",
        package: "./cmd",
        embedded: "ui/dist/app/index.html",
        symbol: "github.com/argoproj/argo-cd/v3/common.version",
        name: "argocd",
        variable: "SKIFF_ARGOCD",
    },
];

pub fn run(_: &Args) -> Result<()> {
    if !run::is_root() {
        bail!("the cases make namespaces, cgroups and overlay mounts: run it as root");
    }
    let built = PROGRAMS.iter().map(|one| Ok((one.variable, build(one)?))).collect::<Result<Vec<_>>>()?;
    run::step("building skiff", &mut run::cargo(&["build", "-p", "skiff"]))?;
    let mut tests = run::cargo(&["test", "-p", "e2e", "--test", "e2e", "--", "the_command_line"]);
    tests.env("SKIFF_BINARY", run::target().join("debug/skiff")).envs(built);
    run::step("the command lines of Flux and Argo CD", &mut tests)
}

/// Built the first time: minutes.
fn build(program: &Program) -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(program.variable).map(PathBuf::from) {
        if !named.is_file() {
            bail!("{}={} is no file", program.variable, named.display());
        }
        return Ok(named);
    }
    let to = run::target().join(format!("{}-{}", program.name, program.version));
    if to.exists() {
        return Ok(to);
    }
    if run::which("go").is_none() {
        bail!("{} is built with Go 1.26 or newer", program.name);
    }
    let which = format!("{}@v{}", program.module, program.version);
    let found = Command::new("go")
        .current_dir(run::target())
        .args(["mod", "download", "-json", &which])
        .output()
        .context("cannot start go")?;
    let told: serde_json::Value =
        serde_json::from_slice(&found.stdout).context("go mod download said nothing")?;
    let Some(module) = told["Dir"].as_str() else { bail!("{which} cannot be had: {}", told["Error"]) };
    let copy = run::target().join(format!("{}-source", program.name));
    if copy.exists() {
        std::fs::remove_dir_all(&copy)?;
    }
    run::step("copying the module", Command::new("cp").args(["-r", module]).arg(&copy))?;
    run::step("unlocking the copy", Command::new("chmod").args(["-R", "u+w"]).arg(&copy))?;
    embed(&copy.join(program.embedded))?;
    let symbols = format!("-s -w -X {}={}", program.symbol, program.version);
    let mut go = Command::new("go");
    go.current_dir(&copy).env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", "0");
    go.args(["build", "-p", "1", "-trimpath", "-ldflags", &symbols, "-o"]).arg(&to).arg(program.package);
    run::step(&format!("building {} {}", program.name, program.version), &mut go)?;
    std::fs::remove_dir_all(&copy)?;
    Ok(to)
}

fn embed(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder)?;
    if std::fs::read_dir(folder)?.next().is_none() {
        std::fs::write(file, "# nothing\n")?;
    }
    Ok(())
}
