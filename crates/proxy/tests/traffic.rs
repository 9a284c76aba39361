//! Services as clients meet them: real pods, rules and packets, in a network that the test has to itself.

#![allow(clippy::unwrap_used)] // Helpers of tests are tests, which clippy cannot know here.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use net::testing::{inside, isolated, listed};
use net::{Attachment, Network};
use proxy::{Compiled, Config, Engine, Node, compile};
use serde_json::{Value, json};

struct Lab {
    folder: tempfile::TempDir,
    network: Network,
    runtime: tokio::runtime::Runtime,
    engine: Engine,
}

const PATIENCE: Duration = Duration::from_secs(2);

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::open(net::Config {
            bridge: "skiff0".into(),
            pod_cidr: "10.42.0.0/24".parse().unwrap(),
            cluster_cidr: "10.42.0.0/16".parse().unwrap(),
            service_cidr: Some("10.43.0.0/16".parse().unwrap()),
            addresses: vec![[10, 43, 0, 10].into()],
            mtu: 1450,
            state: folder.path().join("leases"),
            run: folder.path().join("netns"),
            table: "skiff".into(),
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut engine = Engine::new(config()).unwrap();
        engine.apply(Vec::new()).unwrap();
        Lab { folder, network, runtime, engine }
    }

    fn pod(&self, name: &str) -> Attachment {
        self.runtime.block_on(self.network.attach(name, "default", name, &[])).unwrap()
    }

    fn set(&mut self, service: Value, endpoints: &[(&str, u16)]) {
        self.engine.apply(vec![("a/s".into(), Some(compiled(service, endpoints)))]).unwrap();
    }

    fn end(mut self) {
        self.engine.remove().unwrap();
        drop(self.network);
        Network::uninstall(&self.folder.path().join("leases"), &self.folder.path().join("netns")).unwrap();
    }
}

fn config() -> Config {
    Config {
        node_name: "n1".into(),
        cluster_cidr: "10.42.0.0/16".parse().unwrap(),
        service_cidr: Some("10.43.0.0/16".parse().unwrap()),
        local_addresses: vec![[10, 43, 0, 10].into()],
        table: "skiff-proxy".into(),
    }
}

fn compiled(spec: Value, endpoints: &[(&str, u16)]) -> Compiled {
    compiled_as("s", spec, endpoints)
}

fn compiled_as(name: &str, spec: Value, endpoints: &[(&str, u16)]) -> Compiled {
    let node = Node {
        name: "n1".into(),
        zone: String::new(),
        cluster_cidr: config().cluster_cidr,
        local_addresses: config().local_addresses,
    };
    let ports = spec["ports"].as_array().unwrap().clone();
    let service: Service =
        serde_json::from_value(json!({"metadata": {"namespace": "a", "name": name}, "spec": spec})).unwrap();
    let slices: Vec<EndpointSlice> = endpoints
        .iter()
        .map(|(address, port)| {
            let ports: Vec<Value> = ports
                .iter()
                .map(|given| json!({"name": given["name"], "protocol": given["protocol"], "port": port}))
                .collect();
            serde_json::from_value(json!({
                "metadata": {"name": address}, "addressType": "IPv4", "ports": ports,
                "endpoints": [{"addresses": [address], "nodeName": "n1"}],
            }))
            .unwrap()
        })
        .collect();
    compile(&service, &slices, &node)
}

fn tcp(more: Value) -> Value {
    let mut spec = json!({"clusterIP": "10.43.0.1", "ports": [{"name": "p", "port": 80, "protocol": "TCP"}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

/// Answers each connection with `<name> <peer's address>`.
fn serve_tcp(netns: &Path, name: &'static str) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    inside(netns, move || {
        let listener = TcpListener::bind("0.0.0.0:8080").unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            let _client_may_be_gone = write!(stream, "{name} {peer}");
        }
    });
    is_ready.recv().unwrap();
}

fn serve_udp(netns: &Path, name: &'static str) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    inside(netns, move || {
        let socket = UdpSocket::bind("0.0.0.0:5353").unwrap();
        ready.send(()).unwrap();
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            socket.send_to(name.as_bytes(), peer).unwrap();
        }
    });
    is_ready.recv().unwrap();
}

fn ask(to: &str) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn ask_from(pod: &Attachment, to: &'static str) -> std::io::Result<String> {
    inside(&pod.netns, move || ask(to)).join().unwrap()
}

#[test]
fn pods_and_node_reach_a_service() {
    isolated(|| {
        let mut lab = Lab::new();
        let (a, b, client) = (lab.pod("a"), lab.pod("b"), lab.pod("client"));
        serve_tcp(&a.netns, "a");
        serve_tcp(&b.netns, "b");
        lab.set(tcp(json!({})), &[("10.42.0.2", 8080), ("10.42.0.3", 8080)]);
        let mut seen = BTreeSet::new();
        for _ in 0..40 {
            seen.insert(ask_from(&client, "10.43.0.1:80").unwrap());
        }
        assert_eq!(seen, BTreeSet::from(["a 10.42.0.4".into(), "b 10.42.0.4".into()]), "both, unmasqueraded");
        assert!(ask("10.43.0.1:80").unwrap().ends_with(" 10.42.0.1"), "from the node, with no default route");
        // A pod that meets itself sees the node's address.
        let seen: BTreeSet<String> = (0..40).map(|_| ask_from(&a, "10.43.0.1:80").unwrap()).collect();
        assert_eq!(seen, BTreeSet::from(["a 10.42.0.1".into(), "b 10.42.0.2".into()]));
        // One endpoint goes, then the other, then the Service.
        lab.set(tcp(json!({})), &[("10.42.0.3", 8080)]);
        assert!((0..20).all(|_| ask_from(&client, "10.43.0.1:80").unwrap().starts_with("b ")));
        lab.set(tcp(json!({})), &[]);
        let refused = |to| {
            let error = ask_from(&client, to).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{to}: {error}");
        };
        refused("10.43.0.1:80");
        // A port that the Service does not have.
        refused("10.43.0.1:81");
        assert_eq!(ask("10.43.0.1:80").unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        lab.set(tcp(json!({})), &[("10.42.0.3", 8080)]);
        ask_from(&client, "10.43.0.1:80").unwrap();
        lab.engine.apply(vec![("a/s".into(), None)]).unwrap();
        ask_from(&client, "10.43.0.1:80").unwrap_err();
        if let Some(text) = listed() {
            assert!(!text.contains("10.43.0.1 "), "{text}");
            assert!(!text.contains("a/s"), "{text}");
        }
        lab.end();
    });
}

#[test]
fn a_node_port_is_open_on_every_address() {
    isolated(|| {
        let mut lab = Lab::new();
        let (a, client) = (lab.pod("a"), lab.pod("client"));
        serve_tcp(&a.netns, "a");
        let ports = json!([{"name": "p", "port": 80, "protocol": "TCP", "nodePort": 30080}]);
        let spec =
            |policy: &str| tcp(json!({"type": "NodePort", "externalTrafficPolicy": policy, "ports": ports}));
        lab.set(spec("Cluster"), &[("10.42.0.2", 8080)]);
        for to in ["10.42.0.1:30080", "127.0.0.1:30080", "10.43.0.10:30080"] {
            assert_eq!(ask(to).unwrap(), "a 10.42.0.1", "{to}");
        }
        assert_eq!(ask_from(&client, "10.42.0.1:30080").unwrap(), "a 10.42.0.1");
        lab.set(spec("Local"), &[("10.42.0.2", 8080)]);
        assert_eq!(ask_from(&client, "10.42.0.1:30080").unwrap(), "a 10.42.0.3");
        lab.set(spec("Cluster"), &[]);
        assert_eq!(ask("10.42.0.1:30080").unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        lab.end();
    });
}

#[test]
fn a_client_with_affinity_stays() {
    isolated(|| {
        let mut lab = Lab::new();
        let (a, b, client) = (lab.pod("a"), lab.pod("b"), lab.pod("client"));
        serve_tcp(&a.netns, "a");
        serve_tcp(&b.netns, "b");
        let spec = || tcp(json!({"sessionAffinity": "ClientIP"}));
        lab.set(spec(), &[("10.42.0.2", 8080), ("10.42.0.3", 8080)]);
        let first = ask_from(&client, "10.43.0.1:80").unwrap();
        assert!((0..20).all(|_| ask_from(&client, "10.43.0.1:80").unwrap() == first));
        // Its endpoint goes: it moves. Another comes: it stays.
        let left = if first.starts_with('a') { ("10.42.0.3", 8080) } else { ("10.42.0.2", 8080) };
        lab.set(spec(), &[left]);
        let second = ask_from(&client, "10.43.0.1:80").unwrap();
        assert_ne!(first, second);
        lab.set(spec(), &[("10.42.0.2", 8080), ("10.42.0.3", 8080)]);
        assert!((0..20).all(|_| ask_from(&client, "10.43.0.1:80").unwrap() == second));
        lab.end();
    });
}

#[test]
fn a_udp_client_is_not_left_with_a_dead_endpoint() {
    isolated(|| {
        let mut lab = Lab::new();
        let (a, b, client) = (lab.pod("a"), lab.pod("b"), lab.pod("client"));
        serve_udp(&a.netns, "a");
        serve_udp(&b.netns, "b");
        let spec =
            || json!({"clusterIP": "10.43.0.1", "ports": [{"name": "p", "port": 53, "protocol": "UDP"}]});
        // One socket for all: the kernel knows one flow.
        let socket = inside(&client.netns, || UdpSocket::bind("0.0.0.0:4000").unwrap()).join().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let query = || {
            socket.send_to(b"?", "10.43.0.1:53")?;
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer)?;
            std::io::Result::Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        lab.set(spec(), &[("10.42.0.2", 5353)]);
        assert_eq!(query().unwrap(), "a");
        lab.set(spec(), &[("10.42.0.3", 5353)]);
        assert_eq!(query().unwrap(), "b");
        lab.engine.apply(vec![("a/s".into(), None)]).unwrap();
        query().unwrap_err();
        lab.set(spec(), &[("10.42.0.2", 5353)]);
        assert_eq!(query().unwrap(), "a");
        lab.end();
    });
}

/// Changes in the caches become rules.
#[test]
fn the_caches_are_followed() {
    isolated(|| {
        let lab = Lab::new();
        let pod = lab.pod("a");
        serve_tcp(&pod.netns, "a");
        let cache = |group: &str, plural: &str, kind: &str| {
            let about = client::About {
                resource: api::Resource::new(group, plural),
                kind: kind.into(),
                version: "v1".into(),
                namespaced: true,
                verbs: Vec::new(),
                fields: Vec::new(),
                paths: Vec::new(),
                custom: false,
            };
            client::Cache::new(about, client::Limits::default())
        };
        let services = cache("", "services", "Service");
        let slices = cache("discovery.k8s.io", "endpointslices", "EndpointSlice");
        let metadata = |name: &str, revision: u64| {
            json!({"name": name, "namespace": "a", "resourceVersion": revision.to_string(),
                   "labels": {"kubernetes.io/service-name": "s"}})
        };
        let service = json!({"metadata": metadata("s", 1), "spec": tcp(json!({}))});
        let slice = |revision, ready| {
            json!({"metadata": metadata("s-1", revision), "addressType": "IPv4",
                   "endpoints": [{"addresses": ["10.42.0.2"], "conditions": {"ready": ready}}],
                   "ports": [{"name": "p", "protocol": "TCP", "port": 8080}]})
        };
        let object = |cache: &client::Cache, value: Value| {
            client::wire::object(cache.about(), &value.to_string()).unwrap()
        };
        services.fill(vec![object(&services, service)], api::Revision(1));
        slices.fill(Vec::new(), api::Revision(1));
        let caches = client::Caches::new();
        caches.insert(services.clone());
        caches.insert(slices.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let tasks = base::Tasks::new();
            proxy::run(config(), &caches, &tasks).unwrap();
            let until = async |wanted: &dyn Fn(&std::io::Result<String>) -> bool| {
                for _ in 0..500 {
                    if wanted(&tokio::task::spawn_blocking(|| ask("10.43.0.1:80")).await.unwrap()) {
                        return;
                    }
                }
                panic!("the rules do not follow");
            };
            let refused = |answer: &std::io::Result<String>| {
                answer.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
            };
            let served = |answer: &std::io::Result<String>| answer.is_ok();
            until(&refused).await;
            slices.apply([client::Update::Put(object(&slices, slice(2, true)))]);
            until(&served).await;
            slices.apply([client::Update::Put(object(&slices, slice(3, false)))]);
            until(&refused).await;
            slices.apply([client::Update::Put(object(&slices, slice(4, true)))]);
            until(&served).await;
            services
                .apply([client::Update::Delete(object(&services, json!({"metadata": metadata("s", 5)})))]);
            until(&|answer| answer.is_err()).await;
            tasks.stop().await;
        });
        lab.end();
    });
}

/// However a table came to be, it is what its Services say.
#[test]
fn any_way_leads_to_the_same_rules() {
    isolated(|| {
        let seed: u64 =
            std::env::var("SKIFF_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .subsec_nanos()
                    .into()
            });
        println!("SKIFF_SEED={seed}");
        let mut state: u64 = seed | 1;
        let mut random = move |below: u64| {
            // Xorshift: enough to wander about.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut engine = Engine::new(config()).unwrap();
        engine.apply(Vec::new()).unwrap();
        let mut services = std::collections::BTreeMap::new();
        for _ in 0..100 {
            let name = format!("s{}", random(5));
            if random(6) == 0 {
                services.remove(&name);
                engine.apply(vec![(format!("a/{name}"), None)]).unwrap();
                continue;
            }
            // Node ports and external addresses collide now and then, as nothing but allocation keeps them apart.
            let spec = json!({
                "clusterIP": format!("10.43.0.{}", name[1..].parse::<u8>().unwrap() + 1),
                "type": (["ClusterIP", "NodePort", "LoadBalancer"][random(3) as usize]),
                "externalIPs": if random(2) == 0 { vec!["192.0.2.1"] } else { vec![] },
                "sessionAffinity": (["None", "ClientIP"][random(2) as usize]),
                "internalTrafficPolicy": (["Cluster", "Local"][random(2) as usize]),
                "externalTrafficPolicy": (["Cluster", "Local"][random(2) as usize]),
                "ports": [
                    {"name": "p", "port": 80 + random(2), "protocol": "TCP", "nodePort": 30000 + random(3)},
                    {"name": "q", "port": 53, "protocol": "UDP", "nodePort": 30000 + random(3)},
                ],
            });
            let addresses: Vec<String> =
                (0..random(20)).map(|_| format!("10.42.0.{}", 2 + random(30))).collect();
            let endpoints: Vec<(&str, u16)> = addresses.iter().map(|text| (text.as_str(), 8080)).collect();
            let compiled = compiled_as(&name, spec, &endpoints);
            services.insert(name.clone(), compiled.clone());
            engine.apply(vec![(format!("a/{name}"), Some(compiled))]).unwrap();
        }
        let words = || {
            let mut words: Vec<String> = listed()?
                .split(['\n', ',', '{', '}'])
                .map(|word| word.trim().replace("elements = ", ""))
                .collect();
            words.sort();
            Some(words)
        };
        assert_eq!(engine.refusals(), 0);
        let walked = words();
        let mut engine = Engine::new(config()).unwrap();
        engine
            .apply(
                services.into_iter().map(|(name, compiled)| (format!("a/{name}"), Some(compiled))).collect(),
            )
            .unwrap();
        assert_eq!(walked, words());
    });
}

/// Prints what a change costs among 5,000 Services; asserts nothing about time.
#[test]
fn a_change_among_thousands_of_services() {
    isolated(|| {
        let mut engine = Engine::new(config()).unwrap();
        let one = |number: u32, endpoints: &[(&str, u16)]| {
            let [_, _, high, low] = number.to_be_bytes();
            let spec = json!({
                "clusterIP": format!("10.43.{}.{low}", high + 1),
                "type": if number.is_multiple_of(50) { "NodePort" } else { "ClusterIP" },
                "ports": [{"name": "p", "port": 80, "protocol": "TCP", "nodePort": 30000 + number}],
            });
            let name = format!("s{number}");
            (format!("a/{name}"), Some(compiled_as(&name, spec, endpoints)))
        };
        let endpoints = [("10.42.0.2", 8080), ("10.42.0.3", 8080)];
        for count in [100, 5000] {
            let all = (0..count).map(|number| one(number, &endpoints)).collect();
            engine.remove().unwrap();
            let start = Instant::now();
            engine.apply(all).unwrap();
            let filled = start.elapsed();
            let replaced = [("10.42.0.2", 8080), ("10.42.0.9", 8080)];
            let mut took = Vec::new();
            for endpoints in [&replaced[..], &replaced[..1]] {
                let changes: Vec<_> = (0..20).map(|number| vec![one(number + 1, endpoints)]).collect();
                let start = Instant::now();
                for change in changes {
                    engine.apply(change).unwrap();
                }
                took.push(start.elapsed() / 20);
            }
            println!(
                "{count} Services: filled in {filled:?}, endpoint replaced {:?}, gone {:?}",
                took[0], took[1]
            );
        }
        engine.remove().unwrap();
    });
}
