//! The kubelet whole, on fakes: what the API says becomes calls of the runtime and a status in the API.

use std::sync::Arc;

use base::{Clock, Tasks};
use client::recorder::{Form, Source};
use client::{Caches, Recorder, Writer};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Config, Kubelet, Seams, fake};

pub struct World {
    pub sources: fake::Sources,
    pub runtime: fake::Runtime,
    pub images: Arc<fake::Images>,
    pub network: Arc<fake::Network>,
    pub clock: Clock,
    pub folder: tempfile::TempDir,
    pub tasks: Tasks,
}

impl World {
    pub fn new() -> World {
        let clock = Clock::fixed(Timestamp::from_second(1_000_000).unwrap());
        let images = Arc::new(fake::Images::default());
        images.registry.lock().push("img".into());
        World {
            sources: fake::Sources::default(),
            runtime: fake::Runtime::new(clock.clone()),
            images,
            network: Arc::default(),
            clock,
            folder: tempfile::tempdir().unwrap(),
            tasks: Tasks::new(),
        }
    }

    /// Starts a kubelet on what is there; stopping `tasks` kills it.
    pub fn start(&self) -> Kubelet {
        let paths = base::paths::Paths::new(self.folder.path().join("data"), self.folder.path().join("run"));
        let mut config = Config::new("n1", vec!["192.168.0.2".parse().unwrap()], paths);
        config.settings.pod_logs = self.folder.path().join("log");
        let client = fake::client(self.sources.clone());
        let writer = Writer::new(client.clone(), Caches::new(), "kubelet");
        let source = Source { component: "kubelet".into(), instance: "n1".into() };
        let recorder = Recorder::start(writer, source, Form::Core, self.clock.clone(), &self.tasks);
        let seams = Seams {
            client,
            sources: Arc::new(self.sources.clone()),
            recorder,
            runtime: Arc::new(self.runtime.clone()),
            images: self.images.clone(),
            network: self.network.clone(),
        };
        Kubelet::start(config, seams, self.clock.clone(), &self.tasks)
    }

    pub fn put_pod(&self, mut pod: Value) {
        pod["kind"] = json!("Pod");
        pod["metadata"]["namespace"] = json!("shop");
        pod["metadata"]["uid"] = json!("u");
        pod["spec"]["nodeName"] = json!("n1");
        self.sources.put_json(pod);
    }

    /// Waits until the pod in the API passes.
    pub async fn until(&self, what: &str, passes: impl Fn(Option<&Value>) -> bool) -> Option<Value> {
        for _ in 0..2000 {
            let pod = self.sources.get_json("Pod", "shop", "web");
            if passes(pod.as_ref()) {
                return pod;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!(
            "never {what}: {:#?}\n{:?}",
            self.sources.get_json("Pod", "shop", "web"),
            self.runtime.calls.lock()
        );
    }
}

fn phase_is(wanted: &'static str) -> impl Fn(Option<&Value>) -> bool {
    move |pod| pod.is_some_and(|pod| pod["status"]["phase"] == wanted)
}

#[tokio::test]
async fn a_pod_from_creation_to_deletion() {
    let world = World::new();
    world.start();
    world.put_pod(json!({"metadata": {"name": "web"}, "spec": {"restartPolicy": "Always", "terminationGracePeriodSeconds": 5,
        "volumes": [{"name": "config", "configMap": {"name": "cm"}}],
        "containers": [{"name": "c", "image": "img", "args": ["$(NAME)"], "env": [{"name": "NAME", "value": "x"}],
            "volumeMounts": [{"name": "config", "mountPath": "/config", "subPath": "sub"}],
            "lifecycle": {"preStop": {"exec": {"command": ["/bye"]}}}}]}}));
    world
        .until("waits for its volume", |pod| pod.is_some_and(|pod| pod["status"]["startTime"].is_string()))
        .await;
    world.sources.put_json(
        json!({"kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "cm"}, "data": {"a": "1"}}),
    );
    let pod = world.until("runs", phase_is("Running")).await.unwrap();
    assert_eq!(pod["status"]["podIP"], "10.42.0.1");
    let spec = world.runtime.specs.lock()[0].clone();
    assert_eq!(spec.command, ["/serve", "x"]);
    assert!(spec.env.contains(&("FROM_IMAGE".into(), "1".into())));
    let mount = spec.mounts.iter().find(|mount| mount.target.ends_with("config")).unwrap();
    assert!(mount.source.ends_with("volumes/kubernetes.io~configmap/config/sub"));
    let hosts = spec.mounts.iter().find(|mount| mount.target.ends_with("hosts")).unwrap();
    assert!(std::fs::read_to_string(&hosts.source).unwrap().contains("10.42.0.1\tweb\n"));

    let mut pod = world.sources.get_json("Pod", "shop", "web").unwrap();
    pod["metadata"]["deletionTimestamp"] = json!("1970-01-12T13:46:45Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(5);
    world.sources.put_json(pod);
    world.until("is gone", |pod| pod.is_none()).await;
    for _ in 0..2000 {
        if world.runtime.sandboxes.lock().is_empty() && !world.folder.path().join("data/node/pods/u").exists()
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(world.runtime.sandboxes.lock().is_empty() && world.network.links.lock().is_empty());
    assert!(!world.folder.path().join("data/node/pods/u").exists());
    let calls = world.runtime.calls.lock().clone();
    assert_eq!(calls, ["run web", "create c/0", "exec /bye", "stop c SIGTERM 5s", "close web"]);
    world.tasks.stop().await;
}

#[tokio::test]
async fn a_killed_kubelet_adopts_what_runs() {
    let world = World::new();
    world.start();
    let spec = json!({"restartPolicy": "Always", "containers": [{"name": "c", "image": "img"}]});
    world.put_pod(json!({"metadata": {"name": "web"}, "spec": spec}));
    world.until("runs", phase_is("Running")).await;
    world.tasks.stop().await;
    let (id, calls) = (world.runtime.running("c").unwrap(), world.runtime.calls.lock().len());
    let World { sources, runtime, images, network, clock, folder, .. } = world;
    let world = World { sources, runtime, images, network, clock, folder, tasks: Tasks::new() };
    world.start();
    // It ends while the new one watches, and comes back.
    world.until("is seen", |pod| pod.is_some()).await;
    assert_eq!((world.runtime.running("c").unwrap(), world.runtime.calls.lock().len()), (id, calls));
    for _ in 0..2000 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        if world.sources.get_json("Node", "", "n1").is_some() {
            break;
        }
    }
    world.runtime.exit("c", 1);
    let pod = world
        .until("restarts", |pod| {
            pod.is_some_and(|pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1)
        })
        .await
        .unwrap();
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
    // Deleted by force while nobody watched: the next one takes it down.
    world.tasks.stop().await;
    world.sources.remove("Pod", "shop", "web");
    let World { sources, runtime, images, network, clock, folder, .. } = world;
    let world = World { sources, runtime, images, network, clock, folder, tasks: Tasks::new() };
    world.start();
    for _ in 0..2000 {
        if world.runtime.sandboxes.lock().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(world.runtime.sandboxes.lock().is_empty());
    world.tasks.stop().await;
}

#[tokio::test]
async fn without_a_way_to_the_registry_the_image_at_hand_is_used() {
    let world = World::new();
    world.images.present.lock().push("img".into());
    world.images.offline.store(true, std::sync::atomic::Ordering::Relaxed);
    world.start();
    let container = |image: &str| json!({"name": image, "image": image, "imagePullPolicy": "Always"});
    let spec = json!({"restartPolicy": "Always", "containers": [container("img"), container("other")]});
    world.put_pod(json!({"metadata": {"name": "web"}, "spec": spec}));
    let pod = world
        .until("runs one and waits for the other", |pod| {
            pod.is_some_and(|pod| {
                let told = &pod["status"]["containerStatuses"];
                told[0]["state"]["running"].is_object()
                    && told[1]["state"]["waiting"]["reason"] == "ErrImagePull"
            })
        })
        .await
        .unwrap();
    assert_eq!(pod["status"]["containerStatuses"][1]["state"]["waiting"]["message"], "other: no way there");
    world.tasks.stop().await;
}

#[tokio::test]
async fn the_node_registers_and_renews() {
    let world = World::new();
    world.start();
    for _ in 0..2000 {
        if world.sources.get_json("Lease", "kube-node-lease", "n1").is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let lease = world.sources.get_json("Lease", "kube-node-lease", "n1").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "n1");
    let node = world.sources.get_json("Node", "", "n1").unwrap();
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
    assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
    world.tasks.stop().await;
}
