//! What a Service is given: addresses, node ports, IP families (upstream's registry/core/service/storage/alloc.go).
//!
//! The server keeps one [`Network`], calls [`Network::assign`] after admission and before validation, and
//! [`Network::give_back`] for what was taken if the write fails. Deleting a Service, or changing its type, frees what
//! [`Network::release`] finds.

use std::net::IpAddr;

use crate::Value;
use crate::allocator::{IpRange, PortRange};
use crate::field::{Error, Path};
use crate::kinds::edit::{int, list};

/// Where Services' values come from. The first range is of the cluster's default family.
#[derive(Clone, Debug)]
pub struct Network {
    pub addresses: Vec<IpRange>,
    pub ports: PortRange,
}

/// A value that an assignment took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Address(IpAddr),
    Port(u16),
}

pub fn is_headless(service: &Value) -> bool {
    list(service, &["spec", "clusterIPs"]) == ["None".into()]
        || service.str_at(&["spec", "clusterIP"]) == "None"
}

pub fn needs_address(service: &Value) -> bool {
    service.str_at(&["spec", "type"]) != "ExternalName"
}

/// Its ports get node ports.
pub fn needs_ports(service: &Value) -> bool {
    match service.str_at(&["spec", "type"]) {
        "NodePort" => true,
        "LoadBalancer" => {
            service.at(&["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool).unwrap_or(true)
        }
        _ => false,
    }
}

/// A load balancer that must know which nodes have endpoints.
pub fn needs_health_port(service: &Value) -> bool {
    service.str_at(&["spec", "type"]) == "LoadBalancer"
        && service.str_at(&["spec", "externalTrafficPolicy"]) == "Local"
}

/// Reached from outside the cluster.
pub fn is_external(service: &Value) -> bool {
    matches!(service.str_at(&["spec", "type"]), "LoadBalancer" | "NodePort")
        || (service.str_at(&["spec", "type"]) == "ClusterIP"
            && !list(service, &["spec", "externalIPs"]).is_empty())
}

/// Makes `clusterIP` and the first of `clusterIPs` one value: whichever the client changed wins.
pub fn normalize_addresses(new: &mut Value, old: Option<&Value>) {
    let one = |service: &Value| service.str_at(&["spec", "clusterIP"]).to_string();
    let many = |service: &Value| list(service, &["spec", "clusterIPs"]).to_vec();
    let now = one(new);
    match old {
        None => {
            if !now.is_empty() && many(new).is_empty() {
                new.set(&["spec", "clusterIPs"], vec![Value::from(now)]);
            }
        }
        Some(old) if one(old) != now => {
            if now.is_empty() && !one(old).is_empty() && many(new) == many(old) {
                new.remove(&["spec", "clusterIPs"]);
            } else if many(new) == many(old) || many(new).is_empty() {
                let mut all = many(new);
                match all.first_mut() {
                    Some(first) => *first = now.into(),
                    None => all.push(now.into()),
                }
                new.set(&["spec", "clusterIPs"], all);
            }
        }
        Some(_) => {}
    }
}

/// Fills in what `old` was given and the client left out.
pub fn keep_assigned(new: &mut Value, old: &Value) {
    if needs_address(old) && needs_address(new) {
        for field in ["clusterIP", "clusterIPs"] {
            let unset = new.at(&["spec", field]).is_none_or(|value| {
                value.is_null()
                    || value.as_str() == Some("")
                    || value.as_array().is_some_and(|list| list.is_empty())
            });
            if let Some(value) = old.at(&["spec", field]).filter(|_| unset) {
                new.set(&["spec", field], value.clone());
            }
        }
    }
    if needs_ports(old) && needs_ports(new) {
        let olds = list(old, &["spec", "ports"]).to_vec();
        let used: Vec<i64> =
            list(new, &["spec", "ports"]).iter().map(|port| int(port, &["nodePort"])).collect();
        for port in new.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut).into_iter().flatten() {
            if int(port, &["nodePort"]) != 0 {
                continue;
            }
            let was = olds.iter().rev().find(|old| old.str_at(&["name"]) == port.str_at(&["name"]));
            let number = was.map(|old| int(old, &["nodePort"])).unwrap_or_default();
            if number != 0 && !used.contains(&number) {
                port.set(&["nodePort"], number);
            }
        }
    }
    if needs_health_port(old) && needs_health_port(new) && int(new, &["spec", "healthCheckNodePort"]) == 0 {
        let number = int(old, &["spec", "healthCheckNodePort"]);
        if number != 0 {
            new.set(&["spec", "healthCheckNodePort"], number);
        }
    }
}

/// Drops what a changed type no longer needs, where the client left it as it was.
pub fn drop_type_dependent(new: &mut Value, old: &Value) {
    let same = |new: &Value, field: &str| {
        crate::kinds::edit::same(new.at(&["spec", field]), old.at(&["spec", field]))
    };
    if needs_address(old) && !needs_address(new) {
        if same(new, "clusterIP") && same(new, "clusterIPs") {
            new.remove(&["spec", "clusterIP"]);
            new.remove(&["spec", "clusterIPs"]);
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if same(new, field) {
                new.remove(&["spec", field]);
            }
        }
    }
    let ports = |service: &Value| -> Vec<i64> {
        list(service, &["spec", "ports"]).iter().map(|port| int(port, &["nodePort"])).collect()
    };
    let may_have_ports =
        |service: &Value| matches!(service.str_at(&["spec", "type"]), "NodePort" | "LoadBalancer");
    if may_have_ports(old) && !may_have_ports(new) && ports(new) == ports(old) {
        for port in new.at_mut(&["spec", "ports"]).and_then(Value::as_array_mut).into_iter().flatten() {
            port.remove(&["nodePort"]);
        }
    }
    if needs_health_port(old) && !needs_health_port(new) && same(new, "healthCheckNodePort") {
        new.remove(&["spec", "healthCheckNodePort"]);
    }
    let balanced = |service: &Value| service.str_at(&["spec", "type"]) == "LoadBalancer";
    if balanced(old) && !balanced(new) {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if same(new, field) {
                new.remove(&["spec", field]);
            }
        }
    }
    if !balanced(new) {
        new.remove(&["status", "loadBalancer"]);
    }
    if is_external(old) && !is_external(new) && same(new, "externalTrafficPolicy") {
        new.remove(&["spec", "externalTrafficPolicy"]);
    }
}

fn family_of(ip: &str) -> &'static str {
    if ip.contains(':') { "IPv6" } else { "IPv4" }
}

impl Network {
    fn families(&self) -> Vec<&'static str> {
        self.addresses.iter().map(|range| if range.is_ipv4() { "IPv4" } else { "IPv6" }).collect()
    }

    /// Gives a defaulted Service what it lacks. `Err`: nothing was taken.
    pub fn assign(&mut self, service: &mut Value, old: Option<&Value>) -> Result<Vec<Taken>, Vec<Error>> {
        let mut errors = Vec::new();
        if needs_address(service) {
            for (at, ip) in
                list(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str).enumerate()
            {
                if ip != "None" {
                    let path = Path::new("spec").child("clusterIPs").index(at);
                    crate::validation::check::format(ip, &path, crate::validation::names::ip, &mut errors);
                }
            }
        }
        if needs_address(service) && errors.is_empty() {
            self.set_families(service, old, &mut errors);
        }
        let mut taken = Vec::new();
        if errors.is_empty() {
            self.assign_addresses(service, old, &mut taken, &mut errors);
        }
        if errors.is_empty() {
            self.assign_ports(service, old, &mut taken, &mut errors);
        }
        if errors.is_empty() {
            return Ok(taken);
        }
        self.give_back(&taken);
        Err(errors)
    }

    pub fn give_back(&mut self, taken: &[Taken]) {
        for value in taken {
            match value {
                Taken::Address(ip) => self.addresses.iter_mut().for_each(|range| range.give_back(*ip)),
                Taken::Port(port) => self.ports.give_back(*port),
            }
        }
    }

    /// Takes what a stored Service has, at start.
    pub fn occupy(&mut self, service: &Value) {
        for value in held(service) {
            // A value outside of today's ranges, or held twice, is upstream's repair loop's business; it stays as it is.
            let _ = match value {
                Taken::Address(ip) => self
                    .addresses
                    .iter_mut()
                    .find(|range| range.is_ipv4() == ip.is_ipv4())
                    .map(|range| range.take(Some(ip)).is_ok()),
                Taken::Port(port) => Some(self.ports.take(Some(port)).is_ok()),
            };
        }
    }

    /// Frees what `old` had and `new` (nothing, if it was deleted) has not.
    pub fn release(&mut self, old: &Value, new: Option<&Value>) {
        let kept = new.map(held).unwrap_or_default();
        let gone: Vec<Taken> = held(old).into_iter().filter(|value| !kept.contains(value)).collect();
        self.give_back(&gone);
    }

    fn set_families(&self, service: &mut Value, old: Option<&Value>, errors: &mut Vec<Error>) {
        let spec = Path::new("spec");
        let selectorless = is_headless(service)
            && service.at(&["spec", "selector"]).and_then(Value::as_map).is_none_or(|map| map.is_empty());
        if service.str_at(&["spec", "ipFamilyPolicy"]).is_empty() {
            let before = old.map(|old| old.str_at(&["spec", "ipFamilyPolicy"])).unwrap_or_default();
            let policy = match before {
                "" if selectorless => "RequireDualStack",
                "" => "SingleStack",
                before => before,
            };
            service.set(&["spec", "ipFamilyPolicy"], policy);
        }
        let policy = service.str_at(&["spec", "ipFamilyPolicy"]).to_string();
        let texts = |service: &Value, field: &str| -> Vec<String> {
            list(service, &["spec", field])
                .iter()
                .filter_map(|text| text.as_str().map(String::from))
                .collect()
        };
        let mut ips = texts(service, "clusterIPs");
        let mut families = texts(service, "ipFamilies");
        if policy == "SingleStack" {
            if old.is_some_and(|old| texts(old, "clusterIPs") == ips) {
                ips.truncate(1);
            }
            if old.is_some_and(|old| texts(old, "ipFamilies") == families) {
                families.truncate(1);
            }
            for (what, many) in [("cluster IPs", ips.len() > 1), ("IP families", families.len() > 1)] {
                if many {
                    let text = format!(
                        "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                    );
                    errors.push(Error::invalid(spec.child("ipFamilyPolicy"), policy.as_str(), text));
                }
            }
        }
        let configured = self.families();
        for (at, ip) in ips.iter().enumerate().take_while(|(_, ip)| *ip != "None") {
            if at >= families.len() {
                let family = family_of(ip);
                if configured.contains(&family) {
                    families.push(family.into());
                } else {
                    let text = format!("{family} is not configured on this cluster");
                    let shown: Vec<Value> = ips.iter().map(|ip| ip.as_str().into()).collect();
                    errors.push(Error::invalid(spec.child("clusterIPs").index(at), shown, text));
                }
            }
        }
        let other = |family: &str| if family == "IPv4" { "IPv6" } else { "IPv4" }.to_string();
        let default = configured.first().copied().unwrap_or("IPv4");
        if !selectorless {
            if policy == "RequireDualStack" && configured.len() < 2 {
                let text = "this cluster is not configured for dual-stack services";
                errors.push(Error::invalid(spec.child("ipFamilyPolicy"), policy.as_str(), text));
            }
            for (at, family) in families.iter().enumerate() {
                if !configured.contains(&family.as_str()) {
                    let path = spec.child("ipFamilies").index(at);
                    errors.push(Error::invalid(path, family.as_str(), "not configured on this cluster"));
                }
            }
        }
        if families.is_empty() {
            families.push(default.into());
        }
        if families.len() == 1 && policy != "SingleStack" && (selectorless || configured.len() == 2) {
            families.push(other(&families[0]));
        }
        let values = |texts: Vec<String>| texts.into_iter().map(Value::from).collect::<Vec<Value>>();
        if !ips.is_empty() {
            service.set(&["spec", "clusterIPs"], values(ips));
        }
        service.set(&["spec", "ipFamilies"], values(families));
    }

    fn assign_addresses(
        &mut self,
        service: &mut Value,
        old: Option<&Value>,
        taken: &mut Vec<Taken>,
        errors: &mut Vec<Error>,
    ) {
        if !needs_address(service) || is_headless(service) {
            return;
        }
        let had = old.map(held).unwrap_or_default();
        let mut ips = list(service, &["spec", "clusterIPs"]).to_vec();
        for (at, family) in list(service, &["spec", "ipFamilies"]).to_vec().iter().enumerate() {
            let wanted: Option<IpAddr> = ips.get(at).and_then(Value::as_str).and_then(|ip| ip.parse().ok());
            if wanted.is_some_and(|ip| had.contains(&Taken::Address(ip))) {
                continue;
            }
            let ipv4 = family.as_str() == Some("IPv4");
            let Some(range) = self.addresses.iter_mut().find(|range| range.is_ipv4() == ipv4) else {
                continue;
            };
            match range.take(wanted) {
                Ok(ip) => {
                    taken.push(Taken::Address(ip));
                    match ips.get_mut(at) {
                        Some(slot) => *slot = ip.to_string().into(),
                        None => ips.push(ip.to_string().into()),
                    }
                }
                Err(error) => {
                    let text = match wanted {
                        Some(ip) => format!("failed to allocate IP {ip}: {error}"),
                        None => format!("failed to allocate IP: {error}"),
                    };
                    errors.push(Error::invalid(Path::new("spec").child("clusterIPs"), ips.clone(), text));
                }
            }
        }
        if let Some(first) = ips.first().cloned() {
            service.set(&["spec", "clusterIP"], first);
            service.set(&["spec", "clusterIPs"], ips);
        }
    }

    fn assign_ports(
        &mut self,
        service: &mut Value,
        old: Option<&Value>,
        taken: &mut Vec<Taken>,
        errors: &mut Vec<Error>,
    ) {
        let had = old.map(held).unwrap_or_default();
        let mut ports = list(service, &["spec", "ports"]).to_vec();
        let wants = needs_ports(service);
        // Protocols of one port share a node port; so do those that ask for the same one.
        for at in 0..ports.len() {
            let (number, node) = (int(&ports[at], &["port"]), int(&ports[at], &["nodePort"]));
            if !wants && (node == 0 || service.str_at(&["spec", "type"]) != "LoadBalancer") {
                continue;
            }
            let shared = |other: &Value| {
                let (other_number, other_node) = (int(other, &["port"]), int(other, &["nodePort"]));
                let differs = other.str_at(&["protocol"]) != ports[at].str_at(&["protocol"]);
                differs && other_node != 0 && (other_node == node || (node == 0 && other_number == number))
            };
            let before = ports[..at].iter().find(|other| shared(other)).map(|port| int(port, &["nodePort"]));
            if let Some(node) = before {
                ports[at].set(&["nodePort"], node);
                continue;
            }
            let asked_later = ports[at + 1..].iter().find(|other| node == 0 && shared(other));
            let wanted = match asked_later.map(|port| int(port, &["nodePort"])) {
                Some(node) => node,
                None => node,
            };
            let port = u16::try_from(wanted).ok().filter(|port| *port != 0);
            if port.is_some_and(|port| had.contains(&Taken::Port(port))) {
                ports[at].set(&["nodePort"], wanted);
                continue;
            }
            match self.ports.take(port) {
                Ok(port) => {
                    taken.push(Taken::Port(port));
                    ports[at].set(&["nodePort"], i64::from(port));
                }
                Err(error) => {
                    let path = Path::new("spec").child("ports").index(at).child("nodePort");
                    errors.push(Error::invalid(path, wanted, error.to_string()));
                }
            }
        }
        if !ports.is_empty() {
            service.set(&["spec", "ports"], ports);
        }
        let health = int(service, &["spec", "healthCheckNodePort"]);
        // What is no port at all is left to validation.
        if needs_health_port(service) && (0..=65535).contains(&health) {
            let wanted = u16::try_from(health).ok().filter(|port| *port != 0);
            if wanted.is_some_and(|port| had.contains(&Taken::Port(port))) {
                return;
            }
            match self.ports.take(wanted) {
                Ok(port) => {
                    taken.push(Taken::Port(port));
                    service.set(&["spec", "healthCheckNodePort"], i64::from(port));
                }
                Err(error) => {
                    let path = Path::new("spec").child("healthCheckNodePort");
                    errors.push(Error::invalid(
                        path,
                        health,
                        format!("failed to allocate requested HealthCheck NodePort {health}: {error}"),
                    ));
                }
            }
        }
    }
}

/// The addresses and ports that a Service holds.
fn held(service: &Value) -> Vec<Taken> {
    let mut values = Vec::new();
    if needs_address(service) {
        let ips = list(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
        values.extend(ips.filter_map(|ip| ip.parse().ok()).map(Taken::Address));
    }
    let ports = list(service, &["spec", "ports"]).iter().map(|port| int(port, &["nodePort"]));
    let health = int(service, &["spec", "healthCheckNodePort"]);
    for port in ports.chain([health]).filter_map(|port| u16::try_from(port).ok()).filter(|port| *port != 0) {
        if !values.contains(&Taken::Port(port)) {
            values.push(Taken::Port(port));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        Network {
            addresses: vec![IpRange::new("10.43.0.0".parse().unwrap(), 16)],
            ports: PortRange::default(),
        }
    }

    fn service(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_new_service_gets_an_address_and_ports() {
        let mut network = network();
        let text = r#"{"spec":{"type":"NodePort","selector":{"a":"b"},"ports":[{"port":53,"protocol":"UDP"},{"port":53,"protocol":"TCP"},{"port":80,"protocol":"TCP"}]}}"#;
        let mut dns = service(text);
        let taken = network.assign(&mut dns, None).unwrap();
        assert_eq!(taken.len(), 3, "one address, two node ports: protocols of a port share one");
        assert_eq!(dns.str_at(&["spec", "clusterIP"]), "10.43.1.1");
        assert_eq!(dns.at(&["spec", "ipFamilies"]).unwrap().to_string(), r#"["IPv4"]"#);
        assert_eq!(dns.str_at(&["spec", "ipFamilyPolicy"]), "SingleStack");
        let ports: Vec<i64> =
            list(&dns, &["spec", "ports"]).iter().map(|port| int(port, &["nodePort"])).collect();
        assert_eq!(ports, [30086, 30086, 30087]);
        let again = network.clone().assign(&mut dns.clone(), Some(&dns)).unwrap();
        assert_eq!(again, [], "an update that changes nothing takes nothing");
        network.release(&dns, None);
        network.occupy(&dns);
        let mut thief =
            service(r#"{"spec":{"type":"ClusterIP","clusterIPs":["10.43.1.1"],"clusterIP":"10.43.1.1"}}"#);
        let errors = network.assign(&mut thief, None).unwrap_err();
        assert_eq!(
            errors[0].to_string(),
            "spec.clusterIPs: Invalid value: [\"10.43.1.1\"]: failed to allocate IP 10.43.1.1: provided IP is already allocated"
        );
    }

    #[test]
    fn a_headless_service_without_selector_names_both_families() {
        let mut headless =
            service(r#"{"spec":{"type":"ClusterIP","clusterIP":"None","clusterIPs":["None"]}}"#);
        assert_eq!(network().assign(&mut headless, None), Ok(vec![]));
        assert_eq!(headless.at(&["spec", "ipFamilies"]).unwrap().to_string(), r#"["IPv4","IPv6"]"#);
    }

    #[test]
    fn a_changed_type_drops_what_it_had() {
        let old = service(
            r#"{"spec":{"type":"NodePort","clusterIP":"10.43.1.1","clusterIPs":["10.43.1.1"],"ports":[{"name":"a","port":80,"nodePort":30100}]}}"#,
        );
        let mut new = old.clone();
        new.set(&["spec", "type"], "ClusterIP");
        drop_type_dependent(&mut new, &old);
        assert_eq!(int(&list(&new, &["spec", "ports"])[0], &["nodePort"]), 0);
        let mut bare = service(r#"{"spec":{"type":"NodePort","ports":[{"name":"a","port":81}]}}"#);
        keep_assigned(&mut bare, &old);
        assert_eq!(bare.str_at(&["spec", "clusterIP"]), "10.43.1.1");
        assert_eq!(int(&list(&bare, &["spec", "ports"])[0], &["nodePort"]), 30100);
    }
}
