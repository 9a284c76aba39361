//! What a name means. Pure but for the catalog it reads: a name and a type in, records or their absence out.

use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::Config;
use crate::catalog::{Catalog, Port, Service};

#[cfg(test)]
mod tests;

/// CoreDNS' default for cluster names, also how long an absence is remembered.
pub(crate) const TTL: u32 = 5;
/// Of the DNS specification that is followed.
const VERSION: &str = "1.1.0";

/// What is known of a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Records {
        answers: Vec<Record>,
        additionals: Vec<Record>,
    },
    /// The name exists, but not with this type.
    Empty,
    /// There is no such name.
    Missing,
    /// An ExternalName, whose target the client wants to have looked up.
    Alias {
        record: Box<Record>,
        target: Name,
    },
    /// Not a name of the cluster.
    Elsewhere,
}

/// The cluster's zone.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    origin: Name,
    address: IpAddr,
    own_ranges: Vec<ipnet::IpNet>,
}

/// One place that a Service leads to: its own name, or that of an endpoint.
struct Target {
    name: Name,
    address: IpAddr,
    ports: Vec<Port>,
}

impl Zone {
    /// `None` if the domain is no domain name.
    pub(crate) fn new(config: &Config) -> Option<Zone> {
        let mut origin = Name::from_ascii(&config.domain).ok()?;
        origin.set_fqdn(true);
        Some(Zone { origin, address: config.address, own_ranges: config.own_ranges.clone() })
    }

    pub(crate) fn answer(&self, catalog: &Catalog, name: &Name, kind: RecordType) -> Answer {
        if !self.origin.zone_of(name) {
            return self.reverse(catalog, name, kind);
        }
        // Labels from the right, after the zone's own.
        let labels: Option<Vec<String>> = name
            .iter()
            .rev()
            .skip(usize::from(self.origin.num_labels()))
            .map(|label| Some(std::str::from_utf8(label).ok()?.to_ascii_lowercase()))
            .collect();
        let Some(labels) = labels else { return Answer::Missing };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let one = |data| Answer::Records { answers: vec![record(name, data)], additionals: Vec::new() };
        match labels[..] {
            [] => match kind {
                RecordType::SOA => one(RData::SOA(self.soa())),
                RecordType::NS => one(RData::NS(NS(self.server()))),
                _ => Answer::Empty,
            },
            ["dns-version"] if kind == RecordType::TXT => one(RData::TXT(TXT::new(vec![VERSION.to_owned()]))),
            ["dns-version" | "dns" | "svc" | "pod"] => Answer::Empty,
            ["dns", "ns"] => addresses(name, kind, &[self.address]),
            ["svc" | "pod", namespace] if catalog.has_namespace(namespace) => Answer::Empty,
            ["pod", namespace, pod] if catalog.has_namespace(namespace) => match pod_address(pod) {
                Some(address) => addresses(name, kind, &[address]),
                None => Answer::Missing,
            },
            ["svc", namespace, service] => {
                self.service(catalog, name, kind, (namespace, service), None, |_| true)
            }
            ["svc", namespace, service, protocol, port]
                if protocol.starts_with('_') && port.starts_with('_') =>
            {
                let wanted = |found: &Port| {
                    let word = found.protocol.as_deref().unwrap_or("TCP");
                    word.eq_ignore_ascii_case(&protocol[1..]) && found.name.as_deref() == Some(&port[1..])
                };
                self.service(catalog, name, kind, (namespace, service), None, wanted)
            }
            ["svc", namespace, service, endpoint] => {
                self.service(catalog, name, kind, (namespace, service), Some(endpoint), |_| true)
            }
            _ => Answer::Missing,
        }
    }

    /// The SOA record that goes with an absence.
    pub(crate) fn authority(&self, name: &Name) -> Record {
        let zone = if self.origin.zone_of(name) { self.origin.clone() } else { name.trim_to(2) };
        record(&zone, RData::SOA(self.soa()))
    }

    /// One endpoint if `label` is given, else the whole Service; only ports that are `wanted`.
    fn service(
        &self,
        catalog: &Catalog,
        name: &Name,
        kind: RecordType,
        (namespace, service): (&str, &str),
        label: Option<&str>,
        wanted: impl Fn(&Port) -> bool,
    ) -> Answer {
        let Some(found) = catalog.service(namespace, service) else { return Answer::Missing };
        if let Some(external) = &found.external {
            return if label.is_some() { Answer::Missing } else { alias(name, kind, external) };
        }
        let mut targets = if found.headless || label.is_some() {
            self.endpoints(catalog, &found, label)
        } else {
            self.itself(&found)
        };
        // Endpoints without any port still have a name.
        targets.retain_mut(|target| {
            let any = target.ports.is_empty() && kind != RecordType::SRV && wanted(&ANY);
            target.ports.retain(&wanted);
            any || !target.ports.is_empty()
        });
        if targets.is_empty() {
            return Answer::Missing;
        }
        if kind == RecordType::SRV {
            return services(name, &targets);
        }
        let mut all: Vec<IpAddr> = Vec::new();
        for target in &targets {
            if !all.contains(&target.address) {
                all.push(target.address);
            }
        }
        addresses(name, kind, &all)
    }

    fn itself(&self, service: &Service) -> Vec<Target> {
        let Some(name) = self.name(&[&service.name, &service.namespace]) else { return Vec::new() };
        let target =
            |address: &IpAddr| Target { name: name.clone(), address: *address, ports: service.ports.clone() };
        service.addresses.iter().map(target).collect()
    }

    fn endpoints(&self, catalog: &Catalog, service: &Service, label: Option<&str>) -> Vec<Target> {
        let endpoints = catalog.endpoints(&service.namespace, &service.name).into_iter();
        endpoints
            .filter(|endpoint| label.is_none_or(|label| endpoint.label.eq_ignore_ascii_case(label)))
            .filter_map(|endpoint| {
                Some(Target {
                    name: self.name(&[&endpoint.label, &service.name, &service.namespace])?,
                    address: endpoint.address,
                    ports: endpoint.ports.to_vec(),
                })
            })
            .collect()
    }

    fn reverse(&self, catalog: &Catalog, name: &Name, kind: RecordType) -> Answer {
        let Ok(net) = name.parse_arpa_name() else { return Answer::Elsewhere };
        let own = self.own_ranges.iter().any(|range| range.contains(&net));
        if net.prefix_len() != net.max_prefix_len() {
            return if own { Answer::Empty } else { Answer::Elsewhere };
        }
        let names = catalog.names(net.addr());
        if names.is_empty() {
            return if own { Answer::Missing } else { Answer::Elsewhere };
        }
        if kind != RecordType::PTR {
            return Answer::Empty;
        }
        let answers = names.iter().filter_map(|labels| {
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            Some(record(name, RData::PTR(PTR(self.name(&labels)?))))
        });
        Answer::Records { answers: answers.collect(), additionals: Vec::new() }
    }

    /// `<labels>.svc.<zone>`; `None` if that would be too long.
    fn name(&self, labels: &[&str]) -> Option<Name> {
        let labels = labels.iter().copied().chain(["svc"]).map(str::as_bytes);
        Name::from_labels(labels).ok()?.append_domain(&self.origin).ok()
    }

    fn server(&self) -> Name {
        self.below(&["ns", "dns"])
    }

    fn soa(&self) -> SOA {
        // The serial never changes: there are no secondary servers.
        SOA::new(self.server(), self.below(&["hostmaster"]), 1, 7200, 1800, 86_400, TTL)
    }

    fn below(&self, labels: &[&str]) -> Name {
        let labels = labels.iter().map(|label| label.as_bytes());
        let name = Name::from_labels(labels).and_then(|name| name.append_domain(&self.origin));
        name.unwrap_or_else(|_| self.origin.clone())
    }
}

/// Stands for the ports of an endpoint that has none.
const ANY: Port = Port { name: None, port: None, protocol: None };

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

fn address_record(name: &Name, address: IpAddr) -> Record {
    match address {
        IpAddr::V4(address) => record(name, RData::A(A(address))),
        IpAddr::V6(address) => record(name, RData::AAAA(AAAA(address))),
    }
}

fn addresses(name: &Name, kind: RecordType, all: &[IpAddr]) -> Answer {
    let fits = |address: &&IpAddr| match kind {
        RecordType::A => address.is_ipv4(),
        RecordType::AAAA => address.is_ipv6(),
        _ => false,
    };
    let answers: Vec<Record> =
        all.iter().filter(fits).map(|address| address_record(name, *address)).collect();
    if answers.is_empty() { Answer::Empty } else { Answer::Records { answers, additionals: Vec::new() } }
}

/// SRV records, each target and port once, and the targets' addresses beside them.
fn services(name: &Name, targets: &[Target]) -> Answer {
    let mut found: Vec<(u16, &Name)> = Vec::new();
    let mut additionals: Vec<Record> = Vec::new();
    for target in targets {
        for port in target.ports.iter().filter_map(|port| port.port) {
            if !found.contains(&(port, &target.name)) {
                found.push((port, &target.name));
            }
        }
        let beside = address_record(&target.name, target.address);
        if !additionals.contains(&beside) {
            additionals.push(beside);
        }
    }
    let weight = u16::try_from(100 / found.len().max(1)).unwrap_or(1).max(1);
    let answers: Vec<Record> = found
        .into_iter()
        .map(|(port, target)| record(name, RData::SRV(SRV::new(0, weight, port, target.clone()))))
        .collect();
    if answers.is_empty() { Answer::Empty } else { Answer::Records { answers, additionals } }
}

fn alias(name: &Name, kind: RecordType, external: &str) -> Answer {
    // Upstream allows an address as an ExternalName; it is answered as one.
    if let Ok(address) = external.parse::<IpAddr>() {
        return addresses(name, kind, &[address]);
    }
    let Ok(mut target) = Name::from_ascii(external) else { return Answer::Missing };
    target.set_fqdn(true);
    let record = record(name, RData::CNAME(CNAME(target.clone())));
    match kind {
        RecordType::CNAME => Answer::Records { answers: vec![record], additionals: Vec::new() },
        _ => Answer::Alias { record: Box::new(record), target },
    }
}

/// `10-42-0-7` or `fd00--7`.
fn pod_address(label: &str) -> Option<IpAddr> {
    label.replace('-', ".").parse().or_else(|_| label.replace('-', ":").parse()).ok()
}
