//! Upstream's programs that run against skiff, built once from the Go modules that `conformance/` pins.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Program, module below `conformance/`, package.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("e2e.test", "", "k8s.io/kubernetes/test/e2e"),
    ("ginkgo", "", "github.com/onsi/ginkgo/v2/ginkgo"),
    ("kubectl", "", "k8s.io/kubernetes/cmd/kubectl"),
    ("agnhost", "", "k8s.io/kubernetes/test/images/agnhost"),
    ("sample-apiserver", "", "k8s.io/sample-apiserver"),
    ("pause", "", "./images/pause"),
    ("sh", "", "./images/sh"),
    ("nnp", "", "./images/nnp"),
    ("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    ("kubectl-convert", "", "k8s.io/kubernetes/cmd/kubectl-convert"),
    ("helm", "helm", "helm.sh/helm/v3/cmd/helm"),
];

/// Where programs are, or will be.
pub struct Programs {
    folder: PathBuf,
    modules: PathBuf,
}

impl Programs {
    /// Programs go to `folder`.
    pub fn new(folder: PathBuf) -> Result<Programs> {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance");
        Ok(Programs { folder, modules })
    }

    /// The path of a program, which is built unless it is there.
    pub fn get(&self, name: &str) -> Result<PathBuf> {
        let to = self.folder.join(name);
        if to.exists() {
            return Ok(to);
        }
        let Some((_, module, package)) = PROGRAMS.iter().find(|(known, ..)| *known == name) else {
            bail!("no program {name} is known");
        };
        self.build(name, module, package)?;
        Ok(to)
    }

    /// The tests of a package as a program `name`.
    pub fn tests(&self, name: &str, module: &str, package: &str) -> Result<PathBuf> {
        let to = self.folder.join(name);
        if !to.exists() {
            self.build(name, module, package)?;
        }
        Ok(to)
    }

    fn build(&self, name: &str, module: &str, package: &str) -> Result<()> {
        eprintln!(
            "==> building {name} (the first time downloads modules; e2e.test then takes a quarter of an hour)"
        );
        let since = Instant::now();
        // Only a whole program gets its name: an interrupted build is done again.
        let part = self.folder.join(format!("{name}.part"));
        let version = "v1.36.3";
        let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
        let flags =
            ["-s -w".to_owned(), set("gitVersion", version), set("gitMajor", "1"), set("gitMinor", "36")];
        let mut go = self.go(module);
        match name.ends_with(".test") {
            true => go.args(["test", "-c"]),
            false => go.arg("build"),
        };
        go.args(["-ldflags", &flags.join(" "), "-o"]).arg(&part).arg(package);
        let status =
            go.status().context("cannot start go: upstream's programs are Go, install Go 1.26 or newer")?;
        if !status.success() {
            bail!("building {package} failed ({status})");
        }
        std::fs::rename(&part, self.folder.join(name))?;
        eprintln!("    {name}: {:.0}s", since.elapsed().as_secs_f64());
        Ok(())
    }

    /// Where all of them are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of Kubernetes' own sources.
    pub fn source(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.sources("", "k8s.io/kubernetes")?.join(path);
        std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
    }

    /// The folder of a package or module that one below `conformance/` pins.
    pub fn sources(&self, module: &str, package: &str) -> Result<PathBuf> {
        let list = |words: &[&str]| {
            let output = self.go(module).arg("list").args(words).args(["-f", "{{.Dir}}", package]).output();
            let output =
                output.context("cannot start go: upstream's programs are Go, install Go 1.26 or newer")?;
            anyhow::Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        };
        let found = match list(&["-m"])? {
            folder if folder.as_os_str().is_empty() => list(&[])?,
            folder => folder,
        };
        match found.as_os_str().is_empty() {
            true => bail!("go knows no folder of {package}: run `go mod download` in conformance/{module}"),
            false => Ok(found),
        }
    }

    fn go(&self, module: &str) -> Command {
        let mut go = Command::new("go");
        go.current_dir(self.modules.join(module)).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=readonly");
        go
    }
}
