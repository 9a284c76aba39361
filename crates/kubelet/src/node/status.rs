//! The Node object of this machine: its labels, its capacity, its conditions. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec,
    NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::machine::Machine;
use crate::config::Config;
use crate::images::Image;
use crate::quantity;

/// What changes while the node runs.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    pub memory_available: u64,
    pub disk_size: u64,
    pub disk_free: u64,
    pub images: Vec<Image>,
    pub runtime_version: String,
}

pub fn capacity(machine: &Machine, config: &Config, disk_size: u64) -> BTreeMap<String, Quantity> {
    BTreeMap::from([
        ("cpu".to_owned(), Quantity(machine.cpus.to_string())),
        ("memory".to_owned(), Quantity(format!("{}Ki", machine.memory / 1024))),
        ("pods".to_owned(), Quantity(config.settings.max_pods.to_string())),
        ("ephemeral-storage".to_owned(), Quantity(format!("{}Ki", disk_size / 1024))),
        ("hugepages-1Gi".to_owned(), Quantity("0".into())),
        ("hugepages-2Mi".to_owned(), Quantity("0".into())),
    ])
}

/// Capacity less what is reserved and what eviction keeps free.
pub fn allocatable(machine: &Machine, config: &Config, disk_size: u64) -> BTreeMap<String, Quantity> {
    let mut list = capacity(machine, config, disk_size);
    let reserved =
        |name: &str| config.settings.reserved.get(name).and_then(|text| quantity::milli(text)).unwrap_or(0);
    let cpu = i64::try_from(machine.cpus).unwrap_or(1) * 1000 - reserved("cpu");
    let cpu = if cpu % 1000 == 0 { (cpu / 1000).to_string() } else { format!("{cpu}m") };
    list.insert("cpu".into(), Quantity(cpu));
    let kept = u64::try_from(reserved("memory") / 1000).unwrap_or(0) + config.settings.eviction_memory;
    list.insert("memory".into(), Quantity(format!("{}Ki", machine.memory.saturating_sub(kept) / 1024)));
    let percent = 100 - u64::from(config.settings.eviction_disk.min(100));
    list.insert("ephemeral-storage".into(), Quantity((disk_size / 100 * percent).to_string()));
    list
}

/// Labels that the kubelet itself puts on its node.
pub fn labels(machine: &Machine, config: &Config) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), config.node_name.clone()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), machine.arch.to_owned()),
        ("beta.kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("beta.kubernetes.io/arch".to_owned(), machine.arch.to_owned()),
    ]);
    labels.extend(config.labels.clone());
    labels
}

/// The object to register with.
pub fn node(machine: &Machine, config: &Config, status: NodeStatus) -> Node {
    Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(machine, config)),
            annotations: Some(BTreeMap::from([(
                "volumes.kubernetes.io/controller-managed-attach-detach".to_owned(),
                "true".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            pod_cidr: config.pod_cidrs.first().cloned(),
            pod_cidrs: (!config.pod_cidrs.is_empty()).then(|| config.pod_cidrs.clone()),
            taints: (!config.taints.is_empty()).then(|| config.taints.clone()),
            ..NodeSpec::default()
        }),
        status: Some(status),
    }
}

/// The node's status now; `old` keeps the times of conditions that did not change, and what others wrote.
pub fn status(
    machine: &Machine,
    config: &Config,
    reading: &Reading,
    old: &NodeStatus,
    now: Timestamp,
) -> NodeStatus {
    let now = Time(crate::pod::whole(now));
    let address = |type_: &str, address: String| NodeAddress { type_: type_.into(), address };
    let internal = config.node_ips.iter().map(|ip| address("InternalIP", ip.to_string()));
    let external = config.external_ips.iter().map(|ip| address("ExternalIP", ip.to_string()));
    let mut addresses: Vec<NodeAddress> = internal.chain(external).collect();
    addresses.push(address("Hostname", config.node_name.clone()));
    let mut images: Vec<ContainerImage> = reading
        .images
        .iter()
        .filter(|image| !image.names.is_empty())
        .map(|image| {
            let mut names = image.names.clone();
            // Upstream: by digest first, five names at the most.
            names.sort_by_key(|name| !name.contains('@'));
            names.truncate(5);
            ContainerImage { names: Some(names), size_bytes: i64::try_from(image.size).ok() }
        })
        .collect();
    images.sort_by(|one, other| {
        other.size_bytes.cmp(&one.size_bytes).then_with(|| one.names.cmp(&other.names))
    });
    images.truncate(50);
    let mut conditions: Vec<NodeCondition> = old
        .conditions
        .iter()
        .flatten()
        .filter(|condition| {
            !["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].contains(&condition.type_.as_str())
        })
        .cloned()
        .collect();
    let memory = reading.memory_available < config.settings.eviction_memory;
    let disk = reading.disk_free < reading.disk_size / 100 * u64::from(config.settings.eviction_disk);
    for (type_, bad, reason, message) in [
        (
            "MemoryPressure",
            memory,
            ["KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"],
            ["kubelet has sufficient memory available", "kubelet has insufficient memory available"],
        ),
        (
            "DiskPressure",
            disk,
            ["KubeletHasNoDiskPressure", "KubeletHasDiskPressure"],
            ["kubelet has no disk pressure", "kubelet has disk pressure"],
        ),
        (
            "PIDPressure",
            false,
            ["KubeletHasSufficientPID", "KubeletHasInsufficientPID"],
            ["kubelet has sufficient PID available", "kubelet has insufficient PID available"],
        ),
        (
            "Ready",
            true,
            ["KubeletReady", "KubeletReady"],
            ["kubelet is posting ready status", "kubelet is posting ready status"],
        ),
    ] {
        let status = if bad { "True" } else { "False" };
        let before = old
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == type_ && condition.status == status);
        conditions.push(NodeCondition {
            type_: type_.into(),
            status: status.into(),
            reason: Some(reason[usize::from(bad)].into()),
            message: Some(message[usize::from(bad)].into()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: before
                .and_then(|before| before.last_transition_time.clone())
                .or_else(|| Some(now.clone())),
        });
    }
    NodeStatus {
        addresses: Some(addresses),
        capacity: Some(capacity(machine, config, reading.disk_size)),
        allocatable: Some(allocatable(machine, config, reading.disk_size)),
        conditions: Some(conditions),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(config.port) }),
        }),
        images: (!images.is_empty()).then_some(images),
        node_info: Some(NodeSystemInfo {
            architecture: machine.arch.into(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: reading.runtime_version.clone(),
            kernel_version: machine.kernel.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: config.version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".into(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            swap: None,
        }),
        ..old.clone()
    }
}

/// Whether two statuses differ in more than the time of their heartbeat.
pub fn differs(one: &NodeStatus, other: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    still(one) != still(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_node_has_nothing_to_write() {
        let machine = Machine { cpus: 2, memory: 4 << 30, arch: "amd64", ..Machine::default() };
        let mut config =
            Config::new("n1", vec!["10.0.0.1".parse().unwrap()], base::paths::Paths::new("/d", "/r"));
        config.settings.set("kube-reserved", "cpu=100m,memory=100Mi").unwrap();
        config.external_ips = vec!["203.0.113.7".parse().unwrap()];
        let reading = Reading {
            memory_available: 1 << 30,
            disk_size: 100 << 30,
            disk_free: 50 << 30,
            ..Reading::default()
        };
        let first = status(&machine, &config, &reading, &NodeStatus::default(), Timestamp::UNIX_EPOCH);
        let later = status(&machine, &config, &reading, &first, Timestamp::from_second(60).unwrap());
        assert!(!differs(&first, &later));
        let addresses: Vec<_> = first.addresses.iter().flatten().map(|one| one.type_.as_str()).collect();
        assert_eq!(addresses, ["InternalIP", "ExternalIP", "Hostname"]);
        let allocatable = first.allocatable.as_ref().unwrap();
        assert_eq!((allocatable["cpu"].0.as_str(), allocatable["memory"].0.as_str()), ("1900m", "3989504Ki"));
        let full = Reading { disk_free: 4 << 30, ..reading };
        let pressed = status(&machine, &config, &full, &later, Timestamp::from_second(90).unwrap());
        assert!(differs(&later, &pressed));
        let told: Vec<_> =
            pressed.conditions.unwrap().iter().map(|one| format!("{}={}", one.type_, one.status)).collect();
        assert_eq!(told, ["MemoryPressure=False", "DiskPressure=True", "PIDPressure=False", "Ready=True"]);
    }
}
