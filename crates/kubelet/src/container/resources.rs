//! Requests and limits as cgroup values, and where in the tree of quality-of-service classes a pod lives. Pure.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use runtime::Resources;

use crate::pod::spec::{self, Role};
use crate::quantity::{milli_of, value_of};

const PERIOD: i64 = 100_000;

/// A pod's cgroup below skiff's own: guaranteed pods at the top, others under their class.
pub fn cgroup_parent(pod: &Pod) -> String {
    let uid = spec::uid(pod);
    match spec::qos(pod) {
        "Guaranteed" => format!("pod{uid}"),
        "Burstable" => format!("burstable/pod{uid}"),
        _ => format!("besteffort/pod{uid}"),
    }
}

/// CPU shares as of cgroup v1.
pub fn shares(milli_cpu: i64) -> u64 {
    u64::try_from(milli_cpu * 1024 / 1000).unwrap_or(0).clamp(2, 262_144)
}

fn quota(milli_cpu: i64) -> Option<i64> {
    (milli_cpu > 0).then(|| (milli_cpu * PERIOD / 1000).max(1000))
}

fn of(requirements: Option<&ResourceRequirements>) -> Resources {
    let limits = requirements.and_then(|resources| resources.limits.as_ref());
    let requests = requirements.and_then(|resources| resources.requests.as_ref());
    let limit = milli_of(limits, "cpu");
    let asked = requests.is_some_and(|list| list.contains_key("cpu"));
    let request = if asked { milli_of(requests, "cpu") } else { limit };
    let quota = quota(limit);
    Resources {
        cpu_shares: shares(request),
        cpu_quota: quota,
        cpu_period: quota.map(|_| PERIOD.unsigned_abs()),
        memory_limit: value_of(limits, "memory").filter(|bytes| *bytes > 0),
        ..Resources::default()
    }
}

/// A container's limits. `node_memory` in bytes scales how readily the kernel kills it.
pub fn container(pod: &Pod, container: &Container, node_memory: i64) -> Resources {
    let mut resources = of(container.resources.as_ref());
    resources.oom_score_adj = Some(oom_score(pod, container, node_memory));
    resources
}

/// Upstream's `GetContainerOOMScoreAdjust`.
fn oom_score(pod: &Pod, container: &Container, node_memory: i64) -> i32 {
    if spec::spec(pod).priority.is_some_and(|priority| priority >= 2_000_000_000) {
        return -997;
    }
    match spec::qos(pod) {
        "Guaranteed" => -997,
        "BestEffort" => 1000,
        _ => {
            let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
            let request = value_of(requests, "memory").unwrap_or(0);
            let score = 1000 - (i128::from(request) * 1000 / i128::from(node_memory.max(1))).min(1000);
            i32::try_from(score).unwrap_or(3).clamp(3, 999)
        }
    }
}

/// Limits of the whole pod: limited only if each container is (or `spec.resources` says so).
pub fn pod(pod: &Pod, pids_limit: i64) -> Resources {
    let pod_spec = spec::spec(pod);
    let own = of(pod_spec.resources.as_ref());
    let (mut request, mut cpu, mut memory) = (0i64, Some(0i64), Some(0i64));
    let (mut peak_request, mut peak_cpu, mut peak_memory) = (0i64, 0i64, 0i64);
    for entry in spec::containers(pod) {
        let list = entry.container.resources.as_ref();
        let limits = list.and_then(|resources| resources.limits.as_ref());
        let requests = list.and_then(|resources| resources.requests.as_ref());
        let limit = milli_of(limits, "cpu");
        let asked = if requests.is_some_and(|list| list.contains_key("cpu")) {
            milli_of(requests, "cpu")
        } else {
            limit
        };
        let bytes = value_of(limits, "memory").unwrap_or(0);
        match entry.role {
            Role::Main | Role::Sidecar => {
                request += asked;
                cpu = cpu.filter(|_| limit > 0).map(|sum| sum + limit);
                memory = memory.filter(|_| bytes > 0).map(|sum| sum.saturating_add(bytes));
            }
            Role::Init => {
                peak_request = peak_request.max(asked);
                peak_cpu = peak_cpu.max(limit);
                peak_memory = peak_memory.max(bytes);
                cpu = cpu.filter(|_| limit > 0);
                memory = memory.filter(|_| bytes > 0);
            }
            Role::Ephemeral => {}
        }
    }
    let has = |name: &str| {
        pod_spec
            .resources
            .as_ref()
            .and_then(|resources| resources.limits.as_ref())
            .is_some_and(|list| list.contains_key(name))
    };
    let cpu_quota = if has("cpu") { own.cpu_quota } else { cpu.and_then(|sum| quota(sum.max(peak_cpu))) };
    let memory = if has("memory") {
        own.memory_limit
    } else {
        memory.map(|sum| sum.max(peak_memory)).filter(|sum| *sum > 0)
    };
    let requested = pod_spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    Resources {
        cpu_shares: match requested {
            Some(list) if list.contains_key("cpu") => own.cpu_shares,
            _ => shares(request.max(peak_request)),
        },
        cpu_quota,
        cpu_period: cpu_quota.map(|_| PERIOD.unsigned_abs()),
        memory_limit: memory,
        pids_limit: (pids_limit > 0).then_some(pids_limit),
        oom_score_adj: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_values() {
        let check = |resources: serde_json::Value, parent: &str, shares: u64, quota, memory, score| {
            let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {"uid": "u"},
                "spec": {"containers": [{"name": "c", "resources": resources}]}}))
            .unwrap();
            let main = &pod.spec.as_ref().unwrap().containers[0];
            let own = container(&pod, main, 1 << 30);
            assert_eq!(cgroup_parent(&pod), parent);
            assert_eq!(
                (own.cpu_shares, own.cpu_quota, own.memory_limit, own.oom_score_adj),
                (shares, quota, memory, Some(score))
            );
            let whole = super::pod(&pod, -1);
            assert_eq!((whole.cpu_shares, whole.cpu_quota, whole.memory_limit), (shares, quota, memory));
        };
        check(serde_json::json!({}), "besteffort/podu", 2, None, None, 1000);
        check(
            serde_json::json!({"limits": {"cpu": "500m", "memory": "64Mi"}}),
            "podu",
            512,
            Some(50_000),
            Some(64 << 20),
            -997,
        );
        check(
            serde_json::json!({"requests": {"cpu": "1", "memory": "512Mi"}}),
            "burstable/podu",
            1024,
            None,
            None,
            500,
        );
    }
}
