//! One Service to its part of the rules. Pure: same input, same output, and every rule is in it.
//!
//! Endpoints are elements of two maps, all usable ones and those of this node, and a ClusterIP leads to a shared chain
//! that picks one of so many. So a plain Service is made of elements alone, and an endpoint that takes another's place
//! changes no rule and no verdict, after which the kernel would check the whole table. What is reached from outside
//! (nodePort, external and load balancer addresses) has a chain `external-…` that decides on the policy. With client
//! affinity each endpoint has a chain, and a set of the clients that were sent there.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use net::Protocol;
use net::nft::{Chain, Datum, Element, Fragment, Select, Set, SetKind, Statement, Type, Value, Verdict};

use crate::base_rules::{
    CLUSTER_IPS, ENDPOINTS, FIREWALL, LOCAL_ENDPOINTS, NO_ENDPOINT_PORTS, NO_ENDPOINTS, NODE_PORTS, PICKED,
    REJECT, SERVICES, pick,
};
use crate::endpoints::{Target, Usable, collect, usable};

#[cfg(test)]
mod tests;

/// A Service with this label has another proxy.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";
/// Upstream's default for `ClientIP` affinity.
const AFFINITY: i32 = 10_800;

/// Where the rules will work.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    /// `topology.kubernetes.io/zone`; empty if it has none.
    pub zone: String,
    pub cluster_cidr: Ipv4Net,
    pub local_addresses: Vec<Ipv4Addr>,
}

/// What becomes of one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    pub fragment: Fragment,
    /// UDP ports, for conntrack.
    pub udp: Vec<Udp>,
    /// Port to answer load balancers' health checks on, and how many endpoints are ready here.
    pub health: Option<(u16, usize)>,
}

/// One UDP port of a Service: where it is reached, and whom it may lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Udp {
    pub addresses: BTreeSet<(Ipv4Addr, u16)>,
    pub node_port: Option<u16>,
    pub endpoints: BTreeSet<(Ipv4Addr, u16)>,
}

/// Rules for `service`, given its slices in order of name. Empty for what needs none: headless, ExternalName, IPv6.
pub fn compile(service: &Service, slices: &[EndpointSlice], node: &Node) -> Compiled {
    let mut compiled = Compiled::default();
    let labels = service.metadata.labels.as_ref();
    let Some(spec) = &service.spec else { return compiled };
    if spec.type_.as_deref() == Some("ExternalName")
        || labels.is_some_and(|labels| labels.contains_key(OTHER_PROXY))
    {
        return compiled;
    }
    let Some(cluster_ip) = cluster_ip(spec) else { return compiled };
    if node.local_addresses.contains(&cluster_ip) {
        return compiled;
    }
    let facing = Facing::of(service, spec, cluster_ip);
    compiled.fragment.elements.push(Element::new(CLUSTER_IPS, [Value::Address(cluster_ip)], Datum::Member));
    let mut local = BTreeSet::new();
    for port in spec.ports.iter().flatten() {
        let Some(port) = Port::of(service, spec, port, &facing, slices, node) else { continue };
        local.extend(port.usable.local.iter().map(|(address, _)| *address));
        port.compile(&mut compiled.fragment, node);
        compiled.udp.extend(port.udp());
    }
    compiled.health = spec
        .health_check_node_port
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0 && facing.external_local)
        .map(|port| (port, local.len()));
    compiled
}

fn cluster_ip(spec: &ServiceSpec) -> Option<Ipv4Addr> {
    let all = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    all.filter_map(|text| text.parse().ok()).next()
}

/// How a Service is reached, the same for all its ports.
struct Facing {
    cluster_ip: Ipv4Addr,
    external_ips: Vec<Ipv4Addr>,
    balancer_ips: Vec<Ipv4Addr>,
    source_ranges: Vec<Ipv4Net>,
    internal_local: bool,
    external_local: bool,
    affinity: Option<Duration>,
}

impl Facing {
    fn of(service: &Service, spec: &ServiceSpec, cluster_ip: Ipv4Addr) -> Facing {
        let ingress = service.status.iter().filter_map(|status| status.load_balancer.as_ref());
        let ingress = ingress.flat_map(|balancer| balancer.ingress.iter().flatten());
        let seconds = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = seconds.and_then(|config| config.timeout_seconds).unwrap_or(AFFINITY).max(1);
        let sticky = spec.session_affinity.as_deref() == Some("ClientIP");
        Facing {
            cluster_ip,
            external_ips: spec.external_ips.iter().flatten().filter_map(|text| text.parse().ok()).collect(),
            balancer_ips: ingress
                .filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"))
                .filter_map(|ingress| ingress.ip.as_ref()?.parse().ok())
                .collect(),
            source_ranges: spec
                .load_balancer_source_ranges
                .iter()
                .flatten()
                .filter_map(|text| text.trim().parse::<Ipv4Net>().ok())
                .map(|net| net.trunc())
                .collect(),
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
            affinity: sticky.then(|| Duration::from_secs(seconds.unsigned_abs().into())),
        }
    }
}

/// The way to one of some endpoints: for packets that go to the ClusterIP, a chain; for others, a statement.
struct Way {
    chain: String,
    go: Statement,
}

struct Port<'a> {
    /// `<namespace>/<name>/<protocol>/<port's name>`, unique in the table.
    id: String,
    protocol: Protocol,
    number: u16,
    node_port: Option<u16>,
    facing: &'a Facing,
    externally: bool,
    usable: Usable,
}

impl<'a> Port<'a> {
    /// `None` for a port that says nonsense, which validation should have refused.
    fn of(
        service: &Service,
        spec: &ServiceSpec,
        port: &ServicePort,
        facing: &'a Facing,
        slices: &[EndpointSlice],
        node: &Node,
    ) -> Option<Port<'a>> {
        let word = port.protocol.as_deref().unwrap_or("TCP");
        let protocol: Protocol = word.parse().ok()?;
        let name = port.name.as_deref().unwrap_or_default();
        let open = matches!(spec.type_.as_deref(), Some("NodePort" | "LoadBalancer"));
        let node_port = port.node_port.filter(|number| open && *number != 0);
        let node_port = node_port.and_then(|number| u16::try_from(number).ok());
        let externally =
            node_port.is_some() || !facing.external_ips.is_empty() || !facing.balancer_ips.is_empty();
        let uses_cluster = !facing.internal_local || externally;
        let uses_local = facing.internal_local || (facing.external_local && externally);
        let metadata = &service.metadata;
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        Some(Port {
            id: format!("{namespace}/{}/{}/{name}", metadata.name.as_deref()?, protocol.name()),
            protocol,
            number: u16::try_from(port.port).ok()?,
            node_port,
            facing,
            externally,
            usable: usable(&collect(slices, name, word, node), uses_cluster, uses_local),
        })
    }

    fn compile(&self, out: &mut Fragment, node: &Node) {
        let (facing, usable) = (self.facing, &self.usable);
        let external = format!("external-{}", self.id);
        let cluster = self.balance(out, "service", ENDPOINTS, &usable.cluster);
        let local = self.balance(out, "local", LOCAL_ENDPOINTS, &usable.local);
        self.remember(out);
        let choose = |stays: bool| if stays { local.as_ref() } else { cluster.as_ref() };
        // Nobody at all: refused. Nobody here, where the policy wants somebody here: dropped.
        let refusal = if usable.any { Verdict::Drop } else { Verdict::Goto(REJECT.into()) };
        let serve = |out: &mut Fragment, address: Ipv4Addr, chain: Option<&String>, refused: bool| {
            let key = self.key(address);
            if let Some(chain) = chain {
                let verdict = Datum::Verdict(Verdict::Goto(chain.clone()));
                out.elements.push(Element::new(SERVICES, key.clone(), verdict));
            }
            if refused {
                out.elements.push(Element::new(NO_ENDPOINTS, key, Datum::Verdict(refusal.clone())));
            }
        };

        let inward = choose(facing.internal_local);
        serve(out, facing.cluster_ip, inward.map(|way| &way.chain), inward.is_none());
        if !self.externally {
            return;
        }
        let outward = choose(facing.external_local);
        let entry = usable.any.then_some(&external);
        if entry.is_some() {
            out.chains.push(Chain::new(&external, self.external(node, outward, cluster.as_ref())));
        }
        for address in facing.external_ips.iter().chain(&facing.balancer_ips) {
            serve(out, *address, entry, outward.is_none());
        }
        self.guard(out);
        if let Some(port) = self.node_port {
            let key = [Value::Protocol(self.protocol.number()), Value::Port(port)];
            if entry.is_some() {
                let verdict = Datum::Verdict(Verdict::Goto(external.clone()));
                out.elements.push(Element::new(NODE_PORTS, key, verdict));
            }
            if outward.is_none() {
                out.elements.push(Element::new(NO_ENDPOINT_PORTS, key, Datum::Verdict(refusal.clone())));
            }
        }
    }

    /// What comes from outside. With policy Cluster it may leave again for another node, so answers must come back
    /// here; with Local, only pods and the node itself may use endpoints elsewhere.
    fn external(&self, node: &Node, outward: Option<&Way>, cluster: Option<&Way>) -> Vec<Vec<Statement>> {
        use Statement as S;
        let mut rules = Vec::new();
        if !self.facing.external_local {
            rules.push(vec![S::Mark]);
        } else if let Some(anywhere) = cluster {
            rules.push(vec![S::SourceIn(node.cluster_cidr), anywhere.go.clone()]);
            rules.push(vec![S::SourceLocal, S::Mark, anywhere.go.clone()]);
        }
        rules.extend(outward.map(|way| vec![way.go.clone()]));
        rules
    }

    /// How one of `targets` is chosen; `None` if there is none.
    fn balance(&self, out: &mut Fragment, word: &str, map: &str, targets: &[Target]) -> Option<Way> {
        if targets.is_empty() {
            return None;
        }
        let name = format!("{word}-{}", self.id);
        let Some(timeout) = self.facing.affinity else {
            let key = self.key(self.facing.cluster_ip);
            for (number, (address, port)) in (0..).zip(targets) {
                let mut key = key.clone();
                key.push(Value::Number(number));
                let to: Box<[Value]> = Box::new([Value::Address(*address), Value::Port(*port)]);
                out.elements.push(Element::new(map, key, Datum::Values(to)));
            }
            let mut chain = pick(map, targets.len());
            if targets.len() > PICKED {
                chain.name = name;
                out.chains.push(chain.clone());
            }
            let go = Statement::Balance(key.into(), targets.len(), map.to_owned());
            return Some(Way { chain: chain.name, go });
        };
        let known = |target: &Target| {
            let set = self.clients(target, timeout);
            vec![
                Statement::InSet(vec![Select::Source], set),
                Statement::Verdict(Verdict::Goto(self.endpoint(target))),
            ]
        };
        let mut rules: Vec<_> = targets.iter().map(known).collect();
        rules.push(vec![Statement::BalanceChains(
            targets.iter().map(|target| self.endpoint(target)).collect(),
        )]);
        out.chains.push(Chain::new(&name, rules));
        let go = Statement::Verdict(Verdict::Goto(name.clone()));
        Some(Way { chain: name, go })
    }

    /// With client affinity, a chain and a set of clients for each endpoint.
    fn remember(&self, out: &mut Fragment) {
        let Some(timeout) = self.facing.affinity else { return };
        let targets: BTreeSet<&Target> = self.usable.cluster.iter().chain(&self.usable.local).collect();
        for target in targets {
            let set = self.clients(target, timeout);
            let kind = SetKind::Dynamic(timeout);
            out.sets.push(Set { name: set.clone(), key: vec![Type::Address], kind });
            out.chains.push(Chain::new(
                self.endpoint(target),
                vec![
                    vec![Statement::Remember(vec![Select::Source], set, timeout)],
                    vec![
                        Statement::Protocol(self.protocol.number()),
                        Statement::TranslateTo(target.0, target.1),
                    ],
                ],
            ));
        }
    }

    fn endpoint(&self, (address, port): &Target) -> String {
        format!("endpoint-{}/{address}/{port}", self.id)
    }

    /// The timeout is part of the name: the kernel cannot change that of a set.
    fn clients(&self, (address, port): &Target, timeout: Duration) -> String {
        format!("affinity-{}-{}/{address}/{port}", timeout.as_secs(), self.id)
    }

    /// Drops what comes to a load balancer's address from outside its source ranges.
    fn guard(&self, out: &mut Fragment) {
        let facing = self.facing;
        if facing.balancer_ips.is_empty() || facing.source_ranges.is_empty() {
            return;
        }
        let name = format!("firewall-{}", self.id);
        let allow = |net: &Ipv4Net| vec![Statement::SourceIn(*net), Statement::Verdict(Verdict::Return)];
        let mut rules: Vec<_> = facing.source_ranges.iter().map(allow).collect();
        rules.push(vec![Statement::Verdict(Verdict::Drop)]);
        out.chains.push(Chain::new(&name, rules));
        for address in &facing.balancer_ips {
            let verdict = Datum::Verdict(Verdict::Goto(name.clone()));
            out.elements.push(Element::new(FIREWALL, self.key(*address), verdict));
        }
    }

    fn key(&self, address: Ipv4Addr) -> Vec<Value> {
        vec![Value::Address(address), Value::Protocol(self.protocol.number()), Value::Port(self.number)]
    }

    fn udp(&self) -> Option<Udp> {
        let facing = self.facing;
        let addresses = [facing.cluster_ip].into_iter();
        let addresses = addresses.chain(facing.external_ips.clone()).chain(facing.balancer_ips.clone());
        (self.protocol == Protocol::Udp).then(|| Udp {
            addresses: addresses.map(|address| (address, self.number)).collect(),
            node_port: self.node_port,
            endpoints: self.usable.cluster.iter().chain(&self.usable.local).copied().collect(),
        })
    }
}
