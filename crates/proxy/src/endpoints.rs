//! Which endpoints of a Service port traffic may go to. Pure; the rules are upstream's (`pkg/proxy/topology.go`):
//! ready ones, else those that still serve while they end; near ones, if all carry hints and one is near.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::discovery::v1::{EndpointHints, EndpointSlice};

use crate::compile::Node;

/// One address and port of a pod that backs a Service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) ready: bool,
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
    pub(crate) local: bool,
    hints: Hints,
}

/// Whether hints of a kind are there, and name this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hints {
    nodes: Option<bool>,
    zones: Option<bool>,
}

pub(crate) type Target = (Ipv4Addr, u16);

/// What may be reached, in order of address: by traffic that may go anywhere, and by traffic that must stay here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usable {
    pub(crate) cluster: Vec<Target>,
    pub(crate) local: Vec<Target>,
    /// There is an endpoint somewhere in the cluster.
    pub(crate) any: bool,
}

/// The endpoints of one Service port. One that several slices tell of counts once, the last slice's word.
pub(crate) fn collect(
    slices: &[EndpointSlice],
    port_name: &str,
    protocol: &str,
    node: &Node,
) -> Vec<Endpoint> {
    let mut found = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let ports: Vec<u16> = slice
            .ports
            .iter()
            .flatten()
            .filter(|port| port.name.as_deref().unwrap_or_default() == port_name)
            .filter(|port| port.protocol.as_deref().unwrap_or("TCP") == protocol)
            .filter_map(|port| u16::try_from(port.port?).ok())
            .collect();
        for endpoint in slice.endpoints.iter().flatten() {
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            // Unknown counts as ready; serving follows ready where it is not told.
            let ready = conditions.ready.unwrap_or(true);
            let Some(address) = endpoint.addresses.first().and_then(|text| text.parse().ok()) else {
                continue;
            };
            for port in &ports {
                found.insert(
                    (address, *port),
                    Endpoint {
                        address,
                        port: *port,
                        ready,
                        serving: conditions.serving.unwrap_or(ready),
                        terminating: conditions.terminating.unwrap_or(false),
                        local: endpoint.node_name.as_deref() == Some(&*node.name),
                        hints: hints(endpoint.hints.as_ref(), node),
                    },
                );
            }
        }
    }
    found.into_values().collect()
}

fn hints(hints: Option<&EndpointHints>, node: &Node) -> Hints {
    let Some(hints) = hints else { return Hints::default() };
    let nodes = hints.for_nodes.as_ref().filter(|nodes| !nodes.is_empty());
    let zones = hints.for_zones.as_ref().filter(|zones| !zones.is_empty());
    Hints {
        nodes: nodes.map(|nodes| nodes.iter().any(|hint| hint.name == node.name)),
        zones: zones.map(|zones| zones.iter().any(|hint| hint.name == node.zone)),
    }
}

pub(crate) fn usable(endpoints: &[Endpoint], uses_cluster: bool, uses_local: bool) -> Usable {
    let pick = |passes: &dyn Fn(&Endpoint) -> bool| -> Vec<Target> {
        endpoints
            .iter()
            .filter(|endpoint| passes(endpoint))
            .map(|found| (found.address, found.port))
            .collect()
    };
    let ending = |endpoint: &Endpoint| endpoint.serving && endpoint.terminating;
    let mut usable = Usable::default();
    if uses_cluster {
        let near = nearness(endpoints);
        usable.cluster = pick(&|endpoint| endpoint.ready && near(&endpoint.hints));
        if usable.cluster.is_empty() {
            usable.cluster = pick(&ending);
        }
        usable.any = !usable.cluster.is_empty();
    }
    if uses_local {
        usable.local = pick(&|endpoint| endpoint.local && endpoint.ready);
        if usable.local.is_empty() {
            usable.local = pick(&|endpoint| endpoint.local && ending(endpoint));
        }
        usable.any |= endpoints.iter().any(|endpoint| endpoint.ready || ending(endpoint));
    }
    usable
}

/// Which hints make an endpoint eligible.
fn nearness(endpoints: &[Endpoint]) -> fn(&Hints) -> bool {
    let all_told = |hint: fn(&Hints) -> Option<bool>| {
        let mut told =
            endpoints.iter().filter(|endpoint| endpoint.ready).map(|endpoint| hint(&endpoint.hints));
        let mut near = false;
        told.all(|hint| {
            near |= hint == Some(true);
            hint.is_some()
        }) && near
    };
    if all_told(|hints| hints.nodes) {
        |hints| hints.nodes == Some(true)
    } else if all_told(|hints| hints.zones) {
        |hints| hints.zones == Some(true)
    } else {
        |_| true
    }
}
