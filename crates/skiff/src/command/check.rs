//! `skiff check`: whether this machine can run skiff, before it is started. It looks, and changes nothing.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Output, table};
use crate::config;

/// Look at kernel, cgroups, ports, disk, memory and clock before a start
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Exit code: 0 all good or only warnings, 1 something is missing.\n\nExamples:\n  skiff check\n  skiff check --data-dir /data/skiff -o json"
)]
pub struct Args {
    /// Where state would be kept [default: the configuration file's, else /var/lib/skiff]
    #[arg(short, long, env = "SKIFF_DATA_DIR", hide_env_values = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Port of the API [default: the configuration file's, else 6443]
    #[arg(long, value_name = "PORT")]
    https_listen_port: Option<u16>,
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    Good,
    Warning,
    Missing,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub what: &'static str,
    pub verdict: Verdict,
    pub found: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub hint: &'static str,
}

fn good(what: &'static str, found: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Good, found: found.into(), hint: "" }
}
fn warning(what: &'static str, found: impl Into<String>, hint: &'static str) -> Finding {
    Finding { what, verdict: Verdict::Warning, found: found.into(), hint }
}
fn missing(what: &'static str, found: impl Into<String>, hint: &'static str) -> Finding {
    Finding { what, verdict: Verdict::Missing, found: found.into(), hint }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let data = config::told("data-dir", args.data_dir.as_ref(), config::DATA_DIR)?;
    let port = match args.https_listen_port {
        Some(port) => port,
        None => {
            let text: String = config::told("https-listen-port", None, "6443")?;
            text.parse().with_context(|| format!("https-listen-port: {text}: this is no port"))?
        }
    };
    let findings = look(&data, port);
    match args.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&findings)?),
        Output::Table => {
            let rows = findings.iter().map(|finding| {
                vec![finding.what.into(), format!("{:?}", finding.verdict), finding.found.clone()]
            });
            println!("{}", table(&["Check", "Verdict", "Found"], rows));
            for finding in findings.iter().filter(|finding| !finding.hint.is_empty()) {
                println!("\n{}: {}", finding.what, finding.hint);
            }
        }
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Missing);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Everything that a start would stumble over.
pub fn look(data: &Path, port: u16) -> Vec<Finding> {
    let mut findings = vec![root(), kernel(), namespaces(), overlay(), cgroups()];
    findings.extend([tables(), listen(port), disk(data), memory(), clock()]);
    findings
}

fn root() -> Finding {
    if nix::unistd::geteuid().is_root() {
        good("root", "yes")
    } else {
        missing("root", "no", "skiff makes namespaces, cgroups and nftables rules: run it as root")
    }
}

fn kernel() -> Finding {
    let release = nix::sys::utsname::uname()
        .map_or_else(|_| "?".into(), |name| name.release().to_string_lossy().into_owned());
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 4) {
        good("kernel", release)
    } else {
        missing("kernel", release, "Linux 5.4 or newer is needed (nftables maps, clone3, overlayfs features)")
    }
}

fn namespaces() -> Finding {
    let absent: Vec<&str> = ["mnt", "net", "pid", "ipc", "uts"]
        .into_iter()
        .filter(|name| !Path::new("/proc/self/ns").join(name).exists())
        .collect();
    if absent.is_empty() {
        good("namespaces", "mnt net pid ipc uts")
    } else {
        missing(
            "namespaces",
            format!("without {}", absent.join(" ")),
            "the kernel needs CONFIG_NAMESPACES with all of them",
        )
    }
}

fn overlay() -> Finding {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known.lines().any(|line| line.trim_start_matches("nodev").trim() == "overlay") {
        good("overlayfs", "in the kernel")
    } else {
        warning(
            "overlayfs",
            "not loaded",
            "modprobe overlay, or build it in: images are unpacked as its layers",
        )
    }
}

fn cgroups() -> Finding {
    let unified = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let needed = ["cpu", "memory", "pids"];
    let lacks =
        |has: &dyn Fn(&str) -> bool| -> Vec<&str> { needed.into_iter().filter(|name| !has(name)).collect() };
    let (version, absent) = if unified.is_empty() {
        (
            "v1",
            lacks(&|name| {
                Path::new("/sys/fs/cgroup").join(name).join("cgroup.procs").exists()
                    || std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines().any(
                        |line| {
                            line.contains(" cgroup ")
                                && line
                                    .rsplit(' ')
                                    .next()
                                    .is_some_and(|options| options.split(',').any(|option| option == name))
                        },
                    )
            }),
        )
    } else {
        ("v2", lacks(&|name| unified.split_whitespace().any(|controller| controller == name)))
    };
    if absent.len() == needed.len() {
        missing("cgroups", "none are mounted", "mount -t cgroup2 none /sys/fs/cgroup")
    } else if absent.is_empty() {
        good("cgroups", format!("{version}: cpu memory pids"))
    } else {
        missing(
            "cgroups",
            format!("{version}, without {}", absent.join(" ")),
            "add cgroup_enable=memory cgroup_memory=1 to the kernel's command line (Raspberry Pi: cmdline.txt) and restart",
        )
    }
}

fn tables() -> Finding {
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
    match socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    ) {
        Ok(_) => good("nftables", "answers"),
        Err(error) => {
            missing("nftables", error.to_string(), "the kernel needs CONFIG_NF_TABLES (modprobe nf_tables)")
        }
    }
}

fn listen(port: u16) -> Finding {
    match TcpListener::bind(("0.0.0.0", port)) {
        Ok(_) => good("port", format!("{port} is free")),
        Err(error) => missing(
            "port",
            format!("{port}: {error}"),
            "stop what uses it (ss -ltnp tells), or choose another with --https-listen-port",
        ),
    }
}

fn disk(data: &Path) -> Finding {
    let there = data.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(stat) = nix::sys::statvfs::statvfs(there) else {
        return warning(
            "disk",
            format!("cannot look at {}", there.display()),
            "check that the data directory's disk is mounted",
        );
    };
    let free = (stat.blocks_available() * stat.fragment_size()) >> 20;
    let found = format!("{free} MiB free at {}", there.display());
    match free {
        0..200 => missing("disk", found, "at least 200 MiB are needed for state and small images"),
        200..1024 => warning(
            "disk",
            found,
            "images need room; the kubelet collects unused ones when the disk is 85 % full",
        ),
        _ => good("disk", found),
    }
}

fn memory() -> Finding {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = info
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        })
        .unwrap_or(0);
    let found = format!("{} MiB available", kilobytes >> 10);
    match kilobytes >> 10 {
        0..100 => missing("memory", found, "100 MiB are needed for skiff itself"),
        100..256 => warning("memory", found, "skiff fits; there is little room for pods"),
        _ => good("memory", found),
    }
}

fn clock() -> Finding {
    let now = jiff::Timestamp::now();
    if now.as_second() < crate::BUILT {
        let hint = "the clock is behind the day skiff was built; certificates take the later time, but set the clock \
                    (NTP, or `date -s`) so that events and logs tell the truth";
        warning("clock", now.to_string(), hint)
    } else {
        good("clock", now.to_string())
    }
}
