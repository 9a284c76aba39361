//! Stopping one container: the event, preStop, the signal, the kill.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use client::recorder::Severity::{Normal, Warning};
use k8s_openapi::api::core::v1::Pod;
use runtime::ContainerId;

use super::Shared;
use super::start::STOP_SIGNAL;
use crate::hook;
use crate::pod::{Why, spec};
use crate::probe::Target;

/// Less than this is left for the stop signal, however long the hook took.
const LEAST: Duration = Duration::from_secs(2);

/// See the module; false if it may still run. `again` cuts an earlier stop short: no event, no hook.
pub async fn stop(
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    name: String,
    id: ContainerId,
    why: Why,
    grace: Duration,
    again: bool,
    ips: Vec<IpAddr>,
) -> bool {
    let began = shared.clock.now();
    let entry = spec::container(&pod, &name);
    if !again {
        let message = match why {
            Why::PodEnds => format!("Stopping container {name}"),
            Why::Restart(text) => text,
        };
        shared.tell(&pod, entry.as_ref().map(|entry| entry.field_path()), Normal, "Killing", message);
        let hook = entry.as_ref().and_then(|entry| entry.container.lifecycle.as_ref()?.pre_stop.as_ref());
        if let (Some(entry), Some(hook)) = (&entry, hook) {
            let ip = super::pod_ips(&shared, &pod, &ips).first().copied();
            let target = Target { id: &id, container: &entry.container, ip };
            let title = spec::title(&pod);
            let run = hook::run(&*shared.seams.runtime, &target, &title, hook, grace);
            match tokio::time::timeout(grace, run).await {
                Ok(Ok(())) => {}
                Ok(Err(message)) => {
                    tracing::info!(pod = spec::title(&pod), message, "a preStop hook failed");
                    shared.tell(
                        &pod,
                        Some(entry.field_path()),
                        Warning,
                        "FailedPreStopHook",
                        "PreStopHook failed",
                    );
                }
                Err(_) => tracing::info!(
                    pod = spec::title(&pod),
                    container = name,
                    "a preStop hook outlived the grace"
                ),
            }
        }
    }
    let used = Duration::try_from(shared.clock.now().duration_since(began)).unwrap_or_default();
    let left = grace.saturating_sub(used).max(LEAST);
    let signal = shared.seams.runtime.container(&id).await.ok();
    let signal = signal.and_then(|status| status.annotations.get(STOP_SIGNAL).cloned());
    match shared.seams.runtime.stop_container(&id, signal.as_deref(), left).await {
        Ok(()) => true,
        Err(error) => {
            let message = base::chain(&error).to_string();
            shared.tell(&pod, None, Warning, "FailedKillPod", format!("error killing pod: {message}"));
            false
        }
    }
}
