//! What processes use, as the kernel counts it: memory (PSS), processor time and bytes sent to the disk. Everything below the
//! benchmark's own process is counted: the server, its helpers, and the shims and containers that were handed up to it.

use std::time::Duration;

use anyhow::Result;
use e2e::{cluster, namespace};
use nix::unistd::{Pid, SysconfVar, sysconf};

/// Memory by what holds it, in bytes.
#[derive(Clone, Copy, Default)]
pub struct Memory {
    pub skiff: u64,
    pub shims: u64,
    pub others: u64,
    /// How many processes there are besides the server.
    pub helpers: usize,
}

impl Memory {
    /// Of all processes now; one that ends meanwhile counts nothing.
    pub fn now(server: Pid) -> Result<Memory> {
        let mut memory = Memory { skiff: cluster::pss(server)?, ..Memory::default() };
        for pid in namespace::descendants().into_iter().filter(|pid| *pid != server) {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let size = cluster::pss(pid).unwrap_or(0);
            memory.helpers += 1;
            if name.contains("shim") {
                memory.shims += size;
            } else {
                memory.others += size;
            }
        }
        Ok(memory)
    }

    pub fn sum(&self) -> u64 {
        self.skiff + self.shims + self.others
    }
}

/// Processor time and writes of all processes until now.
#[derive(Clone, Copy, Default)]
struct Work {
    ticks: u64,
    written: u64,
}

impl Work {
    fn now() -> Work {
        let mut work = Work::default();
        for pid in namespace::descendants() {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Fields 14 to 17 (own and waited-for children's user and system time); the third follows the name's parenthesis.
            let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ')).into_iter().flatten();
            work.ticks += fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
            let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
            let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
            work.written += line.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        }
        work
    }
}

/// What was done per second over a while.
pub struct Rate {
    /// Of one core, in hundredths.
    pub percent: f64,
    /// Bytes written a second.
    pub written: f64,
}

impl Rate {
    pub async fn over(time: Duration) -> Result<Rate> {
        let per_second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64;
        let before = Work::now();
        tokio::time::sleep(time).await;
        let after = Work::now();
        let seconds = time.as_secs_f64();
        let ticks = after.ticks.saturating_sub(before.ticks) as f64;
        let written = after.written.saturating_sub(before.written) as f64;
        Ok(Rate { percent: ticks / per_second / seconds * 100.0, written: written / seconds })
    }
}
