//! What a pod is to a Service: its addresses, whether it is ready, serving, terminating, and its port numbers. Pure.

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::pods;

/// A port as its clients reach it on a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    pub name: String,
    pub protocol: String,
    pub number: i32,
    pub app_protocol: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Backend {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub node: Option<String>,
    pub hostname: Option<String>,
    /// Takes traffic: it serves and is not going, or the Service publishes it anyway.
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub addresses: Vec<String>,
    pub ports: Vec<Port>,
}

impl Backend {
    /// `None`: the pod is finished, or has no address yet.
    pub fn of(service: &Service, pod: &Pod) -> Option<Backend> {
        let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
        let over = match spec.restart_policy.as_deref() {
            Some("Never") => pods::finished(pod),
            Some("OnFailure") => pods::phase(pod) == "Succeeded",
            _ => false,
        };
        let mut addresses: Vec<String> = status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
        if addresses.is_empty() {
            addresses.extend(status.pod_ip.clone().filter(|ip| !ip.is_empty()));
        }
        if over || addresses.is_empty() {
            return None;
        }
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let publish = service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true);
        let (serving, terminating) = (pods::ready(pod), pods::terminating(pod));
        let hostname = spec.hostname.clone().filter(|hostname| !hostname.is_empty());
        let service_ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
        Some(Backend {
            name: pod.metadata.name.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            node: spec.node_name.clone().filter(|node| !node.is_empty()),
            hostname: hostname.filter(|_| spec.subdomain.as_deref() == Some(name)),
            ready: publish || (serving && !terminating),
            serving,
            terminating,
            addresses,
            ports: service_ports.filter_map(|port| resolve(port, pod)).collect(),
        })
    }

    /// The address of a family: `IPv4` or `IPv6`.
    pub fn address(&self, family: &str) -> Option<&str> {
        let six = family == "IPv6";
        self.addresses.iter().find(|address| address.contains(':') == six).map(String::as_str)
    }
}

/// A Service's port on one pod; `None` if it is named and the pod has none of that name.
fn resolve(port: &ServicePort, pod: &Pod) -> Option<Port> {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
    let number = match port.target_port.as_ref() {
        None | Some(IntOrString::Int(0)) => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec.init_containers.iter().flatten();
            let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
            let ports = spec.containers.iter().chain(sidecars).flat_map(|one| one.ports.iter().flatten());
            let mut named = ports.filter(|one| {
                one.name.as_ref() == Some(name) && one.protocol.as_deref().unwrap_or("TCP") == protocol
            });
            named.next()?.container_port
        }
    };
    Some(Port {
        name: port.name.clone().unwrap_or_default(),
        protocol,
        number,
        app_protocol: port.app_protocol.clone(),
    })
}
