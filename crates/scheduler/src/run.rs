//! The loop: events in, decisions out, bindings in flight. One task; deciding is synchronous, so no event is missed
//! between looking and waiting.
//!
//! A decided pod counts on its node at once; if the binding fails it is taken off again and tried later.

use std::sync::Arc;

use api::Resource;
use api::object::Change;
use base::{Clock, Tasks};
use client::Caches;
use client::cache::{Cache, Closed, Event, Subscription};
use client::recorder::{Form, Recorder, Regarding, Severity, Source, second};
use client::writer::{self, Delete, Patch, Writer};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;

use crate::cluster::{Cluster, Node};
use crate::pod::Pod;
use crate::preempt::Preemption;
use crate::queue::Queue;
use crate::schedule::{Decision, schedule};

#[derive(Clone, Debug)]
pub struct Config {
    /// Pods with another `spec.schedulerName` are left alone.
    pub name: String,
}

impl Default for Config {
    fn default() -> Config {
        Config { name: "default-scheduler".into() }
    }
}

/// Runs until `tasks` stop. `client` has the identity `system:kube-scheduler`.
pub fn run(client: kube::Client, caches: &Caches, clock: &Clock, config: Config, tasks: &Tasks) {
    let writer = Writer::new(client, caches.clone(), "kube-scheduler");
    let source = Source { component: config.name.clone(), instance: config.name.clone() };
    let recorder = Recorder::start(writer.clone(), source, Form::Series, clock.clone(), tasks);
    let (caches, clock) = (caches.clone(), clock.clone());
    tasks.spawn("scheduler", async move {
        let core = |plural| caches.get(&Resource::new("", plural));
        let (Some(pods), Some(nodes), Some(namespaces)) = (core("pods"), core("nodes"), core("namespaces"))
        else {
            tracing::error!("the scheduler needs caches of pods, nodes and namespaces");
            return;
        };
        for cache in [&pods, &nodes, &namespaces] {
            cache.wait_synced().await;
        }
        let hands = Hands { writer, recorder, clock };
        let mut scheduler = Scheduler {
            cluster: Cluster::default(),
            queue: Queue::default(),
            flights: FuturesUnordered::new(),
            hands: Arc::new(hands),
            name: config.name,
            pods,
            nodes,
            namespaces,
        };
        scheduler.run().await;
    });
}

/// What carries decisions out.
struct Hands {
    writer: Writer,
    recorder: Recorder,
    clock: Clock,
}

/// How a binding ended.
enum Landed {
    Bound,
    Failed(Arc<Pod>, String),
    /// Nothing to do with the queue.
    Told,
}

struct Scheduler {
    cluster: Cluster,
    queue: Queue,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    hands: Arc<Hands>,
    name: String,
    pods: Arc<Cache>,
    nodes: Arc<Cache>,
    namespaces: Arc<Cache>,
}

impl Scheduler {
    async fn run(&mut self) {
        loop {
            let mut feeds = self.start();
            // Falls through when a subscription fell behind: everything is read anew.
            while self.turn(&mut feeds).await.is_ok() {}
            if self.pods.is_closed() {
                return;
            }
            tracing::warn!("the scheduler fell behind; it reads everything anew");
        }
    }

    fn start(&mut self) -> [Subscription; 3] {
        // A binding in flight may be decided twice after this; the server refuses the second.
        (self.cluster, self.queue) = (Cluster::default(), Queue::default());
        let (namespaces, namespace_feed) = self.namespaces.watch();
        namespaces.iter().for_each(|object| self.namespace(object, false));
        let (nodes, node_feed) = self.nodes.watch();
        nodes.iter().for_each(|object| self.node(object, false));
        let (pods, pod_feed) = self.pods.watch();
        pods.iter().for_each(|object| self.pod(object, false));
        [pod_feed, node_feed, namespace_feed]
    }

    /// Decides on all that waits, then takes in the next events.
    async fn turn(&mut self, [pods, nodes, namespaces]: &mut [Subscription; 3]) -> Result<(), Closed> {
        while let Some(pod) = self.queue.pop() {
            self.decide(&pod);
        }
        let alarm = self.queue.next_time();
        let timer = async {
            match alarm {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            events = pods.next() => self.take(&events?, Scheduler::pod),
            events = nodes.next() => self.take(&events?, Scheduler::node),
            events = namespaces.next() => self.take(&events?, Scheduler::namespace),
            Some(landed) = self.flights.next(), if !self.flights.is_empty() => self.landed(landed),
            () = timer => {}
        }
        Ok(())
    }

    fn take(&mut self, events: &[Arc<Event>], one: fn(&mut Scheduler, &Arc<api::Object>, bool)) {
        for event in events {
            one(self, event.change.object(), matches!(event.change, Change::Delete { .. }));
        }
    }

    fn namespace(&mut self, object: &Arc<api::Object>, gone: bool) {
        let name = object.key.name().to_string();
        if gone {
            self.cluster.namespaces.remove(&name);
        } else {
            let labels = object.labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
            self.cluster.namespaces.insert(name, labels.collect());
        }
    }

    fn node(&mut self, object: &Arc<api::Object>, gone: bool) {
        if gone {
            self.cluster.remove_node(object.key.name());
        } else if let Some(node) = Node::read(object) {
            for what in self.cluster.put_node(node) {
                self.queue.happened(what);
            }
        }
    }

    fn pod(&mut self, object: &Arc<api::Object>, gone: bool) {
        let key = &object.key;
        if gone {
            self.queue.remove(key);
            self.cluster.nominated.remove(key);
            if self.cluster.remove_pod(key).is_some() {
                self.queue.happened(crate::cluster::Happened::PodGone);
            }
            return;
        }
        let Some(pod) = Pod::read(object).map(Arc::new) else { return };
        if pod.waits(&self.name) {
            // While its binding is in flight it counts where we put it.
            if self.cluster.place_of(key).is_none() {
                if !pod.nominated.is_empty() {
                    self.cluster.nominated.insert(key.clone(), (pod.nominated.clone(), pod.clone()));
                }
                self.queue.put(pod);
            }
            return;
        }
        self.queue.remove(key);
        self.cluster.nominated.remove(key);
        if let Some(what) = self.cluster.put_pod(&pod) {
            self.queue.happened(what);
        }
    }

    fn decide(&mut self, pod: &Arc<Pod>) {
        let hands = self.hands.clone();
        match schedule(&self.cluster, pod, rand::random()) {
            Decision::Bind { node } => {
                self.cluster.place(pod.clone(), &node);
                let pod = pod.clone();
                self.flights.push(async move { hands.bind(pod, &node).await }.boxed());
            }
            Decision::Wait { message, plugins, preemption } => {
                self.queue.reject(&pod.key, plugins);
                if let Some(preemption) = &preemption {
                    let nominated = (preemption.node.clone(), pod.clone());
                    self.cluster.nominated.insert(pod.key.clone(), nominated);
                }
                let pod = pod.clone();
                let telling = async move {
                    hands.tell(&pod, "Unschedulable", &message, preemption.as_ref()).await;
                    Landed::Told
                };
                self.flights.push(telling.boxed());
            }
        }
    }

    fn landed(&mut self, landed: Landed) {
        match landed {
            Landed::Bound | Landed::Told => {}
            Landed::Failed(pod, message) => {
                // Unless the cache says meanwhile that it is bound after all.
                let still = self.pods.get_key(&pod.key).filter(|object| object.uid.0.as_str() == pod.uid);
                let waits = still.as_ref().and_then(Pod::read).is_some_and(|pod| pod.waits(&self.name));
                // A pod that is gone, or was bound by another, is no failure to tell anyone.
                if waits {
                    let (hands, told) = (self.hands.clone(), pod.clone());
                    let telling = async move {
                        hands.tell(&told, "SchedulerError", &message, None).await;
                        Landed::Told
                    };
                    self.flights.push(telling.boxed());
                    self.cluster.remove_pod(&pod.key);
                    self.queue.retry(&pod.key);
                    self.queue.happened(crate::cluster::Happened::PodGone);
                }
            }
        }
    }
}

fn regarding(pod: &Pod) -> Regarding {
    Regarding {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: pod.namespace().into(),
        name: pod.key.name().into(),
        uid: pod.uid.clone(),
        ..Regarding::default()
    }
}

impl Hands {
    async fn bind(&self, pod: Arc<Pod>, node: &str) -> Landed {
        let body = json!({
            "kind": "Binding", "apiVersion": "v1",
            "metadata": { "name": pod.key.name(), "namespace": pod.namespace(), "uid": pod.uid },
            "target": { "kind": "Node", "name": node },
        });
        match self.writer.post(&pod.key, "binding", &body).await {
            Ok(_) => {
                let (namespace, name) = (pod.namespace(), pod.key.name());
                let text = format!("Successfully assigned {namespace}/{name} to {node}");
                self.recorder.record(&regarding(&pod), Severity::Normal, "Scheduled", "Binding", text);
                Landed::Bound
            }
            Err(error) => Landed::Failed(pod, format!("binding rejected: {}", error.message())),
        }
    }

    /// Says in event and condition why a pod waits, and makes room for it.
    async fn tell(&self, pod: &Pod, reason: &str, message: &str, preemption: Option<&Preemption>) {
        let regarding = regarding(pod);
        self.recorder.record(&regarding, Severity::Warning, "FailedScheduling", "Scheduling", message);
        if let Some(preemption) = preemption {
            self.preempt(pod, preemption).await;
        }
        let nominated = preemption.map_or(pod.nominated.as_str(), |preemption| &preemption.node);
        let same = pod.condition.as_ref().is_some_and(|is| {
            is.status == "False"
                && is.reason.as_deref() == Some(reason)
                && is.message.as_deref() == Some(message)
        });
        if same && nominated == pod.nominated {
            return;
        }
        let since = pod.condition.as_ref().filter(|is| is.status == "False");
        let since = since.and_then(|is| is.last_transition_time.as_ref()).map(|time| second(time.0));
        let mut status = json!({ "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
            "observedGeneration": pod.generation, "lastProbeTime": null,
            "lastTransitionTime": since.unwrap_or_else(|| second(self.clock.now())),
        }] });
        if !nominated.is_empty() {
            status["nominatedNodeName"] = nominated.into();
        }
        let body = json!({ "metadata": { "uid": pod.uid }, "status": status });
        let patched = self.writer.patch(&pod.key, "status", Patch::Strategic(&body)).await;
        if let Err(error) = writer::gone_is_fine(patched) {
            tracing::warn!(pod = %pod.key, error = %base::chain(&error), "cannot say why a pod waits");
        }
    }

    async fn preempt(&self, pod: &Pod, preemption: &Preemption) {
        for victim in &preemption.victims {
            let text = format!("Preempted by pod {} on node {}", pod.uid, preemption.node);
            let about = crate::run::regarding(victim);
            self.recorder.record(&about, Severity::Normal, "Preempted", "Preempting", text);
            let body = json!({ "metadata": { "uid": victim.uid }, "status": { "conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
                "message": format!("{}: preempting to accommodate a higher priority pod", self.writer.manager()),
                "lastTransitionTime": second(self.clock.now()),
            }] } });
            let told = self.writer.patch(&victim.key, "status", Patch::Strategic(&body)).await;
            let options = Delete { uid: Some(&victim.uid), ..Delete::default() };
            let deleted = self.writer.delete(&victim.key, options).await;
            for result in [told, deleted] {
                if let Err(error) = writer::gone_is_fine(result) {
                    tracing::warn!(pod = %victim.key, error = %base::chain(&error), "cannot preempt");
                }
            }
        }
    }
}
