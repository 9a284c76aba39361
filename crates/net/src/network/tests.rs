//! Real links between real namespaces, in a network that the test has to itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::Protocol;
use crate::testing::{inside, isolated, listed};

struct Node {
    folder: tempfile::TempDir,
    network: Network,
    runtime: tokio::runtime::Runtime,
}

fn config(folder: &Path) -> Config {
    Config {
        bridge: "skiff0".into(),
        pod_cidr: "10.42.0.0/24".parse().unwrap(),
        cluster_cidr: "10.42.0.0/16".parse().unwrap(),
        service_cidr: Some("10.43.0.0/16".parse().unwrap()),
        addresses: vec![[10, 43, 0, 10].into()],
        mtu: 1450,
        state: folder.join("leases"),
        run: folder.join("netns"),
        table: "skiff".into(),
    }
}

impl Node {
    fn new() -> Node {
        let folder = tempfile::tempdir().unwrap();
        let network = Network::open(config(folder.path())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Node { folder, network, runtime }
    }

    fn attach(&self, uid: &str, ports: &[HostPort]) -> Attachment {
        self.runtime.block_on(self.network.attach(uid, "default", uid, ports)).unwrap()
    }

    fn restart(&mut self) {
        self.network = Network::open(config(self.folder.path())).unwrap();
    }

    fn list(&self) -> Vec<Attachment> {
        self.runtime.block_on(self.network.list()).unwrap()
    }

    fn end(self) {
        let config = config(self.folder.path());
        drop(self.network);
        Network::uninstall(&config.state, &config.run).unwrap();
        assert_eq!(ours(), [""; 0]);
        if let Some(text) = listed() {
            assert_eq!(text, "");
        }
        assert!(!config.run.exists() && !config.state.exists());
    }
}

fn ours() -> Vec<String> {
    let links = crate::link::Links::open().unwrap().list().unwrap();
    links.into_iter().map(|link| link.name).filter(|name| name.starts_with("skiff")).collect()
}

/// Answers each connection with the peer's address, as it is seen inside.
fn serve(netns: PathBuf, port: u16) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    inside(&netns, move || {
        let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip().to_string();
            stream.write_all(peer.as_bytes()).unwrap();
        }
    });
    is_ready.recv().unwrap();
}

/// What the server at `to` sees as our address.
fn ask(to: impl Into<SocketAddr>) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to.into(), Duration::from_secs(5))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn port(host_ip: Option<&str>, host_port: u16, container_port: u16) -> HostPort {
    HostPort {
        host_ip: host_ip.map(|text| text.parse().unwrap()),
        host_port,
        container_port,
        protocol: Protocol::Tcp,
    }
}

#[test]
fn pods_and_node_reach_one_another_under_their_own_addresses() {
    isolated(|| {
        let node = Node::new();
        let (a, b) = (node.attach("a", &[]), node.attach("b", &[]));
        assert_eq!((a.ips[0].to_string(), b.ips[0].to_string()), ("10.42.0.2".into(), "10.42.0.3".into()));
        serve(a.netns.clone(), 80);
        serve(b.netns.clone(), 80);
        let (at, bt) = ((a.ips[0], 80), (b.ips[0], 80));
        assert_eq!(ask(at).unwrap(), "10.42.0.1");
        assert_eq!(inside(&a.netns, move || ask(bt)).join().unwrap().unwrap(), "10.42.0.2");
        assert_eq!(inside(&b.netns, move || ask(at)).join().unwrap().unwrap(), "10.42.0.3");
        // From a pod to the node.
        let listener = TcpListener::bind("10.42.0.1:8080").unwrap();
        let client = inside(&a.netns, || TcpStream::connect("10.42.0.1:8080").map(|_| ()));
        assert_eq!(listener.accept().unwrap().1.ip().to_string(), "10.42.0.2");
        client.join().unwrap().unwrap();
        node.end();
    });
}

#[test]
fn what_leaves_the_cluster_carries_the_nodes_address() {
    isolated(|| {
        let node = Node::new();
        let pod = node.attach("a", &[]);
        // An outside world: a second namespace that knows nothing of pods, on a link of its own.
        let outside = node.folder.path().join("outside");
        let mut there = crate::netns::create(&outside, crate::link::Links::open).unwrap().unwrap();
        let mut here = crate::link::Links::open().unwrap();
        here.add_bridge("uplink", [2, 0, 0, 0, 0, 9], 1500).unwrap();
        let bridge = here.get("uplink").unwrap().unwrap().index;
        let file = std::fs::File::open(&outside).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        here.add_pair("wire", bridge, fd, [2, 0, 0, 0, 0, 8], 1500).unwrap();
        here.add_address(bridge, "192.0.2.1/24".parse().unwrap()).unwrap();
        let eth0 = there.get("eth0").unwrap().unwrap().index;
        there.add_address(eth0, "192.0.2.2/24".parse().unwrap()).unwrap();
        there.up(1).unwrap();
        there.up(eth0).unwrap();
        serve(outside.clone(), 80);
        let to: SocketAddr = "192.0.2.2:80".parse().unwrap();
        assert_eq!(inside(&pod.netns, move || ask(to)).join().unwrap().unwrap(), "192.0.2.1");
        crate::netns::remove(&outside).unwrap();
        here.remove("uplink").unwrap();
        node.end();
    });
}

#[test]
fn host_ports_lead_to_their_pod_from_everywhere() {
    isolated(|| {
        let node = Node::new();
        let any = node.attach("a", &[port(None, 8080, 80)]);
        let local =
            node.attach("b", &[port(Some("127.0.0.1"), 8081, 80), port(Some("10.43.0.10"), 8080, 80)]);
        serve(any.netns.clone(), 80);
        serve(local.netns.clone(), 80);
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let gateway = "10.42.0.1";
        assert_eq!(ask(address("10.42.0.1:8080")).unwrap(), gateway);
        assert_eq!(ask(address("127.0.0.1:8080")).unwrap(), gateway);
        assert_eq!(ask(address("127.0.0.1:8081")).unwrap(), gateway);
        ask(address("10.42.0.1:8081")).unwrap_err();
        // From a neighbour, and from the pod itself.
        let from = |netns: &Path, to: &str| {
            let to = address(to);
            inside(netns, move || ask(to)).join().unwrap().unwrap()
        };
        assert_eq!(from(&local.netns, "10.42.0.1:8080"), "10.42.0.3");
        assert_eq!(from(&any.netns, "10.42.0.1:8080"), gateway);
        // The more special address wins, and both survive a restart.
        assert_eq!(from(&local.netns, "10.43.0.10:8080"), gateway);
        let mut node = node;
        node.restart();
        assert_eq!(ask(address("127.0.0.1:8081")).unwrap(), gateway);
        node.runtime.block_on(node.network.detach("a")).unwrap();
        ask(address("127.0.0.1:8080")).unwrap_err();
        node.end();
    });
}

#[test]
fn a_udp_client_of_a_host_port_follows_the_pod() {
    isolated(|| {
        let node = Node::new();
        let udp = |uid: &str| {
            let port = HostPort { protocol: Protocol::Udp, ..port(None, 5300, 53) };
            let pod = node.attach(uid, &[port]);
            let name = uid.to_owned();
            let (ready, is_ready) = std::sync::mpsc::channel();
            inside(&pod.netns, move || {
                let socket = std::net::UdpSocket::bind("0.0.0.0:53").unwrap();
                ready.send(()).unwrap();
                let mut buffer = [0; 8];
                while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                    socket.send_to(name.as_bytes(), peer).unwrap();
                }
            });
            is_ready.recv().unwrap();
        };
        let client = std::net::UdpSocket::bind("10.42.0.1:4000").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let ask = || {
            client.send_to(b"?", "10.42.0.1:5300").unwrap();
            let mut buffer = [0; 8];
            client.recv(&mut buffer).map(|length| buffer[..length].to_vec())
        };
        udp("a");
        assert_eq!(ask().unwrap(), b"a");
        node.runtime.block_on(node.network.detach("a")).unwrap();
        udp("b");
        assert_eq!(ask().unwrap(), b"b");
        node.end();
    });
}

#[test]
fn pods_do_not_reach_the_nodes_loopback() {
    isolated(|| {
        let node = Node::new();
        let pod = node.attach("a", &[]);
        let listener = TcpListener::bind("127.0.0.1:9000").unwrap();
        listener.set_nonblocking(true).unwrap();
        let attempt = inside(&pod.netns, || {
            // Past the pod's own loopback, out of its link.
            let mut links = crate::link::Links::open().unwrap();
            let eth0 = links.get("eth0").unwrap().unwrap().index;
            crate::sysctl::set("ipv4/conf/eth0/route_localnet", "1").unwrap();
            links.add_route("127.0.0.0/8".parse().unwrap(), None, eth0, None).unwrap();
            links.remove_address(1, "127.0.0.1/8".parse().unwrap()).unwrap();
            TcpStream::connect_timeout(&"127.0.0.1:9000".parse().unwrap(), Duration::from_millis(300))
                .map(|_| ())
        });
        attempt.join().unwrap().unwrap_err();
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        node.end();
    });
}

#[test]
fn a_restart_adopts_what_lives_and_sweeps_what_does_not() {
    isolated(|| {
        let mut node = Node::new();
        let (a, b) = (node.attach("a", &[]), node.attach("b", &[port(None, 80, 80)]));
        let c = node.attach("c", &[]);
        assert_eq!(node.attach("a", &[]), a);
        // Of b only the link is lost, of c only the namespace; d was killed midway, and e's file was torn.
        let mut links = crate::link::Links::open().unwrap();
        links.remove(&b.link).unwrap();
        crate::netns::remove(&c.netns).unwrap();
        std::fs::write(node.folder.path().join("netns/d"), "").unwrap();
        std::fs::write(node.folder.path().join("leases/e.json"), "{").unwrap();
        node.restart();
        assert_eq!(node.list(), [a.clone(), b.clone()]);
        serve(b.netns.clone(), 80);
        assert_eq!(ask((b.ips[0], 80)).unwrap(), "10.42.0.1");
        assert!(!c.netns.exists() && !node.folder.path().join("netns/d").exists());
        assert_eq!(ours().len(), 3);
        // An address is not used twice.
        let d = node.attach("d", &[]);
        assert!(![&a, &b].iter().any(|other| other.ips == d.ips));
        node.end();
    });
}

#[test]
fn what_cannot_be_is_said() {
    isolated(|| {
        let folder = tempfile::tempdir().unwrap();
        let good = config(folder.path());
        let name = Config { bridge: "br0".into(), ..good.clone() };
        assert!(matches!(Network::open(name), Err(Error::Name { .. })));
        let small = Config { pod_cidr: "10.42.0.0/30".parse().unwrap(), ..good.clone() };
        let network = Network::open(small).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let attach = |uid: &str| runtime.block_on(network.attach(uid, "default", "web", &[]));
        attach("a").unwrap();
        assert_eq!(
            attach("b").unwrap_err().to_string(),
            "no address is left in 10.42.0.0/30 for pod default/web"
        );
        assert!(matches!(attach("../b"), Err(Error::Uid { .. })));
        runtime.block_on(network.detach("a")).unwrap();
        runtime.block_on(network.detach("a")).unwrap();
        attach("b").unwrap();
        drop(network);
        Network::uninstall(&good.state, &good.run).unwrap();
    });
}

/// Prints what an attach and a detach take; asserts nothing about time.
#[test]
fn thirty_pods_come_and_go() {
    isolated(|| {
        let node = Node::new();
        let start = Instant::now();
        let pods: Vec<_> = (0..30).map(|number| node.attach(&format!("p{number}"), &[])).collect();
        let attached = start.elapsed() / 30;
        let start = Instant::now();
        for pod in &pods {
            node.runtime.block_on(node.network.detach(&pod.uid)).unwrap();
        }
        println!("attach {attached:?}, detach {:?}", start.elapsed() / 30);
        assert_eq!(node.list(), []);
        node.end();
    });
}
