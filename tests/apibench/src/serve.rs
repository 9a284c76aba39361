//! The server that is measured: the API server over SQLite as `skiff server` runs it, with no other role beside it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use testkit_cluster::{Cluster, NoNodes};
use tokio::signal::unix::{SignalKind, signal};

/// Serves on `address` with its state in `folder`, until SIGTERM. The file `tell` appears when it is ready.
pub fn run(folder: &Path, address: &str, tell: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4)))
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let clock = base::Clock::system("2026-01-01T00:00:00Z".parse().context("a time")?);
        let cluster = Cluster::open(folder, clock, "192.0.2.1:6443", Arc::new(NoNodes)).await;
        let address = cluster.listen_at(address).await;
        let admin = cluster.admin_certificate();
        let target =
            json!({"address": address.to_string(), "certificate": admin.certificate, "key": admin.key});
        // Whole or not at all: who waits for it reads it at once.
        let new = tell.with_extension("new");
        std::fs::write(&new, target.to_string())?;
        std::fs::rename(&new, tell)?;
        signal(SignalKind::terminate())?.recv().await;
        cluster.stop().await;
        Ok(())
    })
}
