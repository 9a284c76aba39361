//! What a kubelet is told once, at its start: the node it is, and the settings of `--kubelet-arg`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Taint;

/// See the module. `Config::new` has upstream's defaults.
#[derive(Clone, Debug)]
pub struct Config {
    pub node_name: String,
    /// The first of each family is the node's InternalIP.
    pub node_ips: Vec<IpAddr>,
    /// `--node-external-ip`: where the node is reached from outside, told as its ExternalIP.
    pub external_ips: Vec<IpAddr>,
    /// `--node-label`; well-known labels are added by the kubelet.
    pub labels: BTreeMap<String, String>,
    /// `--node-taint`, set when the node registers and never again.
    pub taints: Vec<Taint>,
    pub paths: base::paths::Paths,
    pub cluster_dns: Vec<IpAddr>,
    /// `cluster.local`
    pub cluster_domain: String,
    /// This node's part of `--cluster-cidr`, written into `spec.podCIDRs` when the node registers; empty leaves it to a controller.
    pub pod_cidrs: Vec<String>,
    /// Port of the node's own API for `status.daemonEndpoints`; nothing listens there unless the assembler does.
    pub port: u16,
    /// For `nodeInfo.kubeletVersion`: `v1.36.3+skiff…`.
    pub version: String,
    pub settings: Settings,
}

impl Config {
    pub fn new(node_name: impl Into<String>, node_ips: Vec<IpAddr>, paths: base::paths::Paths) -> Config {
        Config {
            node_name: node_name.into(),
            node_ips,
            external_ips: Vec::new(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            paths,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".into(),
            pod_cidrs: Vec::new(),
            port: 10250,
            version: "v1.36.3".into(),
            settings: Settings::default(),
        }
    }
}

/// Settings that `--kubelet-arg=<name>=<value>` reaches, by upstream's flag names.
#[derive(Clone, Debug)]
pub struct Settings {
    pub max_pods: u32,
    /// Bytes after which a container's log is rotated.
    pub log_max_size: u64,
    /// Files kept of one container's log, the current one counted.
    pub log_max_files: u32,
    /// Disk use in percent at which image garbage collection starts, and down to which it goes.
    pub image_gc_high: u8,
    pub image_gc_low: u8,
    /// Bytes of memory below which the node is under MemoryPressure.
    pub eviction_memory: u64,
    /// Percent of the disk below which the node is under DiskPressure.
    pub eviction_disk: u8,
    /// Time between two writes of an unchanged status (upstream's `nodeStatusReportFrequency`).
    pub status_period: Duration,
    pub lease_duration: Duration,
    pub resolv_conf: PathBuf,
    /// Sysctls beyond the safe set, `net.core.somaxconn` or `kernel.msg*`.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Processes that a pod may have; -1 is no limit.
    pub pod_pids_limit: i64,
    /// `cpu=100m,memory=64Mi`, kept from pods.
    pub reserved: BTreeMap<String, String>,
    pub max_restart_backoff: Duration,
    /// Where collectors find links to the logs of pods (upstream's `podLogsDir`).
    pub pod_logs: PathBuf,
}

/// Upstream's `podLogsDir`.
pub const POD_LOGS: &str = "/var/log/pods";

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_pods: 110,
            log_max_size: 10 << 20,
            log_max_files: 5,
            image_gc_high: 85,
            image_gc_low: 80,
            eviction_memory: 100 << 20,
            // k3s' default: a tenth of a large disk is far from full.
            eviction_disk: 5,
            status_period: Duration::from_secs(300),
            lease_duration: Duration::from_secs(40),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            allowed_unsafe_sysctls: Vec::new(),
            pod_pids_limit: -1,
            reserved: BTreeMap::new(),
            max_restart_backoff: Duration::from_secs(300),
            pod_logs: PathBuf::from(POD_LOGS),
        }
    }
}

/// Why a `--kubelet-arg` was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("--kubelet-arg={name}: this kubelet has no such setting; it has cgroup-root, {}", NAMES.join(", "))]
    Unknown { name: String },
    #[error("--kubelet-arg={name}={value}: {hint}")]
    Value { name: String, value: String, hint: &'static str },
}

/// Every name that [`Settings::set`] knows.
pub const NAMES: &[&str] = &[
    "max-pods",
    "container-log-max-size",
    "container-log-max-files",
    "image-gc-high-threshold",
    "image-gc-low-threshold",
    "eviction-hard",
    "node-status-report-frequency",
    "resolv-conf",
    "allowed-unsafe-sysctls",
    "pod-max-pids",
    "kube-reserved",
    "system-reserved",
    "pod-logs-dir",
];

impl Settings {
    /// Applies one `--kubelet-arg`; `name` may come with its dashes.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let name = name.trim_start_matches('-');
        let bad = |hint| Error::Value { name: name.into(), value: value.into(), hint };
        match name {
            "max-pods" => self.max_pods = value.parse().map_err(|_| bad("a number is needed"))?,
            "container-log-max-size" => {
                let size = crate::quantity::value(value).ok_or_else(|| bad("a size like 10Mi is needed"))?;
                self.log_max_size = u64::try_from(size).map_err(|_| bad("a size is not negative"))?;
            }
            "container-log-max-files" => {
                self.log_max_files = value.parse().map_err(|_| bad("a number is needed"))?;
                if self.log_max_files < 2 {
                    return Err(bad("at least 2 files are needed"));
                }
            }
            "image-gc-high-threshold" => self.image_gc_high = percent(value).ok_or_else(|| bad(PERCENT))?,
            "image-gc-low-threshold" => self.image_gc_low = percent(value).ok_or_else(|| bad(PERCENT))?,
            "eviction-hard" => {
                for part in value.split(',').filter(|part| !part.is_empty()) {
                    let (signal, limit) = part.split_once('<').ok_or_else(|| bad("write signal<limit"))?;
                    match signal {
                        "memory.available" => {
                            let bytes =
                                crate::quantity::value(limit).ok_or_else(|| bad("memory needs a size"))?;
                            self.eviction_memory = u64::try_from(bytes).unwrap_or(0);
                        }
                        "nodefs.available" | "imagefs.available" => {
                            self.eviction_disk = percent(limit).ok_or_else(|| bad(PERCENT))?;
                        }
                        _ => {
                            return Err(bad(
                                "memory.available, nodefs.available and imagefs.available are known",
                            ));
                        }
                    }
                }
            }
            "node-status-report-frequency" => {
                self.status_period = duration(value).ok_or_else(|| bad("a duration like 5m is needed"))?;
            }
            "pod-logs-dir" => self.pod_logs = PathBuf::from(value),
            "resolv-conf" => self.resolv_conf = PathBuf::from(value),
            "allowed-unsafe-sysctls" => {
                self.allowed_unsafe_sysctls = value.split(',').map(str::to_owned).collect();
            }
            "pod-max-pids" => self.pod_pids_limit = value.parse().map_err(|_| bad("a number is needed"))?,
            "kube-reserved" | "system-reserved" => {
                for part in value.split(',').filter(|part| !part.is_empty()) {
                    let (resource, amount) =
                        part.split_once('=').ok_or_else(|| bad("write cpu=100m,memory=64Mi"))?;
                    let amount =
                        crate::quantity::milli(amount).ok_or_else(|| bad("an amount is no quantity"))?;
                    let before = self.reserved.get(resource).and_then(|old| crate::quantity::milli(old));
                    let sum = amount.saturating_add(before.unwrap_or(0));
                    self.reserved.insert(resource.to_owned(), format!("{sum}m"));
                }
            }
            _ => return Err(Error::Unknown { name: name.into() }),
        }
        Ok(())
    }
}

const PERCENT: &str = "a percentage from 0 to 100 is needed";

fn percent(text: &str) -> Option<u8> {
    text.trim_end_matches('%').parse().ok().filter(|value| *value <= 100)
}

/// Go's `5m`, `1h30m`, `10s`; none of these settings may be zero.
fn duration(text: &str) -> Option<Duration> {
    let nanos = api::time::duration::parse(text).ok()?;
    u64::try_from(nanos).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_set_what_upstream_sets() {
        let mut settings = Settings::default();
        for (name, value) in [
            ("--max-pods", "20"),
            ("container-log-max-size", "1Mi"),
            ("eviction-hard", "memory.available<50Mi,nodefs.available<5%"),
            ("node-status-report-frequency", "1h30m"),
            ("kube-reserved", "cpu=100m,memory=64Mi"),
            ("system-reserved", "cpu=1"),
        ] {
            settings.set(name, value).unwrap();
        }
        assert_eq!((settings.max_pods, settings.log_max_size), (20, 1 << 20));
        assert_eq!((settings.eviction_memory, settings.eviction_disk), (50 << 20, 5));
        assert_eq!(settings.status_period, Duration::from_secs(5400));
        assert_eq!(settings.reserved["cpu"], "1100m");
    }

    #[test]
    fn what_is_wrong_is_told() {
        let told = Settings::default().set("max-pod", "3").unwrap_err().to_string();
        assert!(told.starts_with("--kubelet-arg=max-pod: this kubelet has no such setting"), "{told}");
        let told = Settings::default().set("max-pods", "many").unwrap_err().to_string();
        assert_eq!(told, "--kubelet-arg=max-pods=many: a number is needed");
    }
}
