//! What the network thread does: the kernel's side of [`super::Network`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use super::{Attachment, Config, Error};
use crate::ipam::Pool;
use crate::lease::{HostPort, Lease, Leases, Protocol};
use crate::link::{Link, Links, mac};
use crate::{PREFIX, conntrack, netns, nft, rules, sysctl};

pub(super) struct Worker {
    config: Config,
    links: Links,
    bridge: Link,
    pool: Pool,
    leases: Leases,
    pods: BTreeMap<String, Lease>,
    table: nft::Table,
}

impl Worker {
    pub(super) fn open(config: Config) -> Result<Worker, Error> {
        for name in [&config.bridge, &config.table] {
            if !name.starts_with(PREFIX) || name.len() > 15 {
                return Err(Error::Name { name: name.clone() });
            }
        }
        fs::create_dir_all(&config.run)
            .map_err(|source| Error::Folder { path: config.run.clone(), source })?;
        let leases = Leases::open(&config.state)?;
        let mut links = Links::open()?;
        sysctl::set("ipv4/ip_forward", "1")?;
        let pool = Pool::new(config.pod_cidr);
        let bridge = bridge(&config, &mut links, pool.gateway())?;
        let table = nft::Table::new(&config.table)?;
        let mut worker = Worker { config, links, bridge, pool, leases, pods: BTreeMap::new(), table };
        worker.adopt()?;
        worker.sweep()?;
        worker.rules()?;
        Ok(worker)
    }

    /// Takes over the pods whose namespaces are alive, and heals links that somebody removed.
    fn adopt(&mut self) -> Result<(), Error> {
        for lease in self.leases.read()? {
            if !netns::is_alive(&self.netns(&lease.uid)) {
                self.leases.remove(&lease.uid)?;
                continue;
            }
            self.pool.take(lease.address);
            if let Err(error) = self.plumb(&lease) {
                tracing::warn!(pod = lease.uid, error = %base::chain(&error), "a pod's link cannot be healed");
            }
            self.pods.insert(lease.uid.clone(), lease);
        }
        Ok(())
    }

    /// Removes links and namespaces that no lease knows: of an attach or detach that was killed midway.
    fn sweep(&mut self) -> Result<(), Error> {
        let known: Vec<String> = self.pods.keys().map(|uid| link_name(uid)).collect();
        for link in self.links.list()? {
            if link.kind == "veth" && link.name.starts_with(PREFIX) && !known.contains(&link.name) {
                self.links.remove(&link.name)?;
            }
        }
        let folder = &self.config.run;
        let fail = |source| Error::Folder { path: folder.clone(), source };
        for entry in fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            if !self.pods.contains_key(&*entry.file_name().to_string_lossy()) {
                netns::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes the whole table anew, in one transaction.
    fn rules(&mut self) -> Result<(), Error> {
        let mut fragments = vec![(String::new(), rules::base(&self.config))];
        fragments.extend(self.pods.values().map(|lease| (lease.uid.clone(), rules::pod(lease))));
        Ok(self.table.replace(fragments)?)
    }

    pub(super) fn attach(&mut self, mut lease: Lease) -> Result<Attachment, Error> {
        if lease.uid.is_empty()
            || lease.uid.starts_with('.')
            || lease.uid.contains('/')
            || lease.uid.len() > 200
        {
            return Err(Error::Uid { uid: lease.uid });
        }
        if let Some(old) = self.pods.get(&lease.uid) {
            lease.address = old.address;
            if *old == lease && netns::is_alive(&self.netns(&lease.uid)) && self.plumb(&lease).is_ok() {
                return Ok(self.attachment(&lease));
            }
        } else {
            lease.address = self.pool.allocate().ok_or_else(|| Error::Full {
                range: self.config.pod_cidr,
                pod: format!("{}/{}", lease.namespace, lease.name),
            })?;
        }
        let uid = lease.uid.clone();
        self.pods.insert(uid.clone(), lease.clone());
        match self.make(&lease) {
            Ok(()) => Ok(self.attachment(&lease)),
            Err(error) => {
                if let Err(error) = self.detach(&uid) {
                    tracing::warn!(pod = uid, error = %base::chain(&error), "a half-made link stays until a restart");
                }
                Err(error)
            }
        }
    }

    fn make(&mut self, lease: &Lease) -> Result<(), Error> {
        self.leases.write(lease)?;
        let path = self.netns(&lease.uid);
        if netns::is_alive(&path) {
            self.plumb(lease)?;
        } else {
            // A link that is left belongs to a namespace that died with its file.
            self.links.remove(&link_name(&lease.uid))?;
            let inside = netns::create(&path, || {
                settings();
                Links::open()
            })??;
            self.connect(lease, inside)?;
        }
        self.table.update(vec![(lease.uid.clone(), Some(rules::pod(lease)))])?;
        forget(lease, Some(lease.address));
        Ok(())
    }

    /// Connects a live namespace whose link is missing.
    fn plumb(&mut self, lease: &Lease) -> Result<(), Error> {
        if self.links.get(&link_name(&lease.uid))?.is_some() {
            return Ok(());
        }
        let inside = netns::enter(&self.netns(&lease.uid), Links::open)??;
        self.connect(lease, inside)
    }

    fn connect(&mut self, lease: &Lease, mut inside: Links) -> Result<(), Error> {
        let path = self.netns(&lease.uid);
        let namespace = File::open(&path).map_err(|source| Error::Folder { path, source })?;
        let (name, mtu) = (link_name(&lease.uid), self.config.mtu);
        let hardware = mac(lease.address);
        self.links.add_pair(&name, self.bridge.index, namespace.as_raw_fd(), hardware, mtu)?;
        inside.up(1)?;
        let eth0 = inside
            .get("eth0")?
            .ok_or_else(|| Error::LostLink { pod: format!("{}/{}", lease.namespace, lease.name) })?;
        let gateway = self.pool.gateway();
        inside.up(eth0.index)?;
        inside.add_address(eth0.index, host(lease.address))?;
        inside.add_route(host(gateway), None, eth0.index, None)?;
        Ok(inside.add_route(Ipv4Net::default(), Some(gateway), eth0.index, None)?)
    }

    pub(super) fn detach(&mut self, uid: &str) -> Result<(), Error> {
        let Some(lease) = self.pods.get(uid).cloned() else { return Ok(()) };
        self.table.update(vec![(uid.to_owned(), None)])?;
        // The kernel removes the link with the namespace, on its own time; asking for it would hold up other pods for
        // tens of milliseconds. If a process still lives in there, `make` or `sweep` removes the link.
        netns::remove(&self.netns(uid))?;
        self.leases.remove(uid)?;
        forget(&lease, None);
        self.pool.release(lease.address);
        self.pods.remove(uid);
        Ok(())
    }

    pub(super) fn get(&self, uid: &str) -> Option<Attachment> {
        let lease = self.pods.get(uid)?;
        netns::is_alive(&self.netns(uid)).then(|| self.attachment(lease))
    }

    pub(super) fn list(&self) -> Vec<Attachment> {
        self.pods.keys().filter_map(|uid| self.get(uid)).collect()
    }

    fn netns(&self, uid: &str) -> PathBuf {
        self.config.run.join(uid)
    }

    fn attachment(&self, lease: &Lease) -> Attachment {
        Attachment {
            uid: lease.uid.clone(),
            namespace: lease.namespace.clone(),
            name: lease.name.clone(),
            netns: self.netns(&lease.uid),
            ips: vec![lease.address.into()],
            gateway: self.pool.gateway(),
            mac: mac(lease.address),
            link: link_name(&lease.uid),
            host_ports: lease.host_ports.clone(),
        }
    }
}

/// Brings the bridge to what the configuration says.
fn bridge(config: &Config, links: &mut Links, gateway: Ipv4Addr) -> Result<Link, Error> {
    let name = &config.bridge;
    links.add_bridge(name, mac(gateway), config.mtu)?;
    let bridge = links.get(name)?.filter(|link| link.kind == "bridge");
    let bridge = bridge.ok_or_else(|| Error::NoBridge { name: name.clone() })?;
    links.up(bridge.index)?;
    let own = Ipv4Net::new(gateway, config.pod_cidr.prefix_len()).unwrap_or(host(gateway));
    let wanted: Vec<Ipv4Net> = [own].into_iter().chain(config.addresses.iter().copied().map(host)).collect();
    for old in links.addresses(bridge.index)? {
        if !wanted.contains(&old) {
            links.remove_address(bridge.index, old)?;
        }
    }
    for address in wanted {
        links.add_address(bridge.index, address)?;
    }
    if let Some(services) = config.service_cidr {
        links.add_route(services, None, bridge.index, Some(gateway))?;
    }
    // A host port is also reached at 127.0.0.1; the rules drop what pods would send there (see `rules`).
    sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
    // Pods hang on one bridge but must not be told to reach each other over it, past NAT; and redirects, of which pods
    // take none, would use up the few ICMP errors a second that the kernel lets out, such as a Service's refusal. The
    // kernel obeys the larger of "all" and the link's own setting, so other links keep theirs.
    sysctl::set_if_known("ipv4/conf/all/send_redirects", "0");
    sysctl::set_if_known(&format!("ipv4/conf/{name}/send_redirects"), "0");
    sysctl::set_if_known(&format!("ipv6/conf/{name}/accept_ra"), "0");
    Ok(bridge)
}

/// What a pod's namespace starts with. Must run inside it, before its link exists.
fn settings() {
    for scope in ["all", "default"] {
        // A redirect would tell the pod to reach its neighbour without the node, past NAT.
        sysctl::set_if_known(&format!("ipv4/conf/{scope}/accept_redirects"), "0");
        sysctl::set_if_known(&format!("ipv6/conf/{scope}/accept_ra"), "0");
        // A hairpin port sends the pod's own search for duplicates back to it.
        sysctl::set_if_known(&format!("ipv6/conf/{scope}/accept_dad"), "0");
    }
    // As containerd does for Kubernetes: without NET_BIND_SERVICE and NET_RAW a pod may serve port 80, and ping.
    sysctl::set_if_known("ipv4/ip_unprivileged_port_start", "0");
    sysctl::set_if_known("ipv4/ping_group_range", "0 2147483647");
}

/// Forgets UDP flows to a pod's host ports that lead elsewhere than to `now`: to a predecessor, or to nobody.
fn forget(lease: &Lease, now: Option<Ipv4Addr>) {
    let udp = |port: &&HostPort| port.protocol == Protocol::Udp;
    let ports: Vec<u16> = lease.host_ports.iter().filter(udp).map(|port| port.host_port).collect();
    if ports.is_empty() {
        return;
    }
    let stale = |flow: &conntrack::Flow| {
        ports.contains(&flow.to.1)
            && now.map_or(flow.endpoint.0 == lease.address, |now| flow.endpoint.0 != now)
    };
    if let Err(error) = conntrack::forget(stale) {
        tracing::warn!(pod = lease.uid, error = %base::chain(&error), "old UDP flows to host ports stay");
    }
}

/// The node's end of a pod's link: `skiff` and 40 bits of the uid's FNV-1a hash, for a name has 15 bytes.
fn link_name(uid: &str) -> String {
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{PREFIX}{:010x}", hash >> 24)
}

fn host(address: Ipv4Addr) -> Ipv4Net {
    Ipv4Net::new(address, 32).expect("because 32 is a prefix length")
}

pub(super) fn uninstall(state: &Path, run: &Path) -> Result<(), Error> {
    for table in nft::tables()?.iter().filter(|name| name.starts_with(PREFIX)) {
        nft::Table::new(table)?.remove()?;
    }
    let mut links = Links::open()?;
    for link in links.list()? {
        if link.name.starts_with(PREFIX) && ["bridge", "veth", "dummy"].contains(&&*link.kind) {
            links.remove(&link.name)?;
        }
    }
    if let Ok(entries) = fs::read_dir(run) {
        for entry in entries.flatten() {
            netns::remove(&entry.path())?;
        }
    }
    for folder in [run, state] {
        match fs::remove_dir_all(folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Folder { path: folder.to_owned(), source });
            }
            _ => {}
        }
    }
    Ok(())
}
