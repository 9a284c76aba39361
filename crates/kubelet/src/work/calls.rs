//! What a worker asks of the API and the machine, one call each.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};

use super::Shared;
use crate::pod::resize::Change;
use crate::pod::{diff, spec};
use crate::probe::{self, Outcome as Probed};

/// The addresses of a pod that was here before this worker.
pub(super) async fn addresses(shared: &Shared, pod: &Pod) -> Vec<IpAddr> {
    if spec::host_network(pod) {
        return Vec::new();
    }
    let uid = spec::uid(pod);
    match shared.seams.network.get(uid).await {
        Ok(Some(link)) => return link.ips,
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(pod = spec::title(pod), %error, "the network cannot tell of a pod")
        }
    }
    // A sandbox that runs has the link that the API was told of.
    if !shared.seams.runtime.sandbox(uid).await.is_ok_and(|sandbox| sandbox.ready) {
        return Vec::new();
    }
    let told = pod.status.iter().flat_map(|status| status.pod_ips.iter().flatten());
    told.filter_map(|ip| ip.ip.parse().ok()).collect()
}

pub(super) fn version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_ref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

pub(super) fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

fn api(shared: &Shared, pod: &Pod) -> kube::Api<Pod> {
    kube::Api::namespaced(shared.seams.client.clone(), spec::namespace(pod))
}

pub(super) async fn report(shared: &Shared, pod: &Pod, status: &PodStatus) -> Result<Pod, kube::Error> {
    let Some(patch) = diff::patch(pod, status) else { return Ok(pod.clone()) };
    let params = PatchParams { field_manager: Some("kubelet".into()), ..PatchParams::default() };
    api(shared, pod).patch_status(spec::name(pod), &params, &Patch::Strategic(patch)).await
}

pub(super) async fn delete(shared: &Shared, pod: &Pod) -> Result<(), kube::Error> {
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api(shared, pod).delete(spec::name(pod), &params).await {
        Ok(_) => Ok(()),
        // Gone, or its name is another pod's by now.
        Err(error) if is_code(&error, 404) || is_code(&error, 409) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) async fn make_probe(
    shared: &Arc<Shared>,
    pod: &Pod,
    name: &str,
    id: &str,
    kind: probe::Kind,
    ips: &[IpAddr],
) -> Probed {
    let entry = spec::container(pod, name);
    let Some((entry, probe)) = entry.as_ref().and_then(|entry| Some((entry, kind.of(&entry.container)?)))
    else {
        return Probed::Error("the container has no such probe".into());
    };
    let ip = super::pod_ips(shared, pod, ips).first().copied();
    probe::run(&*shared.seams.runtime, &probe::Target { id, container: &entry.container, ip }, probe).await
}

/// Changes the limits of what runs. The pod's own go up first and down last, so that they are never below a container's.
pub(super) async fn resize(shared: Arc<Shared>, uid: String, change: Change) -> Result<(), String> {
    let runtime = &shared.seams.runtime;
    let told = |error: runtime::Error| base::chain(&error).to_string();
    if let Some(pod) = &change.pod {
        runtime.update_sandbox(&uid, pod.between.clone()).await.map_err(told)?;
    }
    for (id, resources) in change.containers {
        runtime.update_container(&id, resources).await.map_err(told)?;
    }
    if let Some(pod) = change.pod.filter(|pod| pod.between != pod.wanted) {
        runtime.update_sandbox(&uid, pod.wanted).await.map_err(told)?;
    }
    Ok(())
}
