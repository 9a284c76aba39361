//! What a rendering can see of the machine: its clock, its chance, its time zones. Real here, pinned in tests.

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use render::helm::{Lookup, World};

use crate::cluster::Cluster;

/// The machine's own.
pub struct System;

/// The machine's own, and a cluster that `lookup` asks, as `helm template --dry-run=server` does.
pub struct WithCluster {
    cluster: Cluster,
    /// Renderings ask from threads of their own, one after another.
    runtime: Mutex<tokio::runtime::Runtime>,
}

impl WithCluster {
    /// The runtime is the one that the cluster's client was made in, without anybody in it.
    pub fn new(cluster: Cluster, runtime: tokio::runtime::Runtime) -> WithCluster {
        WithCluster { cluster, runtime: Mutex::new(runtime) }
    }
}

impl World for WithCluster {
    fn now(&self) -> i128 {
        System.now()
    }

    fn random(&self, buffer: &mut [u8]) {
        System.random(buffer);
    }

    fn zone(&self, name: &str) -> Option<Vec<u8>> {
        System.zone(name)
    }

    fn lookup(&self, wanted: &Lookup<'_>) -> Result<Option<api::Value>, String> {
        let asked = async {
            let kind = self.cluster.kind(wanted.api_version, wanted.kind).await?;
            self.cluster.look_up(&kind, wanted.namespace, wanted.name).await
        };
        self.runtime.lock().block_on(asked).map_err(|error| error.text())
    }
}

/// Where zones are kept, the first that has one wins. The empty name is not a zone.
const ZONES: [&str; 3] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo"];

/// How a kustomization is built here: its charts may use this machine's clock and chance.
pub(crate) fn kustomize(
    edits: render::kustomize::Edits,
    limits: render::Limits,
) -> render::kustomize::Options<'static> {
    render::kustomize::Options { edits, limits, world: Some(&System), ..Default::default() }
}

impl World for System {
    fn now(&self) -> i128 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_nanos() as i128,
            Err(before) => -(before.duration().as_nanos() as i128),
        }
    }

    fn random(&self, buffer: &mut [u8]) {
        rand::RngCore::fill_bytes(&mut rand::rng(), buffer);
    }

    fn zone(&self, name: &str) -> Option<Vec<u8>> {
        if name == "Local" {
            return match std::env::var("TZ") {
                Ok(zone) if zone.is_empty() || zone == "UTC" => None,
                Ok(zone) => self.zone(zone.trim_start_matches(':')),
                Err(_) => std::fs::read("/etc/localtime").ok(),
            };
        }
        // A name is a path below the directories of zones, and nothing else.
        if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return None;
        }
        ZONES.iter().find_map(|directory| std::fs::read(format!("{directory}/{name}")).ok())
    }
}
