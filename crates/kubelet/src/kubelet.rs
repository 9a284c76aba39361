//! The kubelet itself: one worker for each pod of the node, woken by what concerns it.

use std::collections::HashMap;
use std::sync::Arc;

use base::{Clock, Tasks};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use runtime::SandboxStatus;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::container::files::Resolver;
use crate::pod::spec;
use crate::sources::Changed;
use crate::volumes::token::Tokens;
use crate::work::{self, Handle, Shared};
use crate::{Seams, node};

/// See the module. Cheap to clone; stops with the tasks that it was started under, leaving all pods running.
#[derive(Clone)]
pub struct Kubelet {
    shared: Arc<Shared>,
}

impl Kubelet {
    /// Registers the node, adopts what runs, and keeps the node's pods as the API says.
    pub fn start(config: Config, seams: Seams, clock: Clock, tasks: &Tasks) -> Kubelet {
        let machine = node::Machine::read();
        let host_resolver = std::fs::read_to_string(&config.settings.resolv_conf).unwrap_or_default();
        let shared = Arc::new(Shared {
            tokens: Tokens::new(seams.client.clone()),
            allocatable: node::allocatable(&machine, &config),
            memory: i64::try_from(machine.memory).unwrap_or(i64::MAX),
            host_resolver: Resolver::parse(&host_resolver),
            config,
            seams,
            clock,
        });
        let pods = Pods { shared: shared.clone(), handles: HashMap::new(), tasks: tasks.clone() };
        tasks.spawn("pods", pods.run());
        tasks.spawn("node", node::run(shared.clone(), machine));
        Kubelet { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// All workers.
struct Pods {
    shared: Arc<Shared>,
    handles: HashMap<String, Handle>,
    tasks: Tasks,
}

impl Pods {
    async fn run(mut self) {
        let mut changes = self.shared.seams.sources.changes();
        let mut events = self.shared.seams.runtime.events();
        let (done, mut finished) = mpsc::channel(64);
        self.sync(&done).await;
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(Changed::Pod { namespace, name }) => self.look(&namespace, &name, &done),
                    Ok(Changed::ConfigMap { namespace, name }) => self.changed("ConfigMap", &namespace, &name),
                    Ok(Changed::Secret { namespace, name }) => self.changed("Secret", &namespace, &name),
                    Ok(Changed::Node) => {}
                    Err(RecvError::Lagged(_)) => self.sync(&done).await,
                    Err(RecvError::Closed) => return,
                },
                event = events.recv() => match event {
                    Ok(event) => {
                        if let Some(handle) = self.handles.get(&event.sandbox) {
                            handle.wake();
                        }
                    }
                    Err(RecvError::Lagged(_)) => self.handles.values().for_each(Handle::wake),
                    Err(RecvError::Closed) => return,
                },
                Some(uid) = finished.recv() => {
                    if let Some(handle) = self.handles.remove(&uid) {
                        // The name may have a new pod by now.
                        self.look(&handle.namespace, &handle.name, &done);
                    }
                },
            }
        }
    }

    /// Looks at everything: the API's pods, and what the runtime has that the API has not.
    async fn sync(&mut self, done: &mpsc::Sender<String>) {
        for pod in self.shared.seams.sources.pods() {
            self.adopt(pod, done);
        }
        match self.shared.seams.runtime.list().await {
            Ok(sandboxes) => {
                for sandbox in sandboxes {
                    if !self.handles.contains_key(&sandbox.spec.uid) {
                        self.adopt(Arc::new(orphan(&sandbox)), done);
                    }
                }
            }
            Err(error) => {
                tracing::error!(error = %base::chain(&error), "the runtime cannot list what it runs")
            }
        }
        self.handles.values().for_each(Handle::wake);
    }

    fn look(&mut self, namespace: &str, name: &str, done: &mpsc::Sender<String>) {
        for handle in
            self.handles.values().filter(|handle| handle.namespace == namespace && handle.name == name)
        {
            handle.wake();
        }
        if let Some(pod) = self.shared.seams.sources.pod(namespace, name) {
            self.adopt(pod, done);
        }
    }

    fn adopt(&mut self, pod: Arc<Pod>, done: &mpsc::Sender<String>) {
        let mine =
            spec::spec(&pod).node_name.as_deref().is_none_or(|node| node == self.shared.config.node_name);
        let uid = spec::uid(&pod);
        if mine && !uid.is_empty() && !self.handles.contains_key(uid) {
            let uid = uid.to_owned();
            let handle = work::spawn(self.shared.clone(), pod, done.clone(), &self.tasks);
            self.handles.insert(uid, handle);
        }
    }

    fn changed(&self, kind: &'static str, namespace: &str, name: &str) {
        for handle in self.handles.values() {
            handle.changed(kind, namespace, name);
        }
    }
}

/// What is left of a pod that was deleted while nobody watched: enough to take it down.
fn orphan(sandbox: &SandboxStatus) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(sandbox.spec.name.clone()),
            namespace: Some(sandbox.spec.namespace.clone()),
            uid: Some(sandbox.spec.uid.clone()),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    }
}
