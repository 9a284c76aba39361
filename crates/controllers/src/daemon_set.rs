//! Keeps one pod of a DaemonSet on every node that it fits, and rolls new templates out node by node.
//!
//! Pods carry an affinity to their node and are bound by the scheduler. Planning is pure ([`plan`]).

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Key;
use async_trait::async_trait;
use client::reconcile::Error;
use client::recorder::Regarding;
use client::{Action, Cache, Meta, Reconciler, Watch};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus, DaemonSetUpdateStrategy};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::owned::{self, Parent};
use crate::pod_control::PodControl;
use crate::{Context, Controller, history};
use plan::Plan;

pub const CONTROLLER: Controller = Controller {
    name: "daemonset",
    account: "daemon-set-controller",
    workers: 2,
    make: |context| {
        Some(Arc::new(DaemonSets {
            sets: context.cache::<DaemonSet>()?,
            pods: context.cache::<Pod>()?,
            nodes: context.cache::<Node>()?,
            revisions: context.cache::<ControllerRevision>()?,
            context,
        }))
    },
};

/// A DaemonSet as planning reads it; the template is kept as it is written.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct View {
    pub metadata: Meta,
    pub spec: Spec,
    #[serde(default)]
    pub status: DaemonSetStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(default)]
    pub selector: LabelSelector,
    pub template: Value,
    #[serde(default)]
    pub update_strategy: DaemonSetUpdateStrategy,
    #[serde(default)]
    pub min_ready_seconds: i32,
    pub revision_history_limit: Option<i32>,
}

struct DaemonSets {
    sets: Arc<Cache>,
    pods: Arc<Cache>,
    nodes: Arc<Cache>,
    revisions: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for DaemonSets {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        let sets = self.sets.clone();
        // Any node may concern any set; what matters of a node is only its labels and taints.
        let of_node = move |change: &api::object::Change, add: &mut dyn FnMut(Key)| {
            if plan::node_changed(change) {
                sets.snapshot().iter().for_each(|set| add(set.key.clone()));
            }
        };
        vec![
            Watch::own(&self.sets),
            Watch::controlled(&self.pods, &self.sets),
            Watch::controlled(&self.revisions, &self.sets),
            owned::orphan_watch(&self.pods, &self.sets),
            Watch::by(&self.nodes, of_node),
        ]
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.sets.get_key(key) else { return Ok(Action::Done) };
        let Some(set) = client::decode::<View>(&object) else { return Ok(Action::Done) };
        let parent = Parent {
            api_version: "apps/v1",
            kind: "DaemonSet",
            key,
            uid: &set.metadata.uid,
            deleting: object.deleting,
        };
        let selector = &set.spec.selector;
        let writer = &self.context.writer;
        let claimed = owned::claim(writer, &self.pods, &parent, selector).await?;
        if object.deleting {
            return Ok(Action::Done);
        }
        let revisions = history::sync(
            writer,
            &self.revisions,
            &parent,
            selector,
            &set.spec.template,
            &set.metadata.annotations,
        )
        .await?;
        let nodes: Vec<Node> = self.nodes.snapshot().iter().filter_map(client::decode).collect();
        let pods: Vec<Pod> = claimed.iter().filter_map(client::decode).collect();
        let now = self.context.clock.now();
        let planned = plan::plan(&set, &nodes, &pods, &revisions.current, now);
        let failure = self.carry_out(&set, &parent, &planned, &revisions.current).await.err();
        let after = owned::children(&self.pods, &set.metadata.uid, selector);
        let pods: Vec<Pod> = after.iter().filter_map(client::decode).collect();
        let status = plan::status(&set, &nodes, &pods, &revisions.current, now);
        writer.status(&object, &set.status, &status).await?;
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        let live: Vec<String> = pods.iter().map(plan::hash).map(String::from).collect();
        let limit = set.spec.revision_history_limit.unwrap_or(10);
        history::truncate(writer, key.namespace(), &revisions, &live, limit).await?;
        Ok(planned.again.map_or(Action::Done, Action::After))
    }
}

impl DaemonSets {
    async fn carry_out(
        &self,
        set: &View,
        parent: &Parent<'_>,
        plan: &Plan,
        hash: &str,
    ) -> Result<(), client::writer::Error> {
        let regarding = Regarding::of("apps/v1", "DaemonSet", &set.metadata);
        let pods = PodControl { context: &self.context, namespace: parent.key.namespace(), regarding };
        for (name, uid) in &plan.delete {
            pods.delete(name, uid).await?;
        }
        for node in &plan.create {
            pods.create(&pod(set, parent, node, hash)).await?;
        }
        Ok(())
    }
}

/// Taints that a daemon's pod tolerates whatever its template says: it belongs to the node, sick or not.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The template's spec with the tolerations of daemons.
fn tolerant(template: &Value) -> Value {
    let mut spec = template["spec"].clone();
    let host = spec["hostNetwork"].as_bool() == Some(true);
    let network = host.then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    let mut all = spec["tolerations"].as_array().cloned().unwrap_or_default();
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let new = json!({ "key": key, "operator": "Exists", "effect": effect });
        all.retain(|one| !(one["key"] == key && one["effect"] == effect));
        all.push(new);
    }
    spec["tolerations"] = all.into();
    spec
}

fn pod(set: &View, parent: &Parent<'_>, node: &str, hash: &str) -> Value {
    let template = &set.spec.template;
    let mut spec = tolerant(template);
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
        "nodeSelectorTerms": [{ "matchFields": [
            { "key": "metadata.name", "operator": "In", "values": [node] } ] }],
    });
    let mut labels: BTreeMap<String, Value> = BTreeMap::new();
    if let Some(fields) = template.pointer("/metadata/labels").and_then(Value::as_object) {
        labels.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    labels.insert(history::HASH.into(), hash.into());
    if let Some(generation) = set.metadata.annotations.get("deprecated.daemonset.template.generation") {
        labels.insert("pod-template-generation".into(), generation.as_str().into());
    }
    let mut metadata = json!({
        "generateName": format!("{}-", parent.key.name()),
        "labels": labels, "ownerReferences": [parent.reference()],
    });
    for field in ["annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            metadata[field] = value.clone();
        }
    }
    json!({ "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec })
}
