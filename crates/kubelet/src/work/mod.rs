//! Doing what plans say: one worker a pod, and the operations that it runs side by side.

mod calls;
mod close;
mod image;
mod outcome;
mod sandbox;
mod start;
mod stop;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Clock;
use client::recorder::{Regarding, Severity};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

pub(crate) use worker::{Handle, spawn};

use crate::config::Config;
use crate::volumes::token::Tokens;
use crate::{Seams, container};

/// What every worker shares.
pub(crate) struct Shared {
    pub config: Config,
    pub seams: Seams,
    pub clock: Clock,
    pub tokens: Tokens,
    pub allocatable: BTreeMap<String, Quantity>,
    /// Bytes.
    pub memory: i64,
    pub host_resolver: container::files::Resolver,
}

impl Shared {
    /// Tells something about a pod, or of one container by its field path.
    pub fn tell(
        &self,
        pod: &Pod,
        field_path: Option<String>,
        severity: Severity,
        reason: &str,
        message: impl Into<String>,
    ) {
        let mut regarding = Regarding::typed(pod);
        regarding.field_path = field_path.unwrap_or_default();
        self.seams.recorder.record(&regarding, severity, reason, reason, message);
    }
}

/// Files are touched off the async threads (STYLE, "Async").
pub(crate) async fn blocking<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(run).await {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!(%error, "work on files panicked");
            None
        }
    }
}

/// The node's addresses that a pod on the host's network has, or its own.
pub(crate) fn pod_ips(shared: &Arc<Shared>, pod: &Pod, own: &[std::net::IpAddr]) -> Vec<std::net::IpAddr> {
    if crate::pod::spec::host_network(pod) { shared.config.node_ips.clone() } else { own.to_vec() }
}
