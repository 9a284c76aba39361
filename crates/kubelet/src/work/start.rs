//! Starting one container: image, configuration, create, start, postStart.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Token;
use client::recorder::Severity::{Normal, Warning};
use k8s_openapi::api::core::v1::Pod;
use rand::RngCore;
use runtime::ContainerId;

use super::{Shared, blocking, image};
use crate::container;
use crate::hook;
use crate::pod::{Reason, spec};
use crate::probe::Target;

/// Annotation that keeps the signal which ends the container, from its spec or its image.
pub const STOP_SIGNAL: &str = "io.skiff.stop-signal";

/// Why a container did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    /// The pull's own back-off applies.
    pub pull: bool,
    /// The pod ended meanwhile: nothing to tell.
    pub cancelled: bool,
}

impl Failure {
    fn new(reason: &str, message: impl Into<String>) -> Failure {
        Failure { reason: Reason::new(reason, message), pull: false, cancelled: false }
    }
}

/// See the module. `ending` cuts pulls and hooks short.
pub async fn start(
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    name: String,
    attempt: u32,
    ips: Vec<IpAddr>,
    ending: Token,
) -> Result<ContainerId, Failure> {
    let entry = spec::container(&pod, &name).ok_or_else(|| {
        Failure::new("CreateContainerConfigError", "the container is not in the pod any more")
    })?;
    let field = || Some(entry.field_path());
    let cancelled = || Failure { cancelled: true, ..Failure::new("", "") };
    let image = tokio::select! {
        () = ending.cancelled() => return Err(cancelled()),
        image = image::ensure(&shared, &pod, &entry) => image,
    };
    let image = image.map_err(|(reason, pull)| Failure { reason, pull, cancelled: false })?;
    let id = fresh_id();
    let build = {
        let (shared, pod, name, image, ips, id) =
            (shared.clone(), pod.clone(), name.clone(), image.clone(), ips.clone(), id.clone());
        move || {
            let entry = spec::container(&pod, &name)?;
            let host_hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
            Some(container::build(
                &container::Context {
                    config: &shared.config,
                    sources: &*shared.seams.sources,
                    pod: &pod,
                    entry: &entry,
                    image: &image,
                    attempt,
                    ips: &ips,
                    allocatable: &shared.allocatable,
                    node_memory: shared.memory,
                    host_hosts: &host_hosts,
                    host_resolver: &shared.host_resolver,
                },
                id,
            ))
        }
    };
    let mut spec = match blocking(build).await.flatten() {
        Some(Ok(spec)) => spec,
        Some(Err(error)) => {
            let message = base::chain(&error).to_string();
            shared.tell(&pod, field(), Warning, "Failed", format!("Error: {message}"));
            return Err(Failure::new("CreateContainerConfigError", message));
        }
        None => {
            return Err(Failure::new(
                "CreateContainerConfigError",
                "building the container's configuration failed",
            ));
        }
    };
    let lifecycle = entry.container.lifecycle.as_ref();
    if let Some(signal) = lifecycle.and_then(|lifecycle| lifecycle.stop_signal.clone()).or(image.stop_signal)
    {
        spec.annotations.insert(STOP_SIGNAL.to_owned(), signal);
    }
    if ending.is_cancelled() {
        return Err(cancelled());
    }
    if let Some(target) = spec::target(&pod, &name) {
        spec.beside = Some(running(&shared, spec::uid(&pod), target).await.ok_or_else(|| {
            let message = format!("unable to find target container {target:?}: it is not running");
            shared.tell(&pod, field(), Warning, "Failed", format!("Error: {message}"));
            Failure::new("CreateContainerError", message)
        })?);
    }
    let told = |error: runtime::Error, default: &str| match error {
        runtime::Error::Container { reason, message } => Failure::new(reason, message),
        other => Failure::new(default, base::chain(&other).to_string()),
    };
    let fail = |failure: Failure| {
        shared.tell(&pod, field(), Warning, "Failed", format!("Error: {}", failure.reason.message));
        failure
    };
    if let Err(error) = shared.seams.runtime.create_container(spec).await {
        return Err(fail(told(error, "CreateContainerError")));
    }
    shared.tell(&pod, field(), Normal, "Created", "Container created");
    if let Err(error) = shared.seams.runtime.start_container(&id).await {
        return Err(fail(told(error, "RunContainerError")));
    }
    shared.tell(&pod, field(), Normal, "Started", "Container started");
    if let Some(post_start) = lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref()) {
        let ip = super::pod_ips(&shared, &pod, &ips).first().copied();
        let target = Target { id: &id, container: &entry.container, ip };
        let title = spec::title(&pod);
        let run = hook::run(
            &*shared.seams.runtime,
            &target,
            &title,
            post_start,
            Duration::from_secs(u64::from(u32::MAX)),
        );
        let done = tokio::select! {
            () = ending.cancelled() => return Ok(id),
            done = run => done,
        };
        if let Err(message) = done {
            tracing::info!(pod = title, message, "a postStart hook failed");
            shared.tell(&pod, field(), Warning, "FailedPostStartHook", "PostStartHook failed");
            shared.tell(&pod, field(), Normal, "Killing", "FailedPostStartHook");
            let grace = spec::grace(&pod);
            if let Err(error) = shared.seams.runtime.stop_container(&id, None, grace).await {
                tracing::warn!(pod = title, error = %base::chain(&error), "cannot stop a container whose hook failed");
            }
            return Err(Failure::new("PostStartHookError", message));
        }
    }
    Ok(id)
}

/// The running container of that name.
async fn running(shared: &Shared, uid: &str, name: &str) -> Option<ContainerId> {
    let sandbox = shared.seams.runtime.sandbox(uid).await.ok()?;
    let found = sandbox.containers.into_iter().find(|one| one.name == name && crate::pod::is_live(one))?;
    Some(found.id)
}

fn fresh_id() -> ContainerId {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}
