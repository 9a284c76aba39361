//! kubectl, by the suite of its commands in Kubernetes' own module (`test/cmd`).

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use e2e::programs::Programs;

use crate::lines::{self, Outcome};
use crate::{Client, PORT, Place};

/// The server that the suite starts for itself: everything is allowed, nobody adds to pods, and no node runs them.
pub const CLIENT: Client = Client {
    name: "kubectl",
    flags: &[
        "--disable-agent",
        "--service-cidr",
        "10.0.0.0/24",
        "--disable",
        "fleet,coredns",
        "--kube-apiserver-arg",
        "authorization-mode=RBAC,AlwaysAllow",
        "--kube-apiserver-arg",
        "disable-admission-plugins=ServiceAccount,DefaultStorageClass,DefaultTolerationSeconds,MutatingAdmissionWebhook,ValidatingAdmissionWebhook,StorageObjectInUseProtection",
    ],
    node: false,
    parts: &[],
    run,
};

/// The token that the suite's commands show (`hack/testdata/auth-tokens.csv`).
pub const TOKENS: &str = "admin-token,admin,,\"system:masters\"\n";

/// The CA that the suite's server believes.
pub fn authority(programs: &Programs) -> Result<PathBuf> {
    Ok(programs.sources("", "k8s.io/kubernetes")?.join("hack/testdata/ca/ca.crt"))
}

pub fn prepare(programs: &Programs) -> Result<()> {
    for program in ["kubectl", "kubectl-convert"] {
        programs.get(program)?;
    }
    programs.sources("", "k8s.io/kubernetes").map(drop)
}

fn run(place: &Place<'_>) -> Result<Vec<Outcome>> {
    let mut command = Command::new("bash");
    command
        .arg(place.sources.join("kubectl.sh"))
        .arg(place.programs.sources("", "k8s.io/kubernetes")?)
        .arg(place.programs.folder())
        .arg(&place.out)
        .args(place.focus)
        .env("SECURE_API_PORT", PORT.to_string());
    lines::run(&mut command, "the suite of kubectl's commands")
}
