//! The newest kubectl, built from the module that `conformance/` pins, for tests that run it beside the one on the PATH.

use std::path::PathBuf;
use std::process::Command;

use crate::run;

/// kubectl as its makers build it, but for the symbols.
const FLAGS: &str = "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36";

/// Built the first time; `None`, and a word about it, where that is not possible.
pub fn newest() -> Option<PathBuf> {
    let path = run::target().join("kubectl-1.36");
    if path.exists() {
        return Some(path);
    }
    if run::which("go").is_none() {
        eprintln!(
            "MISSING: kubectl 1.36 is built with Go 1.26 or newer (the tests run with the kubectl of the PATH alone)"
        );
        return None;
    }
    let mut go = Command::new("go");
    go.current_dir(run::root().join("conformance")).env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=mod");
    go.args(["build", "-ldflags", FLAGS, "-o"]).arg(&path).arg("k8s.io/kubernetes/cmd/kubectl");
    match run::step("building kubectl 1.36", &mut go) {
        Ok(()) => Some(path),
        Err(error) => {
            eprintln!(
                "MISSING: kubectl 1.36 could not be built (the tests run with the kubectl of the PATH alone): {error:#}"
            );
            None
        }
    }
}
