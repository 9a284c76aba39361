//! Making a pod's folder, volumes, link and sandbox.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use client::recorder::Severity::{Normal, Warning};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::{HostNamespaces, SandboxSpec};

use super::{Shared, blocking};
use crate::container::{self, files, resources, security};
use crate::links;
use crate::network::{HostPort, PodNetwork};
use crate::pod::spec;
use crate::volumes::{self, Places};

/// Sets the volumes up, off the async threads; tells when they want it again.
pub async fn volumes(
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    ips: Vec<IpAddr>,
) -> Result<Option<Timestamp>, String> {
    let handle = tokio::runtime::Handle::current();
    let run = move || {
        let places = Places::new(&shared.config.paths, spec::uid(&pod));
        let made = std::fs::create_dir_all(places.logs()).and_then(|()| {
            // Secrets lie below; only root looks in.
            std::fs::set_permissions(places.pod(), std::fs::Permissions::from_mode(0o750))
        });
        if let Err(error) = made {
            let message = format!("error making pod data directories: {error}");
            shared.tell(&pod, None, Warning, "Failed", &message);
            return Err(message);
        }
        links::make(&shared.config.settings.pod_logs, &pod, &places.logs());
        let ips = super::pod_ips(&shared, &pod, &ips);
        let site = volumes::Site {
            sources: &*shared.seams.sources,
            tokens: &shared.tokens,
            images: &*shared.seams.images,
            places: &places,
            host_ips: &shared.config.node_ips,
            pod_ips: &ips,
            allocatable: &shared.allocatable,
            now: shared.clock.now(),
        };
        let done = handle.block_on(volumes::set_up(&pod, &site));
        if let Err(message) = &done {
            shared.tell(&pod, None, Warning, "FailedMount", message);
        }
        done.map(|done| done.again)
    };
    blocking(run).await.unwrap_or_else(|| Err("setting the volumes up panicked".into()))
}

/// Attaches the network and starts the sandbox; gives the pod's addresses.
pub async fn run(shared: Arc<Shared>, pod: Arc<Pod>, attempt: u32) -> Result<Vec<IpAddr>, String> {
    let done = try_run(&shared, &pod, attempt).await;
    if let Err(message) = &done {
        shared.tell(
            &pod,
            None,
            Warning,
            "FailedCreatePodSandBox",
            format!("Failed to create pod sandbox: {message}"),
        );
    }
    done
}

async fn try_run(shared: &Shared, pod: &Pod, attempt: u32) -> Result<Vec<IpAddr>, String> {
    let told = |error: &(dyn std::error::Error + 'static)| base::chain(error).to_string();
    let uid = spec::uid(pod);
    if attempt > 0 {
        shared.tell(
            pod,
            None,
            Normal,
            "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.",
        );
        shared.seams.runtime.remove_sandbox(uid).await.map_err(|error| told(&error))?;
    }
    let pod_spec = spec::spec(pod);
    let sysctls = security::sysctls(pod, &shared.config.settings.allowed_unsafe_sysctls)?;
    let hostname = match spec::host_network(pod) {
        true => shared.config.node_name.clone(),
        false => files::kernel_hostname(pod, &shared.config.cluster_domain)?,
    };
    let attachment = match spec::host_network(pod) {
        true => None,
        false => Some(shared.seams.network.attach(&network(pod)).await.map_err(|error| told(&error))?),
    };
    let places = Places::new(&shared.config.paths, uid);
    let spec = SandboxSpec {
        uid: uid.to_owned(),
        namespace: spec::namespace(pod).to_owned(),
        name: spec::name(pod).to_owned(),
        attempt,
        hostname,
        netns: attachment.as_ref().map(|attachment| attachment.netns.clone()),
        host: HostNamespaces {
            network: spec::host_network(pod),
            pid: pod_spec.host_pid == Some(true),
            ipc: pod_spec.host_ipc == Some(true),
        },
        share_pid: pod_spec.share_process_namespace == Some(true),
        sysctls,
        cgroup_parent: resources::cgroup_parent(pod),
        resources: resources::pod(pod, shared.config.settings.pod_pids_limit),
        log_dir: places.logs(),
        labels: container::labels(pod, "POD"),
        annotations: Default::default(),
    };
    shared.seams.runtime.run_sandbox(spec).await.map_err(|error| told(&error))?;
    Ok(attachment.map(|attachment| attachment.ips).unwrap_or_default())
}

/// What the network is to know of a pod.
pub fn network(pod: &Pod) -> PodNetwork {
    let mut host_ports = Vec::new();
    for entry in spec::containers(pod) {
        for port in entry.container.ports.iter().flatten() {
            let (Some(host_port), Ok(container_port)) = (
                port.host_port.and_then(|port| u16::try_from(port).ok()),
                u16::try_from(port.container_port),
            ) else {
                continue;
            };
            if host_port == 0 {
                continue;
            }
            host_ports.push(HostPort {
                host_ip: port
                    .host_ip
                    .as_deref()
                    .and_then(|ip| ip.parse::<IpAddr>().ok())
                    .filter(|ip| !ip.is_unspecified()),
                host_port,
                container_port,
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
            });
        }
    }
    PodNetwork {
        uid: spec::uid(pod).to_owned(),
        namespace: spec::namespace(pod).to_owned(),
        name: spec::name(pod).to_owned(),
        host_ports,
    }
}
