//! Cgroups v2: one hierarchy. Processes are in leaves only, so every folder above a container's gives its controllers
//! down and holds none.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::{Devices, field, make_down, number, set};
use crate::{Error, Resources, Stats};

/// Controllers that are given down, each if the kernel has it.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

#[derive(Debug, PartialEq, Eq)]
pub(in crate::linux) struct Hierarchy {
    point: PathBuf,
}

impl Hierarchy {
    /// From `/proc/self/mountinfo`.
    pub(super) fn parse(mountinfo: &str) -> Option<Hierarchy> {
        let line = mountinfo.lines().find(|line| line.contains(" - cgroup2 "))?;
        Some(Hierarchy { point: line.split(' ').nth(4)?.into() })
    }

    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.point.join(name)
    }

    pub(super) fn make(&self, name: &str) -> Result<(), Error> {
        make_down(&self.point, name, |parent| {
            let enabled = fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
            for controller in CONTROLLERS
                .iter()
                .filter(|controller| !enabled.split_whitespace().any(|on| on == **controller))
            {
                // A kernel without it limits less; `skiff check` tells.
                let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        })
    }

    pub(super) fn limit(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        let folder = self.folder(name);
        if resources.cpu_shares > 0 {
            set(&folder, "cpu.weight", &weight(resources.cpu_shares).to_string())?;
        }
        let quota = resources.cpu_quota.filter(|quota| *quota != 0);
        if quota.is_some() || resources.cpu_period.is_some() {
            let quota = quota.filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
            let period = resources.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
            set(&folder, "cpu.max", &format!("{quota} {period}"))?;
        }
        if let Some(limit) = resources.memory_limit.filter(|limit| *limit != 0) {
            set(&folder, "memory.max", &maximum(limit))?;
            if folder.join("memory.swap.max").exists() {
                set(&folder, "memory.swap.max", "0")?;
            }
        }
        if let Some(limit) = resources.pids_limit.filter(|limit| *limit != 0) {
            set(&folder, "pids.max", &maximum(limit))?;
        }
        // All of a container goes when one process of it is killed for memory, as the kubelet wants since 1.28.
        let group = folder.join("memory.oom.group");
        if group.exists() { set(&folder, "memory.oom.group", "1") } else { Ok(()) }
    }

    pub(super) fn allow(&self, name: &str, devices: &Devices) -> Result<(), Error> {
        super::super::devices::attach(&self.folder(name), devices)
    }

    pub(super) fn stats(&self, name: &str) -> Stats {
        let folder = self.folder(name);
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
        let (cpu, memory) = (read("cpu.stat"), read("memory.stat"));
        let usage = number(&folder, "memory.current");
        Stats {
            cpu_usage: Duration::from_micros(field(&cpu, "usage_usec")),
            memory_usage: usage,
            memory_working_set: usage.saturating_sub(field(&memory, "inactive_file")),
            memory_rss: field(&memory, "anon"),
            page_faults: field(&memory, "pgfault"),
            major_page_faults: field(&memory, "pgmajfault"),
            processes: number(&folder, "pids.current"),
            ..Stats::default()
        }
    }
}

fn maximum(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// v2's weight (1 to 10000) for v1's shares (2 to 262144), as runc 1.3 derives it: 1024 shares are a weight of 100.
fn weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = (shares as f64).log2();
    10f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_runc() {
        for (shares, expected) in [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (1 << 20, 10_000)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }

    #[test]
    fn limits_go_to_their_files() {
        let folder = tempfile::tempdir().unwrap();
        let hierarchy = Hierarchy { point: folder.path().into() };
        hierarchy.make("skiff/pod1/c").unwrap();
        let resources = Resources {
            cpu_shares: 1024,
            cpu_quota: Some(50_000),
            cpu_period: Some(100_000),
            memory_limit: Some(1 << 20),
            pids_limit: Some(-1),
            oom_score_adj: None,
        };
        hierarchy.limit("skiff/pod1/c", &resources).unwrap();
        let read = |file: &str| fs::read_to_string(folder.path().join("skiff/pod1/c").join(file)).unwrap();
        assert_eq!(read("cpu.weight"), "100");
        assert_eq!(read("cpu.max"), "50000 100000");
        assert_eq!(read("memory.max"), "1048576");
        assert_eq!(read("pids.max"), "max");
        let given = fs::read_to_string(folder.path().join("skiff/cgroup.subtree_control")).unwrap();
        assert_eq!(given, "+pids");
    }
}
