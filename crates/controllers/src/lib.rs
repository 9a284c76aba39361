//! The controllers: one reconciler a file, all in [`ALL`]. To add one, add its file and its line.
//!
//! Each runs as upstream's ServiceAccount of the same name, reads only caches, plans purely and writes only what
//! differs: a converged cluster writes nothing (D6, D10). What a kind *is* lives in `api`; this crate only moves it.

mod certificates;
mod cluster_role;
mod context;
mod cron_job;
mod daemon_set;
mod deployment;
mod disruption;
mod endpoints;
mod garbage;
mod history;
mod job;
mod namespace;
mod node_lifecycle;
mod owned;
mod pod_control;
mod pod_gc;
mod pods;
mod replica_set;
mod resource_quota;
mod root_ca;
mod service_account;
mod share;
mod stateful_set;
mod storage_protection;
mod taint_eviction;
mod ttl_after_finished;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Tasks};
use client::reconcile::{Handle, Reconciler};
use client::recorder::{Form, Source};
use client::{Caches, Recorder, Writer};

pub use certificates::Signers;
pub use context::Context;

/// One row of [`ALL`].
pub struct Controller {
    /// For logs, metrics and [`Config::disabled`].
    pub name: &'static str,
    /// The ServiceAccount in `kube-system` that it runs as; also the component of its events.
    pub account: &'static str,
    /// Reconciles at once, at most.
    pub workers: usize,
    /// `None` if this process lacks a cache that it needs.
    pub make: fn(Context) -> Option<Arc<dyn Reconciler>>,
}

/// Every controller.
pub const ALL: &[Controller] = &[
    service_account::CONTROLLER,
    root_ca::CONTROLLER,
    replica_set::CONTROLLER,
    replica_set::REPLICATION,
    deployment::CONTROLLER,
    daemon_set::CONTROLLER,
    stateful_set::CONTROLLER,
    job::CONTROLLER,
    cron_job::CONTROLLER,
    ttl_after_finished::CONTROLLER,
    disruption::CONTROLLER,
    endpoints::CONTROLLER,
    endpoints::LEGACY,
    endpoints::MIRROR,
    namespace::CONTROLLER,
    garbage::CONTROLLER,
    node_lifecycle::CONTROLLER,
    taint_eviction::CONTROLLER,
    pod_gc::CONTROLLER,
    cluster_role::CONTROLLER,
    resource_quota::CONTROLLER,
    storage_protection::CLAIMS,
    storage_protection::VOLUMES,
    storage_protection::CLASSES,
    certificates::APPROVER,
    certificates::SIGNER,
    certificates::CLEANER,
];

/// Gives a client with the identity named, as `system:serviceaccount:kube-system:deployment-controller`.
pub type Clients = Arc<dyn Fn(&str) -> kube::Client + Send + Sync>;

#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's CA certificates in PEM, for the ConfigMap `kube-root-ca.crt` of each namespace.
    pub root_ca: String,
    /// What signs CertificateSigningRequests; `None`: nothing is signed.
    pub signers: Option<Signers>,
    /// Silence of a node's lease after which it counts as lost; upstream's default is 40 s (50 s since 1.32).
    pub node_grace: Duration,
    /// Controllers that do not run, by name.
    pub disabled: BTreeSet<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            root_ca: String::new(),
            signers: None,
            node_grace: Duration::from_secs(40),
            disabled: BTreeSet::new(),
        }
    }
}

/// The field manager of everything written here: upstream's program has one for all its controllers.
const MANAGER: &str = "kube-controller-manager";

/// Starts every controller; they run until `tasks` stop.
pub fn run(clients: &Clients, caches: &Caches, clock: &Clock, config: Config, tasks: &Tasks) -> Vec<Handle> {
    let config = Arc::new(config);
    let mut handles = Vec::new();
    for controller in ALL.iter().filter(|controller| !config.disabled.contains(controller.name)) {
        let client = clients(&format!("system:serviceaccount:kube-system:{}", controller.account));
        let writer = Writer::new(client, caches.clone(), MANAGER);
        let source = Source { component: controller.account.into(), instance: String::new() };
        let context = Context {
            recorder: Recorder::start(writer.clone(), source, Form::Core, clock.clone(), tasks),
            writer,
            caches: caches.clone(),
            clock: clock.clone(),
            config: config.clone(),
        };
        match (controller.make)(context) {
            Some(reconciler) => handles.push(client::reconcile::run(reconciler, controller.workers, tasks)),
            None => tracing::error!(controller = controller.name, "not started: a cache is missing"),
        }
    }
    handles
}
