//! `skiff uninstall`: takes away everything that skiff made on this machine, and nothing else.
//!
//! What skiff makes carries its name, so it is found without any state: processes by the sealed binary they run, mounts
//! under its directories, cgroups, links and nftables tables by name, then the directories themselves.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{config, roles};

/// Stop everything and remove all that skiff made here
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skiff uninstall --yes")]
pub struct Args {
    /// The server's data directory
    #[arg(short, long, default_value = config::DATA_DIR, env = "SKIFF_DATA_DIR")]
    data_dir: PathBuf,
    /// The server's run directory
    #[arg(long, default_value = config::RUN_DIR, env = "SKIFF_RUN_DIR")]
    run_dir: PathBuf,
    /// The administrator's kubeconfig
    #[arg(long, default_value = config::KUBECONFIG)]
    kubeconfig: PathBuf,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("only root can remove what skiff made: run it as root");
    }
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            bail!("this removes the cluster and its data in {}: say --yes", args.data_dir.display());
        }
        print!("Remove the cluster, its pods and all data in {}? [y/N] ", args.data_dir.display());
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            println!("Nothing was removed.");
            return Ok(ExitCode::FAILURE);
        }
    }
    if let Some(report) = roles::ask(&args.run_dir)? {
        step("stopping the server", stop(Pid::from_raw(report.pid as i32)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn step(what: &str, done: Result<()>) -> Result<()> {
    println!("{what}");
    done.with_context(|| format!("failed {what}"))
}

/// SIGTERM, then SIGKILL after a while.
fn stop(pid: Pid) -> Result<()> {
    kill(pid, Signal::SIGTERM).context("cannot signal the server")?;
    let since = Instant::now();
    while kill(pid, None).is_ok() {
        if since.elapsed() > Duration::from_secs(20) {
            kill(pid, Signal::SIGKILL).context("cannot kill the server")?;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Removes a file or folder; what is not there is fine.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
