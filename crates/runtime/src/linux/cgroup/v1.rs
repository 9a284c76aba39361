//! Cgroups v1: a hierarchy a controller, with folders of the same name in each that matters here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Devices, field, make_down, number, set};
use crate::{Error, Resources, Stats};

/// Controllers whose hierarchies containers join. The memory hierarchy is first: it is asked who is in a cgroup.
const JOINED: [&str; 5] = ["memory", "cpu", "cpuacct", "pids", "devices"];
/// Controllers that containers see; programs that look for limits want `cpuset` too.
const SHOWN: [&str; 6] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "blkio"];

#[derive(Debug, PartialEq, Eq)]
pub(in crate::linux) struct Hierarchies {
    /// Mount point and controllers, e.g. `cpu,cpuacct`.
    all: Vec<(PathBuf, String)>,
}

impl Hierarchies {
    /// From `/proc/self/mountinfo`; `None` unless memory is controlled by v1.
    pub(super) fn parse(mountinfo: &str) -> Option<Hierarchies> {
        let mut all: Vec<(PathBuf, String)> = Vec::new();
        for line in mountinfo.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let mut after = after.split(' ');
            if after.next() != Some("cgroup") {
                continue;
            }
            let (Some(point), Some(options)) = (before.split(' ').nth(4), after.nth(1)) else { continue };
            let known = |option: &&str| JOINED.contains(option) || SHOWN.contains(option);
            let controllers: Vec<_> = options.split(',').filter(known).collect();
            let controllers = controllers.join(",");
            if !controllers.is_empty() && !all.iter().any(|(_, other)| *other == controllers) {
                all.push((point.into(), controllers));
            }
        }
        let hierarchies = Hierarchies { all };
        hierarchies.of("memory").is_some().then_some(hierarchies)
    }

    fn of(&self, controller: &str) -> Option<&Path> {
        let found = self.all.iter().find(|(_, names)| names.split(',').any(|name| name == controller));
        found.map(|(point, _)| point.as_path())
    }

    fn folder(&self, controller: &str, name: &str) -> Option<PathBuf> {
        self.of(controller).map(|point| point.join(name))
    }

    /// Each hierarchy once, even if several controllers share it.
    fn points(&self) -> Vec<&Path> {
        let mut points = Vec::new();
        for point in JOINED.iter().filter_map(|controller| self.of(controller)) {
            if !points.contains(&point) {
                points.push(point);
            }
        }
        points
    }

    pub(super) fn folders(&self, name: &str) -> Vec<PathBuf> {
        self.points().iter().map(|point| point.join(name)).collect()
    }

    pub(super) fn make(&self, name: &str) -> Result<(), Error> {
        self.points().iter().try_for_each(|point| make_down(point, name, |_| {}))
    }

    pub(super) fn limit(&self, name: &str, resources: &Resources) -> Result<(), Error> {
        if let Some(cpu) = self.folder("cpu", name) {
            if resources.cpu_shares > 0 {
                set(&cpu, "cpu.shares", &resources.cpu_shares.to_string())?;
            }
            if let Some(period) = resources.cpu_period.filter(|period| *period > 0) {
                set(&cpu, "cpu.cfs_period_us", &period.to_string())?;
            }
            if let Some(quota) = resources.cpu_quota.filter(|quota| *quota != 0) {
                set(&cpu, "cpu.cfs_quota_us", &quota.to_string())?;
            }
        }
        if let (Some(memory), Some(limit)) =
            (self.folder("memory", name), resources.memory_limit.filter(|limit| *limit != 0))
        {
            let (limit, swap) = (limit.to_string(), memory.join("memory.memsw.limit_in_bytes"));
            // The sum of memory and swap may never be below memory: it goes first up, last down.
            if swap.exists() && set(&memory, "memory.memsw.limit_in_bytes", &limit).is_err() {
                set(&memory, "memory.limit_in_bytes", &limit)?;
                set(&memory, "memory.memsw.limit_in_bytes", &limit)?;
            } else {
                set(&memory, "memory.limit_in_bytes", &limit)?;
            }
        }
        if let (Some(pids), Some(limit)) =
            (self.folder("pids", name), resources.pids_limit.filter(|limit| *limit != 0))
        {
            let limit = if limit < 0 { "max".to_owned() } else { limit.to_string() };
            set(&pids, "pids.max", &limit)?;
        }
        Ok(())
    }

    pub(super) fn allow(&self, name: &str, devices: &Devices) -> Result<(), Error> {
        let Some(folder) = self.folder("devices", name) else { return Ok(()) };
        let Devices::Default(more) = devices else { return Ok(()) };
        set(&folder, "devices.deny", "a")?;
        // mknod is allowed for all; using is for: null, full, zero, tty, random, urandom, console, ptmx, pts/*.
        let fixed = [
            "c *:* m",
            "b *:* m",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
        ];
        for rule in fixed.into_iter().chain(["c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm"]) {
            set(&folder, "devices.allow", rule)?;
        }
        for (block, major, minor) in more {
            let kind = if *block { 'b' } else { 'c' };
            set(&folder, "devices.allow", &format!("{kind} {major}:{minor} rwm"))?;
        }
        Ok(())
    }

    pub(super) fn oom_file(&self, name: &str) -> Option<PathBuf> {
        self.folder("memory", name).map(|folder| folder.join("memory.oom_control"))
    }

    pub(super) fn shown(&self) -> Vec<String> {
        let shown = |names: &str| names.split(',').any(|name| SHOWN.contains(&name));
        self.all.iter().filter(|(_, names)| shown(names)).map(|(_, names)| names.clone()).collect()
    }

    pub(super) fn stats(&self, name: &str) -> Stats {
        let mut stats = Stats::default();
        if let Some(cpu) = self.folder("cpuacct", name) {
            stats.cpu_usage = Duration::from_nanos(number(&cpu, "cpuacct.usage"));
        }
        if let Some(memory) = self.folder("memory", name) {
            let text = fs::read_to_string(memory.join("memory.stat")).unwrap_or_default();
            stats.memory_usage = number(&memory, "memory.usage_in_bytes");
            stats.memory_working_set = stats.memory_usage.saturating_sub(field(&text, "total_inactive_file"));
            stats.memory_rss = field(&text, "total_rss");
            stats.page_faults = field(&text, "total_pgfault");
            stats.major_page_faults = field(&text, "total_pgmajfault");
        }
        if let Some(pids) = self.folder("pids", name) {
            stats.processes = number(&pids, "pids.current");
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_hierarchies_apart_and_together() {
        let apart = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                     32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                     35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                     40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
                     41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(apart).unwrap();
        assert_eq!(
            found.folders("a"),
            [Path::new("/sys/fs/cgroup/memory/a"), Path::new("/sys/fs/cgroup/cpu/a")]
        );
        let together = "1 2 0:1 / /c/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                        1 2 0:2 / /c/memory rw - cgroup cgroup rw,memory\n";
        let found = Hierarchies::parse(together).unwrap();
        assert_eq!(found.folders("a"), [Path::new("/c/memory/a"), Path::new("/c/cpu,cpuacct/a")]);
        assert_eq!(found.shown(), ["cpu,cpuacct", "memory"]);
        let pure_v2 = "1 2 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Hierarchies::parse(pure_v2), None);
    }
}
