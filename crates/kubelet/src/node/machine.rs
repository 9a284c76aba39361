//! What this machine is: read once from /proc, /sys and /etc.

use nix::sys::statvfs::statvfs;
use std::path::Path;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub cpus: usize,
    /// Bytes.
    pub memory: u64,
    pub kernel: String,
    pub os_image: String,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub hostname: String,
    /// Go's name of the architecture.
    pub arch: &'static str,
}

impl Machine {
    pub fn read() -> Machine {
        let text =
            |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
        let machine_id = text("/etc/machine-id");
        let uuid = text("/sys/class/dmi/id/product_uuid");
        Machine {
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: meminfo("MemTotal").unwrap_or(0),
            kernel: text("/proc/sys/kernel/osrelease"),
            os_image: os_image(&text("/etc/os-release")).unwrap_or_else(|| "Linux".into()),
            system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid.to_lowercase() },
            machine_id,
            boot_id: text("/proc/sys/kernel/random/boot_id"),
            hostname: text("/proc/sys/kernel/hostname"),
            arch: match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => other,
            },
        }
    }
}

fn os_image(os_release: &str) -> Option<String> {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

/// A line of /proc/meminfo, in bytes.
pub fn meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Size and free bytes of the file system that holds `path` (or the nearest folder above it that exists).
pub fn disk(path: &Path) -> Option<(u64, u64)> {
    let path = path.ancestors().find(|path| path.exists())?;
    let stat = statvfs(path).ok()?;
    #[allow(clippy::unnecessary_cast, reason = "the types differ between architectures")]
    let (unit, all, free) =
        (stat.fragment_size() as u64, stat.blocks() as u64, stat.blocks_available() as u64);
    Some((all * unit, free * unit))
}
