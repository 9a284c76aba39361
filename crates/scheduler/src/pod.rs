//! A pod as the scheduler sees it: what was read of it once, when it came.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Key, Object};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    NodeSelector, Pod as Full, PodAffinityTerm, PodCondition, PreferredSchedulingTerm, Toleration,
    TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::resources::{self, Resources};

/// A host port that a pod takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

/// A required or preferred term of inter-pod affinity.
#[derive(Clone, Debug)]
pub struct Term {
    pub topology: String,
    pub selector: Option<LabelSelector>,
    /// Namespaces by name; with neither these nor a selector the pod's own.
    pub namespaces: Vec<String>,
    pub namespace_selector: Option<LabelSelector>,
    /// Of a preferred term.
    pub weight: i64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Pod {
    pub key: Key,
    pub uid: String,
    pub labels: BTreeMap<String, String>,
    pub node: String,
    pub nominated: String,
    pub scheduler: String,
    pub priority: i32,
    pub preempts: bool,
    pub created: Option<Timestamp>,
    pub started: Option<Timestamp>,
    pub generation: i64,
    pub deleting: bool,
    pub finished: bool,
    pub gated: bool,
    /// Uid of the controlling owner.
    pub owner: String,
    pub requests: Resources,
    /// With the least that scoring assumes.
    pub assumed: Resources,
    pub ports: Vec<Port>,
    pub images: Vec<String>,
    pub tolerations: Vec<Toleration>,
    pub node_selector: BTreeMap<String, String>,
    pub required: Option<NodeSelector>,
    pub preferred: Vec<PreferredSchedulingTerm>,
    pub affinity: Vec<Term>,
    pub anti_affinity: Vec<Term>,
    pub preferred_affinity: Vec<Term>,
    pub preferred_anti_affinity: Vec<Term>,
    pub spread: Vec<TopologySpreadConstraint>,
    pub condition: Option<PodCondition>,
}

impl Pod {
    pub fn read(object: &Arc<Object>) -> Option<Pod> {
        Some(Pod::of(object.key.clone(), client::decode::<Full>(object)?))
    }

    pub fn of(key: Key, full: Full) -> Pod {
        let (metadata, spec, status) =
            (full.metadata, full.spec.unwrap_or_default(), full.status.unwrap_or_default());
        let (requests, assumed) = resources::requests(&spec);
        let affinity = spec.affinity.unwrap_or_default();
        let node_affinity = affinity.node_affinity.unwrap_or_default();
        let pod_affinity = affinity.pod_affinity.unwrap_or_default();
        let anti = affinity.pod_anti_affinity.unwrap_or_default();
        let all = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let ports = all().filter(|container| {
            // An init container's ports count only while it runs on beside the others.
            container.restart_policy.as_deref() == Some("Always")
                || spec.containers.iter().any(|other| other.name == container.name)
        });
        let host_network = spec.host_network == Some(true);
        let ports = ports.flat_map(|container| container.ports.iter().flatten()).filter_map(|port| {
            let number = port.host_port.or(host_network.then_some(port.container_port))?;
            (number > 0).then(|| Port {
                ip: port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".into()),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".into()),
                port: number,
            })
        });
        let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        Pod {
            key,
            uid: metadata.uid.unwrap_or_default(),
            owner: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            scheduler: spec.scheduler_name.unwrap_or_else(|| "default-scheduler".into()),
            priority: spec.priority.unwrap_or(0),
            preempts: spec.preemption_policy.as_deref() != Some("Never"),
            created: metadata.creation_timestamp.map(|time| time.0),
            started: status.start_time.map(|time| time.0),
            generation: metadata.generation.unwrap_or(0),
            deleting: metadata.deletion_timestamp.is_some(),
            finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            gated: spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty()),
            requests,
            assumed,
            ports: ports.collect(),
            images: all().filter_map(|container| container.image.clone()).collect(),
            node: spec.node_name.unwrap_or_default(),
            nominated: status.nominated_node_name.unwrap_or_default(),
            tolerations: spec.tolerations.unwrap_or_default(),
            node_selector: spec.node_selector.unwrap_or_default(),
            required: node_affinity.required_during_scheduling_ignored_during_execution,
            preferred: node_affinity.preferred_during_scheduling_ignored_during_execution.unwrap_or_default(),
            affinity: terms(pod_affinity.required_during_scheduling_ignored_during_execution),
            anti_affinity: terms(anti.required_during_scheduling_ignored_during_execution),
            preferred_affinity: weighted(pod_affinity.preferred_during_scheduling_ignored_during_execution),
            preferred_anti_affinity: weighted(anti.preferred_during_scheduling_ignored_during_execution),
            spread: spec.topology_spread_constraints.unwrap_or_default(),
            condition: status
                .conditions
                .into_iter()
                .flatten()
                .find(|condition| condition.type_ == "PodScheduled"),
        }
    }

    pub fn namespace(&self) -> &str {
        self.key.namespace()
    }

    /// It waits for a node, and for us to choose it.
    pub fn waits(&self, scheduler: &str) -> bool {
        self.node.is_empty() && !self.finished && !self.deleting && self.scheduler == scheduler
    }
}

fn term(term: PodAffinityTerm, weight: i32) -> Term {
    Term {
        topology: term.topology_key,
        selector: term.label_selector,
        namespaces: term.namespaces.unwrap_or_default(),
        namespace_selector: term.namespace_selector,
        weight: weight.into(),
    }
}

fn terms(list: Option<Vec<PodAffinityTerm>>) -> Vec<Term> {
    list.into_iter().flatten().map(|one| term(one, 0)).collect()
}

fn weighted(list: Option<Vec<k8s_openapi::api::core::v1::WeightedPodAffinityTerm>>) -> Vec<Term> {
    list.into_iter().flatten().map(|one| term(one.pod_affinity_term, one.weight)).collect()
}
