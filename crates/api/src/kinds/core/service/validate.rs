//! Validation of a Service that has what it is given.

use std::collections::BTreeSet;

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::discovery::endpoint_slice::not_special;
use crate::kinds::edit::{has, int, list, same};
use crate::service::{is_external, is_headless, needs_health_port};
use crate::validation::check::{self, Errors};
use crate::validation::{meta, names};

pub(super) fn service(service: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let empty = Value::object();
    let spec = service.get("spec").unwrap_or(&empty);
    let kind = spec.str_at(&["type"]);
    let headless = is_headless(service);
    let all = list(spec, &["ports"]);
    if all.is_empty() && !headless && kind != "ExternalName" {
        errors.push(Error::required(path.child("ports"), ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let text = format!("may not be set to 'None' for {kind} services");
            errors.push(Error::invalid(path.child("clusterIPs").index(0), "None", text));
        }
        "ExternalName" => external_name(spec, &path, errors),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for (at, one) in all.iter().enumerate() {
        port(one, all.len() > 1, &mut seen, &path.child("ports").index(at), errors);
    }
    meta::validate_labels(spec.get("selector"), &path.child("selector"), errors);
    affinity(spec, &path, errors);
    if kind != "ExternalName" {
        addresses(spec, headless, &path, errors);
    }
    for (at, ip) in list(spec, &["externalIPs"]).iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("externalIPs").index(at);
        match ip.parse() {
            Ok(address) => not_special(address, ip, &path, errors),
            Err(_) => check::format(ip, &path, names::ip, errors),
        }
    }
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    check::required_one_of(kind, path.child("type"), &kinds, errors);
    node_ports(all, kind, &path.child("ports"), errors);
    source_ranges(spec, kind, &path, errors);
    if kind != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if has(spec, &[field]) {
                errors.push(Error::forbidden(
                    path.child(field),
                    "may only be used when `type` is 'LoadBalancer'",
                ));
            }
        }
    } else if has(spec, &["loadBalancerClass"]) {
        let class = spec.str_at(&["loadBalancerClass"]);
        check::format(class, &path.child("loadBalancerClass"), names::qualified_name, errors);
    }
    traffic(service, spec, &path, errors);
}

/// What is wrong with the addresses, families and policy that a client asks for: told before any are handed out.
pub fn asked(service: &Value) -> Errors {
    let mut errors = Errors::new();
    let empty = Value::object();
    let spec = service.get("spec").unwrap_or(&empty);
    if spec.str_at(&["type"]) != "ExternalName" {
        addresses(spec, is_headless(service), &Path::new("spec"), &mut errors);
    }
    errors
}

fn external_name(spec: &Value, path: &Path, errors: &mut Errors) {
    let some = |field: &str| !list(spec, &[field]).is_empty();
    for (field, set) in [
        ("clusterIPs", some("clusterIPs")),
        ("ipFamilies", some("ipFamilies")),
        ("ipFamilyPolicy", has(spec, &["ipFamilyPolicy"])),
    ] {
        if set {
            errors.push(Error::forbidden(path.child(field), "may not be set for ExternalName services"));
        }
    }
    let name = spec.str_at(&["externalName"]);
    let name = name.strip_suffix('.').unwrap_or(name);
    check::required_format(name, &path.child("externalName"), names::dns_subdomain, errors);
}

fn port<'a>(port: &'a Value, named: bool, seen: &mut BTreeSet<&'a str>, path: &Path, errors: &mut Errors) {
    let name = port.str_at(&["name"]);
    if !name.is_empty() {
        check::format(name, &path.child("name"), names::dns_label, errors);
        if !seen.insert(name) {
            errors.push(Error::duplicate(path.child("name"), name));
        }
    } else if named {
        errors.push(Error::required(path.child("name"), ""));
    }
    check::port(Some(&Value::Int(int(port, &["port"]))), &path.child("port"), errors);
    let protocol = port.str_at(&["protocol"]);
    check::required_one_of(protocol, path.child("protocol"), &["SCTP", "TCP", "UDP"], errors);
    check::port(port.get("targetPort"), &path.child("targetPort"), errors);
    if let Some(app) = port.get("appProtocol").and_then(Value::as_str) {
        check::format(app, &path.child("appProtocol"), names::qualified_name, errors);
    }
}

fn affinity(spec: &Value, path: &Path, errors: &mut Errors) {
    let affinity = spec.str_at(&["sessionAffinity"]);
    check::required_one_of(affinity, path.child("sessionAffinity"), &["ClientIP", "None"], errors);
    let path = path.child("sessionAffinityConfig");
    match affinity {
        "ClientIP" => {
            let path = path.child("clientIP").child("timeoutSeconds");
            match spec.at(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]).and_then(Value::as_int) {
                None => errors.push(Error::required(path, "when session affinity type is ClientIP")),
                Some(seconds) if !(1..=86400).contains(&seconds) => {
                    errors.push(Error::invalid(path, seconds, "must be greater than 0 and less than 86400"));
                }
                Some(_) => {}
            }
        }
        "None" if has(spec, &["sessionAffinityConfig"]) => {
            errors.push(Error::forbidden(path, "must not be set when session affinity is None"));
        }
        _ => {}
    }
}

fn addresses(spec: &Value, headless: bool, path: &Path, errors: &mut Errors) {
    let ips = list(spec, &["clusterIPs"]);
    let one = spec.str_at(&["clusterIP"]);
    let inner = path.child("clusterIPs");
    let wrong = |text: &str| Error::invalid(inner.clone(), ips.to_vec(), text);
    match (one.is_empty(), ips.first().and_then(Value::as_str)) {
        (false, None) => errors.push(Error::required(inner.clone(), "")),
        (false, Some(first)) if first != one => errors.push(wrong("first value must match `clusterIP`")),
        (true, Some(_)) => errors.push(wrong("must be empty when `clusterIP` is not specified")),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for (at, family) in list(spec, &["ipFamilies"]).iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("ipFamilies").index(at);
        check::one_of(family, path.clone(), &["IPv4", "IPv6"], errors);
        if !seen.insert(family) {
            errors.push(Error::duplicate(path, family));
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    check::optional_one_of(spec, path, "ipFamilyPolicy", &policies, errors);
    let before = errors.len();
    for (at, ip) in ips.iter().filter_map(Value::as_str).enumerate() {
        if at == 0 && ip == "None" {
            if ips.len() > 1 {
                errors.push(wrong("'None' must be the first and only value"));
            }
            break;
        }
        check::format(ip, &inner.index(at), names::ip, errors);
    }
    if ips.len() > 2 {
        errors.push(wrong("may only hold up to 2 values"));
    }
    if errors.len() > before {
        return;
    }
    let is_v6 = |ip: &Value| ip.as_str().is_some_and(|ip| ip.contains(':'));
    if ips.len() == 2 && is_v6(&ips[0]) == is_v6(&ips[1]) {
        errors.push(wrong("may specify no more than one IP for each IP family"));
    }
    if !headless {
        for (at, (ip, family)) in ips.iter().zip(list(spec, &["ipFamilies"])).enumerate() {
            let family = family.as_str().unwrap_or_default();
            if is_v6(ip) != (family == "IPv6") {
                let text = format!("expected an {family} value as indicated by `ipFamilies[{at}]`");
                errors.push(Error::invalid(inner.index(at), ip.clone(), text));
            }
        }
    }
}

fn node_ports(ports: &[Value], kind: &str, path: &Path, errors: &mut Errors) {
    let (mut nodes, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (at, port) in ports.iter().enumerate() {
        let path = path.index(at);
        let (node, protocol) = (int(port, &["nodePort"]), port.str_at(&["protocol"]));
        if node != 0 {
            if kind == "ClusterIP" {
                let text = "may not be used when `type` is 'ClusterIP'";
                errors.push(Error::forbidden(path.child("nodePort"), text));
            }
            if !nodes.insert((protocol, node)) {
                errors.push(Error::duplicate(path.child("nodePort"), node));
            }
        }
        let number = int(port, &["port"]);
        if !numbers.insert((protocol, number)) {
            let mut shown = Value::object();
            shown.set(&["protocol"], protocol);
            shown.set(&["port"], number);
            errors.push(Error::duplicate(path, shown));
        }
    }
}

fn source_ranges(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let ranges = list(spec, &["loadBalancerSourceRanges"]);
    // The letter case is upstream's.
    let path = path.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && kind != "LoadBalancer" {
        errors.push(Error::forbidden(path.clone(), "may only be used when `type` is 'LoadBalancer'"));
    }
    for (at, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        check::format(range.trim(), &path.index(at), names::cidr, errors);
    }
}

fn traffic(service: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let policy = spec.str_at(&["externalTrafficPolicy"]);
    let inner = path.child("externalTrafficPolicy");
    if is_external(service) {
        check::required_one_of(policy, inner, &["Cluster", "Local"], errors);
    } else if !policy.is_empty() {
        errors.push(Error::invalid(inner, policy, "may only be set for externally-accessible services"));
    }
    let health = int(spec, &["healthCheckNodePort"]);
    let inner = path.child("healthCheckNodePort");
    match (needs_health_port(service), health) {
        (true, 0) => errors.push(Error::required(inner, "")),
        (true, port) => check::port(Some(&Value::Int(port)), &inner, errors),
        (false, 0) => {}
        (false, port) => {
            let text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(Error::invalid(inner, port, text));
        }
    }
    check::optional_one_of(spec, path, "internalTrafficPolicy", &["Cluster", "Local"], errors);
    let near = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    check::optional_one_of(spec, path, "trafficDistribution", &near, errors);
}

pub(super) fn update(new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let named = |service: &Value| service.str_at(&["spec", "type"]) == "ExternalName";
    let unaddressed = named(new) || named(old) || (is_headless(new) && is_headless(old));
    if !unaddressed {
        let (ips, before) = (list(new, &["spec", "clusterIPs"]), list(old, &["spec", "clusterIPs"]));
        let inner = path.child("clusterIPs");
        if ips.is_empty() && !before.is_empty() {
            let text = "primary clusterIP can not be unset";
            errors.push(Error::invalid(inner.index(0), ips.to_vec(), text));
        }
        let compared = if ips.len() == before.len() { ips.len() } else { 1 };
        for (at, (ip, was)) in ips.iter().zip(before).enumerate().take(compared) {
            if ip != was {
                errors.push(Error::invalid(inner.index(at), ips.to_vec(), "may not change once set"));
            }
        }
        if before.len() > ips.len()
            && ips.len() == 1
            && new.str_at(&["spec", "ipFamilyPolicy"]) != "SingleStack"
        {
            let policy = new.at(&["spec", "ipFamilyPolicy"]).cloned().unwrap_or_default();
            let text = "must be set to 'SingleStack' when releasing the secondary clusterIP";
            errors.push(Error::invalid(path.child("ipFamilyPolicy"), policy, text));
        }
        families(new, old, &path, errors);
    }
    let balanced = |service: &Value| service.str_at(&["spec", "type"]) == "LoadBalancer";
    let class = |service: &Value| service.at(&["spec", "loadBalancerClass"]).cloned();
    if balanced(new) && balanced(old) && !same(class(new).as_ref(), class(old).as_ref()) {
        let path = path.child("loadBalancerClass");
        errors.push(Error::invalid(path, class(new).unwrap_or_default(), "may not change once set"));
    }
    let health = |service: &Value| int(service, &["spec", "healthCheckNodePort"]);
    if needs_health_port(new) && needs_health_port(old) && health(new) != health(old) {
        errors.push(Error::forbidden(path.child("healthCheckNodePort"), meta::IMMUTABLE));
    }
}

fn families(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    if is_headless(new) || is_headless(old) {
        return;
    }
    let (now, before) = (list(new, &["spec", "ipFamilies"]), list(old, &["spec", "ipFamilies"]));
    let path = path.child("ipFamilies");
    if now.is_empty() && !before.is_empty() {
        errors.push(Error::invalid(path.index(0), now.to_vec(), "primary ipFamily can not be unset"));
    } else if let (Some(first), Some(was)) = (now.first(), before.first())
        && first != was
    {
        errors.push(Error::invalid(path.index(0), now.to_vec(), "may not change once set"));
    }
}

pub(super) fn status(service: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let ingress = list(service, &["status", "loadBalancer", "ingress"]);
    let kind = service.str_at(&["spec", "type"]);
    if !ingress.is_empty() && kind != "LoadBalancer" {
        let text = "may only be used when `spec.type` is 'LoadBalancer'";
        return errors.push(Error::forbidden(path, text));
    }
    for (at, one) in ingress.iter().enumerate() {
        let path = path.index(at);
        let (ip, host) = (one.str_at(&["ip"]), one.str_at(&["hostname"]));
        if !ip.is_empty() {
            check::format(ip, &path.child("ip"), names::ip, errors);
        } else if has(one, &["ipMode"]) {
            errors.push(Error::forbidden(path.child("ipMode"), "may not be specified when `ip` is not set"));
        }
        if !host.is_empty() {
            check::format(host, &path.child("hostname"), names::dns_subdomain, errors);
            if host.parse::<std::net::IpAddr>().is_ok() {
                let text = "must be a DNS name, not an IP address";
                errors.push(Error::invalid(path.child("hostname"), host, text));
            }
        }
    }
}
