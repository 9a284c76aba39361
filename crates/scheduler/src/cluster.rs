//! Nodes and the pods on them, as scheduling needs them: sums are kept, not computed. Pure data.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::{Key, Object};
use k8s_openapi::api::core::v1::{Node as Full, Taint};

use crate::pod::{Pod, Port};
use crate::resources::Resources;

/// One node. Without `known` it is only a name that some pod is bound to.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub name: String,
    pub known: bool,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Resources,
    /// Names of images that are there, with their sizes.
    pub images: HashMap<String, i64>,
    pub pods: BTreeMap<Key, Arc<Pod>>,
    pub requested: Resources,
    /// As scoring counts it.
    pub assumed: Resources,
}

impl Node {
    pub fn read(object: &Arc<Object>) -> Option<Node> {
        client::decode::<Full>(object).map(Node::of)
    }

    pub fn of(full: Full) -> Node {
        let (spec, status) = (full.spec.unwrap_or_default(), full.status.unwrap_or_default());
        let images = status.images.into_iter().flatten().flat_map(|image| {
            let size = image.size_bytes.unwrap_or(0);
            image.names.into_iter().flatten().map(move |name| (name, size))
        });
        Node {
            name: full.metadata.name.unwrap_or_default(),
            known: true,
            labels: full.metadata.labels.unwrap_or_default(),
            taints: spec.taints.unwrap_or_default(),
            unschedulable: spec.unschedulable == Some(true),
            allocatable: status.allocatable.as_ref().map(Resources::of).unwrap_or_default(),
            images: images.collect(),
            ..Node::default()
        }
    }

    pub fn add(&mut self, pod: Arc<Pod>) {
        self.remove(&pod.key);
        self.requested.add(&pod.requests);
        self.assumed.add(&pod.assumed);
        self.pods.insert(pod.key.clone(), pod);
    }

    pub fn remove(&mut self, key: &Key) -> Option<Arc<Pod>> {
        let pod = self.pods.remove(key)?;
        self.requested.subtract(&pod.requests);
        self.assumed.subtract(&pod.assumed);
        Some(pod)
    }

    /// Another pod has the port already.
    pub fn takes(&self, port: &Port) -> bool {
        self.pods.values().flat_map(|pod| &pod.ports).any(|other| {
            other.port == port.port
                && other.protocol == port.protocol
                && (other.ip == port.ip || other.ip == "0.0.0.0" || port.ip == "0.0.0.0")
        })
    }
}

/// What changed, for those who wait for it. See [`crate::filter::Plugin`] for who may be helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    NodeAdded,
    NodeAllocatable,
    NodeLabels,
    NodeTaints,
    NodeSchedulable,
    /// A pod with a node came, or its labels changed.
    PodPlaced,
    /// A pod with a node went, finished, or shrank.
    PodGone,
}

/// Everything. Cloning it is cheap enough for a what-if on a few hundred nodes; nobody does it per pod.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub nodes: BTreeMap<String, Node>,
    /// Where each placed pod is.
    places: HashMap<Key, String>,
    /// Pods that wait for their victims to leave a node; they count there for everyone not more important.
    pub nominated: BTreeMap<Key, (String, Arc<Pod>)>,
    /// Labels of namespaces, for selectors of affinity terms.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

impl Cluster {
    /// Takes a node in, with the pods that were there before it.
    pub fn put_node(&mut self, mut new: Node) -> Vec<Happened> {
        let old = self.nodes.remove(&new.name).unwrap_or_default();
        let mut happened = Vec::new();
        if old.known {
            for (differs, what) in [
                (old.allocatable != new.allocatable, Happened::NodeAllocatable),
                (old.labels != new.labels, Happened::NodeLabels),
                (old.taints != new.taints, Happened::NodeTaints),
                (old.unschedulable && !new.unschedulable, Happened::NodeSchedulable),
            ] {
                if differs {
                    happened.push(what);
                }
            }
        } else {
            happened.push(Happened::NodeAdded);
        }
        (new.pods, new.requested, new.assumed) = (old.pods, old.requested, old.assumed);
        self.nodes.insert(new.name.clone(), new);
        happened
    }

    pub fn remove_node(&mut self, name: &str) {
        if let Some(node) = self.nodes.get_mut(name) {
            let pods = std::mem::take(&mut node.pods);
            let (requested, assumed) = (node.requested.clone(), node.assumed.clone());
            if pods.is_empty() {
                self.nodes.remove(name);
            } else {
                *node = Node { name: name.into(), pods, requested, assumed, ..Node::default() };
            }
        }
    }

    /// Takes a pod in that has a node, or forgets one that has not or is finished.
    pub fn put_pod(&mut self, pod: &Arc<Pod>) -> Option<Happened> {
        if pod.node.is_empty() || pod.finished {
            return self.remove_pod(&pod.key).map(|_| Happened::PodGone);
        }
        self.nominated.remove(&pod.key);
        let before = self.remove_pod(&pod.key);
        self.place(pod.clone(), &pod.node);
        match before {
            Some(before) if before.requests != pod.requests => Some(Happened::PodGone),
            Some(before) if before.labels == pod.labels && before.deleting == pod.deleting => None,
            _ => Some(Happened::PodPlaced),
        }
    }

    /// Counts `pod` on `node`: because it is there, or because we are about to bind it.
    pub fn place(&mut self, pod: Arc<Pod>, node: &str) {
        self.places.insert(pod.key.clone(), node.into());
        let there =
            self.nodes.entry(node.into()).or_insert_with(|| Node { name: node.into(), ..Node::default() });
        there.add(pod);
    }

    pub fn remove_pod(&mut self, key: &Key) -> Option<Arc<Pod>> {
        let place = self.places.remove(key)?;
        let node = self.nodes.get_mut(&place)?;
        let pod = node.remove(key);
        if !node.known && node.pods.is_empty() {
            self.nodes.remove(&place);
        }
        pod
    }

    pub fn place_of(&self, key: &Key) -> Option<&str> {
        self.places.get(key).map(String::as_str)
    }

    /// Nodes that exist, by name.
    pub fn known(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.known)
    }

    /// `node` as `pod` must see it: with the pods nominated there that are at least as important.
    pub fn for_pod<'a>(&self, node: &'a Node, pod: &Pod) -> std::borrow::Cow<'a, Node> {
        let mut seen = std::borrow::Cow::Borrowed(node);
        for (place, other) in self.nominated.values() {
            if *place == node.name && other.key != pod.key && other.priority >= pod.priority {
                seen.to_mut().add(other.clone());
            }
        }
        seen
    }
}
