//! `skiff uninstall`: takes away everything that skiff made on this machine, and nothing else.
//!
//! What skiff makes carries its name, so it is found without any state: processes by the sealed binary they run and the pod
//! they were told, mounts under its directories, cgroups, links and nftables tables by name, then the directories themselves.

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
    /// The server's data directory [default: the configuration file's, else /var/lib/skiff]
    #[arg(short, long, env = "SKIFF_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's run directory [default: the configuration file's, else /run/skiff]
    #[arg(long, env = "SKIFF_RUN_DIR", hide_env_values = true, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The administrator's kubeconfig [default: the configuration file's, else /etc/skiff/skiff.yaml]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The cgroup of the pods, if the server was given another by --kubelet-arg=cgroup-root
    #[arg(long, value_name = "NAME")]
    cgroup_root: Option<String>,
    /// Links to pods' logs, if the server was given another by --kubelet-arg=pod-logs-dir
    #[arg(long, value_name = "DIR")]
    pod_logs_dir: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// What a server here made, and where.
struct Places {
    data: PathBuf,
    run: PathBuf,
    kubeconfig: PathBuf,
    cgroup: String,
    logs: String,
}

fn places(args: &Args) -> Result<Places> {
    Ok(Places {
        data: config::told("data-dir", args.data_dir.as_ref(), config::DATA_DIR)?,
        run: config::told("run-dir", args.run_dir.as_ref(), config::RUN_DIR)?,
        kubeconfig: config::told("write-kubeconfig", args.kubeconfig.as_ref(), config::KUBECONFIG)?,
        cgroup: config::told_kubelet("cgroup-root", args.cgroup_root.as_deref(), crate::server::CGROUP)?,
        logs: config::told_kubelet("pod-logs-dir", args.pod_logs_dir.as_deref(), kubelet::config::POD_LOGS)?,
    })
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if !nix::unistd::geteuid().is_root() {
        bail!("only root can remove what skiff made: run it as root");
    }
    let places = places(args)?;
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            bail!("this removes the cluster and its data in {}: say --yes", places.data.display());
        }
        print!("Remove the cluster, its pods and all data in {}? [y/N] ", places.data.display());
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            println!("Nothing was removed.");
            return Ok(ExitCode::FAILURE);
        }
    }
    if let Some(report) = roles::ask(&places.run)? {
        step("stopping the server", stop(Pid::from_raw(report.pid as i32)))?;
    }
    step("ending the pods' processes", end_pods(&places.data))?;
    step("removing links, network namespaces and nftables tables", network(&places))?;
    step("taking mounts off", unmount(&[&places.data, &places.run]))?;
    step("removing cgroups", cgroups(&places.cgroup))?;
    step("removing links to logs", logs(&places))?;
    for path in [&places.data, &places.run, &places.kubeconfig] {
        step(&format!("removing {}", path.display()), remove(path))?;
    }
    // Ours if it is empty; a configuration in it is its owner's.
    if let Some(folder) = places.kubeconfig.parent().filter(|folder| folder.ends_with("skiff")) {
        let _kept = fs::remove_dir(folder);
    }
    println!("Nothing of skiff is left but its binary and what you wrote yourself.");
    Ok(ExitCode::SUCCESS)
}

fn logs(places: &Places) -> Result<()> {
    let pods = base::paths::Paths::new(&places.data, &places.run).pods();
    kubelet::links::remove(places.logs.as_ref(), &pods, |_| true);
    Ok(())
}

fn network(places: &Places) -> Result<()> {
    let (state, run) = crate::server::network_folders(&places.data, &places.run);
    Ok(net::Network::uninstall(&state, &run)?)
}

/// A shim runs from the sealed memory file that carries skiff's name and is told its pod; that the pod has a folder here makes
/// it this server's. Containers are below their shim.
fn end_pods(data: &Path) -> Result<()> {
    let pods = data.join("node/runtime");
    for _ in 0..200 {
        let processes = processes(&pods);
        let mut doomed: Vec<i32> = processes.iter().filter(|one| one.shim).map(|one| one.pid).collect();
        let mut at = 0;
        while at < doomed.len() {
            let parent = doomed[at];
            doomed.extend(
                processes
                    .iter()
                    .filter(|one| one.parent == parent && !doomed.contains(&one.pid))
                    .map(|one| one.pid)
                    .collect::<Vec<_>>(),
            );
            at += 1;
        }
        if doomed.is_empty() {
            return Ok(());
        }
        // Containers before their shims, so that none is orphaned half-way.
        for pid in doomed.into_iter().rev() {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    bail!("some processes of pods do not end; look at them with ps, and run this again")
}

struct Process {
    pid: i32,
    parent: i32,
    shim: bool,
}

fn processes(pods: &Path) -> Vec<Process> {
    let read = |entry: fs::DirEntry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let exe = fs::read_link(entry.path().join("exe")).unwrap_or_default();
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let pod = command.split('\0').nth(1).unwrap_or_default();
        let ours = !pod.is_empty() && !pod.contains('/') && pods.join(pod).is_dir();
        let shim = ours && state != "Z" && exe.to_string_lossy().starts_with("/memfd:skiff");
        Some(Process { pid, parent, shim })
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(read).collect()
}

/// Takes off everything mounted at or below the folders, the deepest first.
fn unmount(folders: &[&Path]) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| folders.iter().any(|folder| point.starts_with(folder)))
        .collect();
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    for point in points {
        nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH)
            .or_else(|error| if error == nix::errno::Errno::EINVAL { Ok(()) } else { Err(error) })
            .with_context(|| format!("cannot unmount {}", point.display()))?;
    }
    Ok(())
}

/// Removes the pods' cgroup in every hierarchy.
fn cgroups(name: &str) -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let mut tops = vec![root.join(name)];
    tops.extend(fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path().join(name)));
    for top in tops.into_iter().filter(|top| top.is_dir()) {
        remove_cgroup(&top)?;
    }
    Ok(())
}

fn remove_cgroup(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the cgroup {}", folder.display()))
        }
        _ => Ok(()),
    }
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
