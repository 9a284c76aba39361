//! etcd itself, for tests: a cluster of one or three members on the loopback, which can be killed and started again.
//!
//! The program is `$SKIFF_ETCD` or `target/upstream/etcd`, where `cargo xtask faults etcd` builds it (that needs Go). Without it a test
//! says so and does nothing.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where etcd is; tells who misses it how to get it.
pub fn find() -> Option<PathBuf> {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/upstream/etcd");
    let program = std::env::var_os("SKIFF_ETCD").map_or_else(built, PathBuf::from);
    if program.is_file() {
        return Some(program);
    }
    eprintln!("NOT RUN: there is no etcd at {} (cargo xtask faults etcd builds it)", program.display());
    None
}

pub struct Cluster {
    program: PathBuf,
    folder: tempfile::TempDir,
    /// Ports for clients and peers.
    ports: Vec<(u16, u16)>,
    members: Vec<Option<Child>>,
    /// More arguments of every member.
    extra: Vec<String>,
    scheme: &'static str,
}

fn ports(count: usize) -> Vec<(u16, u16)> {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let held: Vec<_> = (0..count).map(|_| (bind(), bind())).collect();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    held.iter().map(|(one, other)| (port(one), port(other))).collect()
}

impl Cluster {
    pub fn start(program: PathBuf, members: usize) -> Cluster {
        Cluster::start_with(program, members, "http", |_| Vec::new())
    }

    /// `extra` is told the cluster's folder.
    pub fn start_with(
        program: PathBuf,
        members: usize,
        scheme: &'static str,
        extra: impl Fn(&Path) -> Vec<String>,
    ) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let extra = extra(folder.path());
        let ports = ports(members);
        let mut cluster =
            Cluster { program, folder, ports, members: (0..members).map(|_| None).collect(), extra, scheme };
        (0..members).for_each(|member| cluster.start_member(member));
        (0..members).for_each(|member| cluster.wait(member));
        cluster
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.ports.iter().map(|(client, _)| format!("{}://127.0.0.1:{client}", self.scheme)).collect()
    }

    /// Starts a member on what it kept.
    pub fn start_member(&mut self, member: usize) {
        let peer = |(_, port): &(u16, u16)| format!("http://127.0.0.1:{port}");
        let client = self.endpoints()[member].clone();
        let own = peer(&self.ports[member]);
        let all: Vec<String> =
            self.ports.iter().enumerate().map(|(at, ports)| format!("m{at}={}", peer(ports))).collect();
        let log = std::fs::File::create(self.folder.path().join(format!("m{member}.log"))).unwrap();
        let mut command = Command::new(&self.program);
        command
            .arg("--data-dir")
            .arg(self.folder.path().join(format!("m{member}")))
            .args(["--name", &format!("m{member}"), "--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client, "--listen-peer-urls", &own])
            .args(["--initial-advertise-peer-urls", &own, "--initial-cluster", &all.join(",")])
            .args(&self.extra)
            .stdout(Stdio::null())
            .stderr(log);
        self.members[member] = Some(command.spawn().unwrap());
    }

    /// `kill -9`.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Until the member accepts connections.
    pub fn wait(&self, member: usize) {
        let address = SocketAddr::from(([127, 0, 0, 1], self.ports[member].0));
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "member {member} of etcd does not start");
            std::thread::yield_now();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in 0..self.members.len() {
            self.kill(member);
        }
    }
}
