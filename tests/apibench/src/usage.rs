//! What processes take: memory as PSS, processor time in ticks of 10 ms (proc(5)).

use anyhow::{Context, Result};

/// Summed over the processes of one server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Bytes.
    pub memory: f64,
    /// Seconds since their start, user and system.
    pub processor: f64,
}

impl Usage {
    pub fn of(ids: impl Iterator<Item = u32>) -> Result<Usage> {
        let mut sum = Usage::default();
        for id in ids {
            let text =
                std::fs::read_to_string(format!("/proc/{id}/smaps_rollup")).context("a server ended")?;
            let line =
                text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in smaps_rollup")?;
            let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
            sum.memory += kilobytes * 1024.0;
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
            // The second field, in parentheses, may hold anything.
            let (_, rest) = stat.rsplit_once(") ").context("no name in stat")?;
            let mut fields = rest.split(' ').skip(11);
            let mut ticks = || fields.next().and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
            sum.processor += (ticks() + ticks()) / 100.0;
        }
        Ok(sum)
    }
}
