//! What a server that cannot start says: one message that names what is wrong and what to do, and nothing is lost.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::Machine;

pub async fn at_start(machine: &mut Machine) -> Result<()> {
    machine.start().await?;
    let data = machine.data().display().to_string();
    let other = machine.data().with_file_name("other").display().to_string();
    let same = ["server", "--data-dir", &data];
    says(machine.skiff(&same), "already uses")?;
    let port = ["server", "--data-dir", &other, "--run-dir", &other, "--https-listen-port", "16443"];
    says(machine.skiff(&port), "cannot listen on 0.0.0.0:16443")?;
    says(machine.skiff(&["server", "--cluster-init"]), "SQLite")?;
    says(machine.skiff(&["server", "--no-such-flag"]), "--no-such-flag")?;
    let status = machine.skiff(&["status", "-o", "json"]).output()?;
    ensure!(
        String::from_utf8_lossy(&status.stdout).contains("\"kubelet\""),
        "status does not name the kubelet"
    );
    // The commands look where the configuration file says.
    let file = machine.data().with_file_name("config.yaml");
    let run = machine.run().display().to_string();
    std::fs::write(&file, format!("data-dir: {data}\nrun-dir: {run}\nhttps-listen-port: 16443\n"))?;
    let configured = |words: &[&str]| {
        let mut command = machine.skiff(words);
        command.env_remove("SKIFF_DATA_DIR").env_remove("SKIFF_RUN_DIR").env("SKIFF_CONFIG_FILE", &file);
        command
    };
    ensure!(
        configured(&["status"]).output()?.status.success(),
        "status does not read the configuration file"
    );
    says(configured(&["check"]), "16443: Address already in use")?;
    says(configured(&["server"]), "already uses")?;
    machine.stop()?;
    ensure!(
        machine.skiff(&["status"]).output()?.status.code() == Some(3),
        "status of a stopped server is not 3"
    );

    // A damaged database is told, and left as it is for whoever can mend it.
    let database = machine.data().join("server/state.db");
    let good = std::fs::read(&database)?;
    let start = ["server", "--data-dir", &data, "--https-listen-port", "16443"];
    let stranger = "not a database at all, but long enough to have the header of one".repeat(20);
    let mut holed = good.clone();
    holed[8192..40960].fill(0x5a);
    for damaged in [stranger.into_bytes(), holed, good[..good.len() / 3].to_vec(), Vec::new()] {
        std::fs::write(&database, &damaged)?;
        says(machine.skiff(&start), "damaged").with_context(|| format!("with {} bytes", damaged.len()))?;
        ensure!(std::fs::read(&database)? == damaged, "the damaged database was written to");
    }
    std::fs::write(&database, good)?;
    machine.start().await?;
    Ok(())
}

fn says(mut command: Command, part: &str) -> Result<()> {
    let output = command.output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(!output.status.success(), "{command:?} did not fail");
    ensure!(said.contains(part), "{part:?} is expected in {said:?}");
    Ok(())
}
