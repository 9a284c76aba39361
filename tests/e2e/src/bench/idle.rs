//! A server with nothing to do: memory after ten seconds of rest, then processor and disk over half a minute.

use std::time::Duration;

use anyhow::Result;

use super::usage::{Memory, Rate};
use super::{Bench, Row, megabytes, with};

/// Until a server that just started has come to rest.
pub const REST: Duration = Duration::from_secs(10);
/// How long processor and disk are watched.
pub const WATCHED: Duration = Duration::from_secs(30);

pub async fn measure(bench: &Bench<'_>) -> Result<Vec<Row>> {
    with(bench.machine("idle")?, |running| async move {
        tokio::time::sleep(REST).await;
        let memory = Memory::now(running.pid)?;
        let rate = Rate::over(WATCHED).await?;
        let later = Memory::now(running.pid)?;
        let told = format!(
            "{} (skiff {}, {} other processes; 30 s later {})",
            megabytes(memory.sum()),
            megabytes(memory.skiff),
            memory.helpers,
            megabytes(later.sum())
        );
        Ok(vec![
            Row::new("memory, idle (PSS)", told, "40 MB", "712 MB"),
            Row::new("CPU, idle, of a core", format!("{:.2} %", rate.percent), "0.3 %", "3.9 %"),
            Row::new("disk writes, idle", format!("{:.2} kB/s", rate.written / 1e3), "0", "19 kB/s"),
        ])
    })
    .await
}
