//! The rules of `net`'s own table: masquerading, host ports, hairpins, and what keeps pods off the node's loopback.
//! Pure.

use ipnet::Ipv4Net;

use crate::lease::Lease;
use crate::network::Config;
use crate::nft::{
    Chain, Datum, Element, Fragment, HookPoint, Select, Set, SetKind, Statement, Type, Value, Verdict,
};

/// Host ports on every address of the node, and on one.
const PORTS: &str = "host-ports";
const ADDRESS_PORTS: &str = "host-address-ports";
/// Each pod's address twice: a packet in it was sent by a pod to itself, by way of the node.
const HAIRPINS: &str = "hairpins";

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("because it is a literal")
}

/// What stays the same for the table's life.
pub(crate) fn base(config: &Config) -> Fragment {
    use Select::{Destination, DestinationPort, Protocol, Source};
    use Statement as S;
    let bridge = &config.bridge;
    let host_ports = || {
        vec![
            vec![S::TranslateBy(vec![Destination, Protocol, DestinationPort], ADDRESS_PORTS.into())],
            vec![S::DestinationLocal, S::TranslateBy(vec![Protocol, DestinationPort], PORTS.into())],
        ]
    };
    let to = || SetKind::Map(vec![Type::Address, Type::Port]);
    Fragment {
        sets: vec![
            Set { name: PORTS.into(), key: vec![Type::Protocol, Type::Port], kind: to() },
            Set {
                name: ADDRESS_PORTS.into(),
                key: vec![Type::Address, Type::Protocol, Type::Port],
                kind: to(),
            },
            Set { name: HAIRPINS.into(), key: vec![Type::Address, Type::Address], kind: SetKind::Members },
        ],
        chains: vec![
            // The bridge has route_localnet, so that answers to a host port's 127.0.0.1 are accepted. What pods send
            // to loopback goes before conntrack (-300, raw): answers still carry the bridge's address there.
            Chain::base(
                "loopback",
                "filter",
                HookPoint::Prerouting,
                -300,
                vec![vec![
                    S::InInterface(bridge.clone()),
                    S::DestinationIn(net("127.0.0.0/8")),
                    S::Verdict(Verdict::Drop),
                ]],
            ),
            Chain::base("ports-in", "nat", HookPoint::Prerouting, -99, host_ports()),
            Chain::base("ports-out", "nat", HookPoint::Output, -99, host_ports()),
            Chain::base(
                "source",
                "nat",
                HookPoint::Postrouting,
                100,
                vec![
                    vec![S::InSet(vec![Source, Destination], HAIRPINS.into()), S::Masquerade],
                    vec![S::SourceIn(net("127.0.0.0/8")), S::OutInterface(bridge.clone()), S::Masquerade],
                    vec![
                        S::SourceIn(config.pod_cidr.trunc()),
                        S::DestinationNotIn(config.cluster_cidr.trunc()),
                        S::DestinationNotIn(net("224.0.0.0/4")),
                        S::Masquerade,
                    ],
                ],
            ),
        ],
        elements: Vec::new(),
    }
}

/// What one pod adds.
pub(crate) fn pod(lease: &Lease) -> Fragment {
    let own = Value::Address(lease.address);
    let mut elements = vec![Element::new(HAIRPINS, [own, own], Datum::Member)];
    for port in &lease.host_ports {
        let mut key = vec![Value::Protocol(port.protocol.number()), Value::Port(port.host_port)];
        let set = match port.host_ip {
            Some(std::net::IpAddr::V4(address)) if !address.is_unspecified() => {
                key.insert(0, Value::Address(address));
                ADDRESS_PORTS
            }
            // Pods have IPv4 addresses only: a port on an IPv6 address of the node leads nowhere.
            Some(std::net::IpAddr::V6(address)) if !address.is_unspecified() => continue,
            _ => PORTS,
        };
        let to: Box<[Value]> = Box::new([own, Value::Port(port.container_port)]);
        elements.push(Element::new(set, key, Datum::Values(to)));
    }
    Fragment { elements, ..Fragment::default() }
}
