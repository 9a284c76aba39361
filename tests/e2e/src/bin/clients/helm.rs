//! Helm: a chart with hooks, CRDs and a test, from install to uninstall (`tests/clients/helm.sh`).

use std::process::Command;

use anyhow::Result;

use crate::lines::{self, Outcome};
use crate::{Client, Place};

pub const CLIENT: Client = Client { name: "helm", flags: &[], node: true, parts: &[], run };

fn run(place: &Place<'_>) -> Result<Vec<Outcome>> {
    let mut command = Command::new("bash");
    command
        .arg(place.sources.join("helm.sh"))
        .arg(place.programs.get("helm")?)
        .arg(&place.out)
        .env("KUBECONFIG", place.machine.kubeconfig());
    lines::run(&mut command, "helm")
}
