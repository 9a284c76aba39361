//! Ingress.

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{has, list};
use crate::kinds::{Builtin, Strategy};
use crate::table::{age, cells};
use crate::validation::{Node, names};

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "ingresses",
    storage: "v1",
    rules: || {
        Box::new(Strategy {
            status: true,
            generation: true,
            check: |ingress| spec(&ingress.get("spec"), (true, true)),
            created_check: |ingress| {
                let mark = ingress.at(&["metadata", "annotations", CLASS]);
                let class = ingress.at(&["spec", "ingressClassName"]);
                if mark.has() && class.has() && mark.text() != class.text() {
                    let path = Path::new("annotations").child(CLASS);
                    let text = "must match `ingressClassName` when both are specified";
                    ingress.error(Error::invalid(path, mark.text(), text));
                }
            },
            update_alone: true,
            update: |ingress, old| spec(&ingress.get("spec"), strictness(old)),
            check_status,
            warnings: |ingress, old| {
                let deprecated = old.is_none()
                    && has(ingress, &["metadata", "annotations", CLASS])
                    && !has(ingress, &["spec", "ingressClassName"]);
                let text =
                    format!("annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead");
                deprecated.then_some(text).into_iter().collect()
            },
            row: Some(row),
            ..Strategy::new()
        })
    },
};

const CLASS: &str = "kubernetes.io/ingress.class";

/// Old mistakes may stay: names of secrets, and rules of wildcard hosts, are judged unless one was bad before.
fn strictness(old: &Node<'_>) -> (bool, bool) {
    let spec = old.get("spec");
    let bad_secret = |tls: &Node<'_>| {
        let name = tls.get("secretName").text();
        !name.is_empty() && !names::dns_subdomain(name).is_empty()
    };
    let mut found = Vec::new();
    for rule in spec.get("rules").items().iter().filter(|rule| rule.get("host").text().contains('*')) {
        let mut errors = Vec::new();
        crate::validation::node::inspect(rule.value(), &mut errors, paths);
        found.append(&mut errors);
    }
    (!spec.get("tls").items().iter().any(bad_secret), found.is_empty())
}

fn spec(spec: &Node<'_>, (secrets, wildcards): (bool, bool)) {
    let (rules, backend) = (spec.get("rules"), spec.get("defaultBackend"));
    if rules.is_empty() && !backend.has() {
        let text = "either `defaultBackend` or `rules` must be specified";
        spec.error(Error::invalid(spec.path().clone(), rules.value().clone(), text));
    }
    if backend.has() {
        self::backend(&backend);
    }
    for rule in rules.items() {
        let host = rule.get("host");
        let wild = host.text().contains('*');
        not_address(&host);
        host_name(&host);
        if !wild || wildcards {
            paths(&rule);
        }
    }
    for tls in spec.get("tls").items() {
        for host in tls.get("hosts").items() {
            match host.text().contains('*') {
                true => host.is(names::wildcard_subdomain),
                false => host.is_even_empty(names::dns_subdomain),
            };
        }
        if secrets {
            tls.get("secretName").is(names::dns_subdomain);
        }
    }
    let class = spec.get("ingressClassName");
    if class.has() {
        class.is_even_empty(names::dns_subdomain);
    }
}

fn host_name(host: &Node<'_>) {
    match host.text().contains('*') {
        true => host.is(names::wildcard_subdomain),
        false => host.is(names::dns_subdomain),
    };
}

fn not_address(host: &Node<'_>) {
    if host.text().parse::<std::net::IpAddr>().is_ok() {
        host.invalid("must be a DNS name, not an IP address");
    }
}

fn paths(rule: &Node<'_>) {
    let http = rule.get("http");
    if !http.has() {
        return;
    }
    http.get("paths").required();
    for path in http.get("paths").items() {
        let (kind, text) = (path.get("pathType"), path.get("path"));
        if !kind.has() {
            kind.missing("pathType must be specified");
            continue;
        }
        let absolute = || {
            if !text.text().starts_with('/') {
                text.error(Error::invalid(text.path().clone(), text.text(), "must be an absolute path"));
            }
        };
        match kind.text() {
            "Exact" | "Prefix" => {
                absolute();
                for bad in
                    ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|bad| text.text().contains(**bad))
                {
                    text.invalid(format!("must not contain '{bad}'"));
                }
                for bad in ["/..", "/."].iter().filter(|bad| text.text().ends_with(**bad)) {
                    text.invalid(format!("cannot end with '{bad}'"));
                }
            }
            "ImplementationSpecific" if !text.text().is_empty() => absolute(),
            "ImplementationSpecific" => {}
            _ => drop(kind.one_of_even_empty(&["Exact", "ImplementationSpecific", "Prefix"])),
        }
        backend(&path.get("backend"));
    }
}

fn backend(backend: &Node<'_>) {
    let (resource, service) = (backend.get("resource"), backend.get("service"));
    let bad = |text: &str| backend.error(Error::invalid(backend.path().clone(), "", text));
    match (resource.has(), service.has()) {
        (true, true) => bad("cannot set both resource and service backends"),
        (false, false) => bad("resource or service backend is required"),
        (true, false) => {
            let group = resource.get("apiGroup");
            if group.has() {
                group.is_even_empty(names::dns_subdomain);
            }
            resource.get("kind").path_segment();
            resource.get("name").path_segment();
        }
        (false, true) => {
            service.get("name").required().is(names::dns_label);
            let (name, number) = (service.at(&["port", "name"]), service.at(&["port", "number"]));
            match (name.text().is_empty(), number.int() == 0) {
                (false, false) => bad("cannot set both port name & port number"),
                (false, true) => drop(name.is(names::port_name)),
                (true, false) => drop(number.port_number()),
                (true, true) => backend.missing("port name or number is required"),
            }
        }
    }
}

fn check_status(ingress: &Node<'_>, old: &Node<'_>) {
    let path = ["status", "loadBalancer", "ingress"];
    let had = old.at(&path).items();
    for entry in ingress.at(&path).items() {
        let (ip, host) = (entry.get("ip"), entry.get("hostname"));
        if !had.iter().any(|old| old.get("ip").text() == ip.text()) {
            ip.is(names::ip);
        }
        host.is(names::dns_subdomain);
        not_address(&host);
    }
}

fn row(value: &Value, now: i64) -> Vec<Value> {
    let rules = list(value, &["spec", "rules"]);
    let hosts: Vec<&str> =
        rules.iter().map(|rule| rule.str_at(&["host"])).filter(|host| !host.is_empty()).collect();
    let hosts = match hosts.len() {
        0 => "*".into(),
        total if total > 3 => format!("{} + {} more...", hosts[..3].join(","), rules.len() - 3),
        _ => hosts.join(","),
    };
    let mut addresses: Vec<&str> = list(value, &["status", "loadBalancer", "ingress"])
        .iter()
        .map(
            |one| {
                if one.str_at(&["ip"]).is_empty() { one.str_at(&["hostname"]) } else { one.str_at(&["ip"]) }
            },
        )
        .filter(|text| !text.is_empty())
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    let ports = if list(value, &["spec", "tls"]).is_empty() { "80" } else { "80, 443" };
    vec![
        cells::name(value),
        cells::or(value.str_at(&["spec", "ingressClassName"]), "<none>"),
        hosts.into(),
        addresses.join(",").into(),
        ports.into(),
        age(value, now),
    ]
}
