//! The end of a pod on this node: first its processes, link and volumes go, and at last its logs and folder.

use std::sync::Arc;

use client::recorder::Severity::Warning;
use k8s_openapi::api::core::v1::Pod;

use super::{Shared, blocking};
use crate::pod::spec;
use crate::volumes::{self, Places};

/// Stops the sandbox, detaches the network, takes the volumes away. Containers stay listed, and logs readable.
pub async fn close(shared: Arc<Shared>, pod: Arc<Pod>) -> Result<(), String> {
    let uid = spec::uid(&pod).to_owned();
    let told = |error: &(dyn std::error::Error + 'static)| base::chain(error).to_string();
    let stopped = shared.seams.runtime.stop_sandbox(&uid).await.map_err(|error| told(&error));
    if let Err(message) = &stopped {
        shared.tell(&pod, None, Warning, "FailedKillPod", format!("error killing pod: {message}"));
    }
    stopped?;
    shared.seams.network.detach(&uid).await.map_err(|error| told(&error))?;
    shared.tokens.forget(&uid);
    let places = Places::new(&shared.config.paths, &uid);
    blocking(move || volumes::tear_down(&places).map_err(|error| base::chain(&error).to_string()))
        .await
        .unwrap_or_else(|| Err("taking the volumes away panicked".into()))
}

/// Removes every trace of a pod.
pub async fn forget(shared: Arc<Shared>, uid: String) -> Result<(), String> {
    let told = |error: &(dyn std::error::Error + 'static)| base::chain(error).to_string();
    shared.seams.runtime.remove_sandbox(&uid).await.map_err(|error| told(&error))?;
    shared.seams.network.detach(&uid).await.map_err(|error| told(&error))?;
    shared.tokens.forget(&uid);
    let places = Places::new(&shared.config.paths, &uid);
    let (links, pods) = (shared.config.settings.pod_logs.clone(), shared.config.paths.pods());
    blocking(move || {
        crate::links::remove(&links, &pods, |other| other == uid);
        volumes::remove(places.pod()).map_err(|error| base::chain(&error).to_string())
    })
    .await
    .unwrap_or_else(|| Err("deleting the pod's folder panicked".into()))
}
