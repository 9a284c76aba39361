//! The chains and maps that all Services share. Pure.

use ipnet::Ipv4Net;
use net::nft::{Chain, Fragment, HookPoint, Select, Set, SetKind, Statement, Type, Verdict};

/// Address, protocol and port to the chain that serves them.
pub(crate) const SERVICES: &str = "service-ips";
/// Protocol and port of the node, likewise.
pub(crate) const NODE_PORTS: &str = "node-ports";
/// What is rejected or dropped for want of endpoints.
pub(crate) const NO_ENDPOINTS: &str = "no-endpoints";
pub(crate) const NO_ENDPOINT_PORTS: &str = "no-endpoint-ports";
/// A ClusterIP, protocol, port and a number below the count of endpoints to one of those: all usable ones, and those of
/// this node.
pub(crate) const ENDPOINTS: &str = "endpoints";
pub(crate) const LOCAL_ENDPOINTS: &str = "local-endpoints";
pub(crate) const CLUSTER_IPS: &str = "cluster-ips";
/// Load balancer addresses with source ranges.
pub(crate) const FIREWALL: &str = "firewall-ips";
pub(crate) const REJECT: &str = "reject-all";

/// Up to this many endpoints, a Service needs no chain of its own.
pub(crate) const PICKED: usize = 16;

/// The chain that picks one of `count` endpoints in `map`, by the address and port that the packet goes to.
pub(crate) fn pick(map: &str, count: usize) -> Chain {
    let fields = vec![Select::Destination, Select::Protocol, Select::DestinationPort];
    let rule = vec![Statement::BalanceBy(fields, count, map.to_owned())];
    Chain::new(format!("{map}-{count}"), vec![rule])
}

/// The base of the table.
pub fn base(cluster: Ipv4Net, services: Option<Ipv4Net>) -> Fragment {
    use Statement as S;
    let full = || vec![Type::Address, Type::Protocol, Type::Port];
    let short = || vec![Type::Protocol, Type::Port];
    let address = || vec![Select::Destination, Select::Protocol, Select::DestinationPort];
    let port = || vec![Select::Protocol, Select::DestinationPort];
    let verdicts = |name: &str, key| Set { name: name.into(), key, kind: SetKind::Verdicts };
    let endpoints = |name: &str| Set {
        name: name.into(),
        key: vec![Type::Address, Type::Protocol, Type::Port, Type::Number],
        kind: SetKind::Map(vec![Type::Address, Type::Port]),
    };
    let jump = |chain: &str| vec![S::Verdict(Verdict::Jump(chain.into()))];
    // After destination NAT, a packet that still goes to a ClusterIP goes to a port that the Service does not have.
    let mut stray = vec![vec![S::InSet(vec![Select::Destination], CLUSTER_IPS.into()), S::Reject]];
    if let Some(services) = services {
        stray.push(vec![S::DestinationIn(services), S::DestinationNotLocal, S::Verdict(Verdict::Drop)]);
    }
    let unserved = || vec![vec![S::Follow(address(), NO_ENDPOINTS.into())]];
    let with = |mut rules: Vec<Vec<Statement>>, more: &[Vec<Statement>]| {
        rules.extend_from_slice(more);
        rules
    };
    let unserved_port = vec![S::DestinationLocal, S::Follow(port(), NO_ENDPOINT_PORTS.into())];
    let guarded = || vec![vec![S::Follow(address(), FIREWALL.into())]];
    let picks = [ENDPOINTS, LOCAL_ENDPOINTS].into_iter();
    let picks = picks.flat_map(|map| (1..=PICKED).map(move |count| pick(map, count)));
    Fragment {
        sets: vec![
            verdicts(SERVICES, full()),
            verdicts(NODE_PORTS, short()),
            verdicts(NO_ENDPOINTS, full()),
            verdicts(NO_ENDPOINT_PORTS, short()),
            verdicts(FIREWALL, full()),
            endpoints(ENDPOINTS),
            endpoints(LOCAL_ENDPOINTS),
            Set { name: CLUSTER_IPS.into(), key: vec![Type::Address], kind: SetKind::Members },
        ],
        chains: picks
            .chain([
                Chain::new(REJECT, vec![vec![S::Reject]]),
                Chain::new(
                    "services",
                    vec![
                        vec![
                            S::SourceNotIn(cluster),
                            S::InSet(vec![Select::Destination], CLUSTER_IPS.into()),
                            S::Mark,
                        ],
                        vec![S::Follow(address(), SERVICES.into())],
                        vec![S::DestinationLocal, S::Follow(port(), NODE_PORTS.into())],
                    ],
                ),
                Chain::base("guard-in", "filter", HookPoint::Prerouting, -110, guarded()),
                Chain::base("guard-out", "filter", HookPoint::Output, -110, guarded()),
                Chain::base("translate-in", "nat", HookPoint::Prerouting, -100, vec![jump("services")]),
                Chain::base("translate-out", "nat", HookPoint::Output, -100, vec![jump("services")]),
                Chain::base(
                    "masquerading",
                    "nat",
                    HookPoint::Postrouting,
                    100,
                    vec![vec![S::Marked, S::Unmark, S::Masquerade]],
                ),
                Chain::base("check-in", "filter", HookPoint::Input, 0, with(unserved(), &[unserved_port])),
                Chain::base("check-through", "filter", HookPoint::Forward, 0, with(unserved(), &stray)),
                Chain::base("check-out", "filter", HookPoint::Output, 0, with(unserved(), &stray)),
            ])
            .collect(),
        elements: Vec::new(),
    }
}
