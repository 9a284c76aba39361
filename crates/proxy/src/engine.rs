//! Keeps the kernel at what the Services say: rules, and UDP flows that would go to the wrong place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use net::nft::Table;
use net::{conntrack, netlink};

use crate::compile::{Compiled, Udp};
use crate::{Config, base};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("write the rules of Services")]
    Rules(#[source] netlink::Error),
    #[error("forget UDP connections to endpoints that are gone")]
    Connections(#[source] netlink::Error),
}

/// See the module. Works in the network namespace that it was made in; its calls block for about a millisecond.
#[derive(Debug)]
pub struct Engine {
    table: Table,
    config: Config,
    /// What is known of each Service beside its rules, by `<namespace>/<name>`.
    udp: HashMap<String, Vec<Udp>>,
    health: BTreeMap<String, (u16, usize)>,
    /// The first set of Services is in.
    filled: bool,
}

impl Engine {
    /// Opens sockets; the kernel is untouched until the first [`Engine::apply`].
    pub fn new(config: Config) -> Result<Engine, Error> {
        let table = Table::new(&config.table).map_err(Error::Rules)?;
        let (udp, health) = (HashMap::new(), BTreeMap::new());
        Ok(Engine { table, config, udp, health, filled: false })
    }

    /// Changes what some Services (by `<namespace>/<name>`) are; `None` if one is gone. The first call says all there
    /// are, and puts a whole new table in the place of an old one. After an error, call again: what was missed of
    /// connections is not told twice, rules are.
    pub fn apply(&mut self, changes: Vec<(String, Option<Compiled>)>) -> Result<(), Error> {
        let mut fragments = Vec::with_capacity(changes.len() + 1);
        let mut moved = Vec::new();
        for (name, compiled) in changes {
            let compiled = compiled.unwrap_or_default();
            let old = self.udp.remove(&name).unwrap_or_default();
            if old != compiled.udp {
                moved.extend(old.into_iter().map(|port| Udp { endpoints: BTreeSet::new(), ..port }));
                moved.extend(compiled.udp.iter().cloned());
            }
            if !compiled.udp.is_empty() {
                self.udp.insert(name.clone(), compiled.udp);
            }
            match compiled.health {
                Some(health) => self.health.insert(name.clone(), health),
                None => self.health.remove(&name),
            };
            let fragment = (compiled.fragment != net::nft::Fragment::default()).then_some(compiled.fragment);
            fragments.push((name, fragment));
        }
        if self.filled {
            self.table.update(fragments).map_err(Error::Rules)?;
        } else {
            let base = (String::new(), base(self.config.cluster_cidr, self.config.service_cidr));
            let all = fragments.into_iter().filter_map(|(name, fragment)| Some((name, fragment?)));
            self.table.replace([base].into_iter().chain(all).collect()).map_err(Error::Rules)?;
            self.filled = true;
        }
        forget(&moved).map_err(Error::Connections)
    }

    /// Ports for health checks of load balancers, with how many endpoints are ready here, by Service.
    pub fn health(&self) -> &BTreeMap<String, (u16, usize)> {
        &self.health
    }

    /// How often the kernel refused a change, so that all rules were written anew.
    pub fn refusals(&self) -> usize {
        self.table.refusals()
    }

    /// Removes all rules.
    pub fn remove(&mut self) -> Result<(), Error> {
        self.filled = false;
        self.udp.clear();
        self.table.remove().map_err(Error::Rules)
    }
}

/// Forgets UDP flows to one of `ports` that lead elsewhere than to its endpoints.
fn forget(ports: &[Udp]) -> Result<(), netlink::Error> {
    if ports.is_empty() {
        return Ok(());
    }
    let mut services: HashMap<(Ipv4Addr, u16), BTreeSet<(Ipv4Addr, u16)>> = HashMap::new();
    let mut node_ports: HashMap<u16, BTreeSet<(Ipv4Addr, u16)>> = HashMap::new();
    for port in ports {
        for address in &port.addresses {
            services.entry(*address).or_default().extend(&port.endpoints);
        }
        if let Some(number) = port.node_port {
            node_ports.entry(number).or_default().extend(&port.endpoints);
        }
    }
    let count = conntrack::forget(|flow| {
        let Some(endpoints) = services.get(&flow.to).or_else(|| node_ports.get(&flow.to.1)) else {
            return false;
        };
        // A flow that began before there were endpoints would stay untranslated for ever.
        if flow.to == flow.endpoint { !endpoints.is_empty() } else { !endpoints.contains(&flow.endpoint) }
    })?;
    if count > 0 {
        tracing::debug!(count, "forgot UDP connections to endpoints that are gone");
    }
    Ok(())
}
