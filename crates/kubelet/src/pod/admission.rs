//! Whether this node takes a pod that is bound to it: a pod may be bound by hand, or faster than the scheduler learns.
//!
//! Pure. A refusal ends the pod as `Failed`, with upstream's reason and message.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::memory::Reason;
use super::spec::{self, Role};
use crate::container::security;
use crate::quantity;

/// The refusal, if there is one. `others` are the node's pods that have not ended, without this one.
pub fn refuse<'a>(
    pod: &Pod,
    others: impl Iterator<Item = &'a Pod>,
    allocatable: &BTreeMap<String, Quantity>,
    max_pods: u32,
    allowed_sysctls: &[String],
) -> Option<Reason> {
    if let Err(message) = security::sysctls(pod, allowed_sysctls) {
        return Some(Reason::new("SysctlForbidden", message));
    }
    let short = |name: &str, requested: i64, used: i64, capacity: i64| {
        let message = format!(
            "Pod was rejected: Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        );
        Some(Reason::new(format!("OutOf{name}"), message))
    };
    let others: Vec<&Pod> = others.collect();
    let count = u32::try_from(others.len()).unwrap_or(u32::MAX);
    if count >= max_pods {
        return short("pods", 1, i64::from(count), i64::from(max_pods));
    }
    let taken: Vec<HostPort> = others.iter().flat_map(|other| host_ports(other)).collect();
    if host_ports(pod).iter().any(|wanted| taken.iter().any(|other| wanted.conflicts(other))) {
        let message = "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Some(Reason::new("NodePorts", message));
    }
    let lack = demands(pod, &others, allocatable).into_iter().find(Demand::lacks)?;
    short(lack.name, lack.wanted, lack.used, lack.capacity)
}

/// A port of the node that a pod takes.
struct HostPort {
    /// Empty for every address.
    ip: String,
    protocol: String,
    port: i32,
}

impl HostPort {
    fn conflicts(&self, other: &HostPort) -> bool {
        let everywhere = self.ip.is_empty() || other.ip.is_empty();
        (&self.protocol, self.port) == (&other.protocol, other.port) && (everywhere || self.ip == other.ip)
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let mut found = Vec::new();
    for entry in spec::containers(pod).iter().filter(|entry| matches!(entry.role, Role::Main | Role::Sidecar))
    {
        for port in entry.container.ports.iter().flatten() {
            let Some(number) = port.host_port.filter(|number| *number > 0) else { continue };
            let ip = port.host_ip.clone().filter(|ip| ip != "0.0.0.0" && ip != "::").unwrap_or_default();
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            found.push(HostPort { ip, protocol, port: number });
        }
    }
    found
}

/// Why a running pod does not get the resources that its spec asks for: `Deferred` until others end, or `Infeasible` on
/// this node whoever ends.
pub fn refuse_resize<'a>(
    pod: &Pod,
    others: impl Iterator<Item = &'a Pod>,
    allocatable: &BTreeMap<String, Quantity>,
) -> Option<Reason> {
    let others: Vec<&Pod> = others.collect();
    let demands = demands(pod, &others, allocatable);
    if let Some(Demand { name, wanted, capacity, .. }) = demands.iter().find(|one| one.wanted > one.capacity)
    {
        let message =
            format!("Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {capacity}");
        return Some(Reason::new("Infeasible", message));
    }
    let Demand { name, wanted, used, capacity } = demands.iter().find(|demand| demand.lacks())?;
    let message = format!(
        "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
    );
    Some(Reason::new("Deferred", message))
}

/// What a pod asks of one resource: thousandths of a core, or bytes.
struct Demand {
    name: &'static str,
    wanted: i64,
    used: i64,
    capacity: i64,
}

impl Demand {
    fn lacks(&self) -> bool {
        self.wanted > 0 && self.used.saturating_add(self.wanted) > self.capacity
    }
}

fn demands(pod: &Pod, others: &[&Pod], allocatable: &BTreeMap<String, Quantity>) -> Vec<Demand> {
    let demand = |name: &'static str, unit: i64| {
        let limit = allocatable.get(name).and_then(|quantity| quantity::milli(&quantity.0));
        let used = others.iter().map(|other| match super::resize::is_held(other) {
            // What is asked for and not given takes no room.
            true => requested(super::resize::held(other).as_ref().unwrap_or(other), name) / unit,
            false => requested(other, name) / unit,
        });
        Demand {
            name,
            wanted: requested(pod, name) / unit,
            used: used.fold(0, i64::saturating_add),
            capacity: limit.map_or(i64::MAX, |limit| limit / unit),
        }
    };
    vec![demand("cpu", 1), demand("memory", 1000)]
}

/// What a pod asks for, in thousandths: the sum of what runs together, or the most that an init container needs beside the
/// sidecars before it (KEP-753).
fn requested(pod: &Pod, name: &str) -> i64 {
    let pod_spec = spec::spec(pod);
    let own = pod_spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    if own.is_some_and(|list| list.contains_key(name)) {
        return quantity::milli_of(own, name);
    }
    let (mut together, mut sidecars, mut peak) = (0i64, 0i64, 0i64);
    for entry in spec::containers(pod) {
        let list = entry.container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let amount = quantity::milli_of(list, name);
        match entry.role {
            Role::Main => together += amount,
            Role::Sidecar => {
                sidecars += amount;
                peak = peak.max(sidecars);
            }
            Role::Init => peak = peak.max(sidecars + amount),
            Role::Ephemeral => {}
        }
    }
    let overhead = quantity::milli_of(pod_spec.overhead.as_ref(), name);
    (together + sidecars).max(peak) + overhead
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_node_refuses() {
        let pod = |cpu: &str, memory: &str| -> Pod {
            serde_json::from_value(serde_json::json!({"spec": {"containers": [
                {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}}))
            .unwrap()
        };
        let node = BTreeMap::from([
            ("cpu".to_owned(), Quantity("2".into())),
            ("memory".to_owned(), Quantity("1Gi".into())),
        ]);
        let others = [pod("1500m", "512Mi")];
        let check = |wanted: Pod, max: u32, expected: Option<&str>| {
            let told = refuse(&wanted, others.iter(), &node, max, &[]).map(|reason| reason.reason);
            assert_eq!(told.as_deref(), expected);
        };
        check(pod("500m", "512Mi"), 10, None);
        check(pod("501m", "1Mi"), 10, Some("OutOfcpu"));
        check(pod("1m", "513Mi"), 10, Some("OutOfmemory"));
        check(pod("0", "0"), 1, Some("OutOfpods"));
        let message = refuse(&pod("1", "0"), others.iter(), &node, 9, &[]).unwrap().message;
        assert_eq!(
            message,
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: 1500, capacity: 2000"
        );
        let sysctl: Pod = serde_json::from_value(serde_json::json!({"spec": {"containers": [],
            "securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}}))
        .unwrap();
        check(sysctl, 10, Some("SysctlForbidden"));
        let listens = |ip: &str, port: i32, protocol: &str| -> Pod {
            serde_json::from_value(serde_json::json!({"spec": {"containers": [{"name": "c", "ports": [
                {"hostPort": port, "containerPort": 80, "hostIP": ip, "protocol": protocol}]}]}}))
            .unwrap()
        };
        for (ip, port, protocol, expected) in [
            ("", 80, "TCP", Some("NodePorts")),
            ("10.0.0.1", 80, "TCP", Some("NodePorts")),
            ("10.0.0.2", 80, "TCP", None),
            ("", 80, "UDP", None),
            ("", 81, "TCP", None),
        ] {
            let there = [listens("10.0.0.1", 80, "TCP")];
            let told = refuse(&listens(ip, port, protocol), there.iter(), &node, 10, &[]);
            assert_eq!(told.map(|reason| reason.reason).as_deref(), expected, "{ip}:{port}/{protocol}");
        }
    }
}
