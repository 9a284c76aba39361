//! The Python client: its own tests of the dynamic client, and a walk over its verbs (`tests/clients/python`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::lines::{self, Outcome};
use crate::{BUSYBOX, Client, Place};

pub const CLIENT: Client = Client { name: "python", flags: &[], node: true, parts: &[], run };

fn home(out: &Path) -> PathBuf {
    out.join("venv")
}

/// Makes the environment with what `requirements.txt` pins.
pub fn prepare(sources: &Path, out: &Path) -> Result<()> {
    let home = home(out);
    if home.join("bin/ready").exists() {
        return Ok(());
    }
    let step = |command: &mut Command| {
        let status = command.status().context("cannot start python3: install Python 3.10 or newer")?;
        if !status.success() {
            bail!("{command:?} failed ({status})");
        }
        Ok(())
    };
    step(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
    step(
        Command::new(home.join("bin/pip"))
            .args(["install", "--quiet", "-r"])
            .arg(sources.join("python/requirements.txt")),
    )?;
    std::fs::write(home.join("bin/ready"), "")?;
    Ok(())
}

fn run(place: &Place<'_>) -> Result<Vec<Outcome>> {
    let out = place.out.parent().context("logs lie in a folder")?;
    let mut command = Command::new(home(out).join("bin/python"));
    command
        .arg(place.sources.join("python/run.py"))
        .args(place.focus)
        .env("KUBECONFIG", place.machine.kubeconfig())
        .env("IMAGE", BUSYBOX)
        .stderr(std::fs::File::create(place.out.join("python.log"))?);
    lines::run(&mut command, "the Python client")
}
