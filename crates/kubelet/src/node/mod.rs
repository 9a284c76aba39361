//! The node's presence in the cluster: its object, its lease, its status.
//!
//! The status is written when it changed, or every five minutes; between, only `renewTime` of a Lease moves, every ten
//! seconds, which the store keeps in memory (D5, D10).

mod machine;
pub mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::recorder::{Regarding, Severity};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

pub use machine::{Machine, disk, meminfo};

use crate::config::Config;
use crate::upkeep;
use crate::work::Shared;

/// Between two renewals of the lease; everything periodic of the node happens on this beat.
const BEAT: Duration = Duration::from_secs(10);
const LEASES: &str = "kube-node-lease";

/// What pods may be given.
pub fn allocatable(machine: &Machine, config: &Config) -> BTreeMap<String, Quantity> {
    let size = disk(&config.paths.pods()).map_or(0, |(size, _)| size);
    status::allocatable(machine, config, size)
}

fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// What the API server said, without the answer's other fields; else the whole chain.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => base::chain(other).to_string(),
    }
}

/// Registers the node and keeps it alive. Runs until its task is stopped.
pub async fn run(shared: Arc<Shared>, machine: Machine) {
    let mut presence = Presence {
        shared: shared.clone(),
        machine,
        known: None,
        uid: String::new(),
        written: None,
        images: Vec::new(),
    };
    let mut wait = Duration::from_millis(100);
    while let Err(error) = presence.register().await {
        tracing::warn!(error = said(&error), "cannot register the node");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(7));
    }
    presence.tell("Starting", "Starting kubelet.");
    presence.tell("NodeReady", &format!("Node {} status is now: NodeReady", shared.config.node_name));
    let (mut beats, mut seen) = (0u64, upkeep::Seen::default());
    loop {
        presence.renew().await;
        if beats.is_multiple_of(3) {
            presence.report(beats.is_multiple_of(6)).await;
            upkeep::run(&shared, &mut seen, beats.is_multiple_of(30)).await;
        }
        beats += 1;
        tokio::time::sleep(BEAT).await;
    }
}

struct Presence {
    shared: Arc<Shared>,
    machine: Machine,
    /// As the API last answered.
    known: Option<NodeStatus>,
    uid: String,
    written: Option<jiff::Timestamp>,
    images: Vec<crate::images::Image>,
}

impl Presence {
    fn nodes(&self) -> Api<Node> {
        Api::all(self.shared.seams.client.clone())
    }

    fn tell(&self, reason: &str, message: &str) {
        let name = self.shared.config.node_name.clone();
        // Upstream's reference to a node has the name in place of the uid.
        let node = Regarding {
            api_version: "v1".into(),
            kind: "Node".into(),
            uid: name.clone(),
            name,
            ..Regarding::default()
        };
        self.shared.seams.recorder.record(&node, Severity::Normal, reason, reason, message);
    }

    async fn reading(&mut self, images: bool) -> status::Reading {
        if images {
            match self.shared.seams.images.list().await {
                Ok(list) => self.images = list,
                Err(error) => tracing::warn!(error = %base::chain(&error), "cannot list images"),
            }
        }
        let (disk_size, disk_free) = disk(&self.shared.config.paths.pods()).unwrap_or((0, 0));
        status::Reading {
            memory_available: meminfo("MemAvailable").unwrap_or(u64::MAX),
            disk_size,
            disk_free,
            images: self.images.clone(),
            runtime_version: self.shared.seams.runtime.version(),
        }
    }

    async fn register(&mut self) -> Result<(), kube::Error> {
        let reading = self.reading(true).await;
        let (shared, now) = (self.shared.clone(), self.shared.clock.now());
        let config = &shared.config;
        let old = match self.nodes().get_opt(&config.node_name).await? {
            Some(node) => {
                let labels = status::labels(&self.machine, config);
                let has = node.metadata.labels.clone().unwrap_or_default();
                if labels.iter().any(|(key, value)| has.get(key) != Some(value)) {
                    let patch = json!({"metadata": {"labels": labels}});
                    self.nodes().patch(&config.node_name, &params(), &Patch::Strategic(patch)).await?;
                }
                node
            }
            None => {
                let status = status::status(&self.machine, config, &reading, &NodeStatus::default(), now);
                let node = status::node(&self.machine, config, status);
                self.nodes()
                    .create(
                        &PostParams { field_manager: Some("kubelet".into()), ..PostParams::default() },
                        &node,
                    )
                    .await?
            }
        };
        self.uid = old.metadata.uid.clone().unwrap_or_default();
        self.known = Some(old.status.unwrap_or_default());
        self.write(reading).await
    }

    /// Writes the status if it says something new.
    async fn report(&mut self, images: bool) {
        let reading = self.reading(images).await;
        match self.write(reading).await {
            Ok(()) => {}
            // Somebody deleted the node: it comes back, as upstream's does.
            Err(error) if is_code(&error, 404) => {
                if let Err(error) = self.register().await {
                    tracing::warn!(error = said(&error), "cannot register the node again");
                }
            }
            Err(error) => tracing::warn!(error = said(&error), "cannot write the node's status"),
        }
    }

    async fn write(&mut self, reading: status::Reading) -> Result<(), kube::Error> {
        let now = self.shared.clock.now();
        // Others write conditions too; what they said is in the cache.
        let cached = self.shared.seams.sources.node().and_then(|node| node.status.clone());
        let old = cached.or_else(|| self.known.clone()).unwrap_or_default();
        let status = status::status(&self.machine, &self.shared.config, &reading, &old, now);
        let due = self.written.is_none_or(|at| {
            now.duration_since(at)
                >= jiff::SignedDuration::try_from(self.shared.config.settings.status_period)
                    .unwrap_or_default()
        });
        let known = self.known.as_ref().is_some_and(|known| !status::differs(known, &status));
        if !due && known && !status::differs(&old, &status) {
            return Ok(());
        }
        let mut tree = serde_json::to_value(&status).unwrap_or_default();
        // Addresses and conditions merge by type: nothing of ours is ever taken away, so no delete is needed.
        if let Some(fields) = tree.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        let patch = Patch::Strategic(json!({"status": tree}));
        let name = self.shared.config.node_name.clone();
        self.nodes().patch_status(&name, &params(), &patch).await?;
        self.known = Some(status);
        self.written = Some(now);
        Ok(())
    }

    async fn renew(&self) {
        let leases: Api<Lease> = Api::namespaced(self.shared.seams.client.clone(), LEASES);
        let name = &self.shared.config.node_name;
        let now = MicroTime(self.shared.clock.now());
        let patch = Patch::Merge(json!({"spec": {"renewTime": now}}));
        let done = match leases.patch(name, &params(), &patch).await {
            Err(error) if is_code(&error, 404) => self.first_lease(&leases, now).await,
            other => other.map(|_| ()),
        };
        if let Err(error) = done {
            tracing::warn!(error = %base::chain(&error), "cannot renew the node's lease");
        }
    }

    async fn first_lease(&self, leases: &Api<Lease>, now: MicroTime) -> Result<(), kube::Error> {
        let name = self.shared.config.node_name.clone();
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(LEASES.into()),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".into(),
                    kind: "Node".into(),
                    name: name.clone(),
                    uid: self.uid.clone(),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(name),
                lease_duration_seconds: i32::try_from(self.shared.config.settings.lease_duration.as_secs())
                    .ok(),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        };
        leases.create(&PostParams::default(), &lease).await.map(|_| ())
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some("kubelet".into()), ..PatchParams::default() }
}
