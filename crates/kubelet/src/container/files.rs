//! The text of the files that every container gets: /etc/hosts, /etc/resolv.conf, /etc/hostname. Pure.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::spec;

/// Hostname (63 letters at the most) and, with `spec.subdomain`, the domain of a pod.
pub fn hostname(pod: &Pod, cluster_domain: &str) -> (String, Option<String>) {
    let pod_spec = spec::spec(pod);
    let cut = |name: &str| {
        let end = name.char_indices().map(|(at, _)| at).take_while(|at| *at <= 63).last().unwrap_or(0);
        let name = if name.len() > 63 { &name[..end] } else { name };
        name.trim_end_matches(['-', '.']).to_owned()
    };
    if let Some(name) = pod_spec.hostname_override.as_deref() {
        return (cut(name), None);
    }
    let name =
        pod_spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or_else(|| spec::name(pod));
    let domain = pod_spec
        .subdomain
        .as_deref()
        .filter(|subdomain| !subdomain.is_empty())
        .map(|subdomain| format!("{subdomain}.{}.svc.{cluster_domain}", spec::namespace(pod)));
    (cut(name), domain)
}

/// The name that `uname` gives inside: the full one with `setHostnameAsFQDN`.
pub fn kernel_hostname(pod: &Pod, cluster_domain: &str) -> Result<String, String> {
    let (name, domain) = hostname(pod, cluster_domain);
    match domain {
        Some(domain) if spec::spec(pod).set_hostname_as_fqdn == Some(true) => {
            let full = format!("{name}.{domain}");
            if full.len() > 64 {
                return Err(format!(
                    "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long \
                     (64 characters is the max, {} characters requested)",
                    full.len()
                ));
            }
            Ok(full)
        }
        _ => Ok(name),
    }
}

/// /etc/hosts. `host_file` is the node's own, for pods on the host's network.
pub fn hosts(pod: &Pod, ips: &[IpAddr], cluster_domain: &str, host_file: &str) -> String {
    let mut text = if spec::host_network(pod) {
        format!("# Kubernetes-managed hosts file (host network).\n{host_file}")
    } else {
        let mut text = String::from(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        let (name, domain) = hostname(pod, cluster_domain);
        for ip in ips {
            match &domain {
                Some(domain) => text.push_str(&format!("{ip}\t{name}.{domain}\t{name}\n")),
                None => text.push_str(&format!("{ip}\t{name}\n")),
            }
        }
        text
    };
    let pod_spec = spec::spec(pod);
    if let Some(aliases) = pod_spec.host_aliases.as_ref().filter(|aliases| !aliases.is_empty()) {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.clone().unwrap_or_default().join("\t");
            text.push_str(&format!("{}\t{names}\n", alias.ip));
        }
    }
    text
}

/// What a resolv.conf says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

impl Resolver {
    /// Reads a resolv.conf; the last `search` or `domain` counts.
    pub fn parse(text: &str) -> Resolver {
        let mut resolver = Resolver::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let word = words.next().unwrap_or_default();
            match word {
                "nameserver" => resolver.servers.extend(words.next().map(str::to_owned)),
                "search" | "domain" => {
                    resolver.searches = words
                        .map(|one| if one == "." { one } else { one.trim_end_matches('.') }.to_owned())
                        .collect();
                }
                "options" => resolver.options = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        resolver
    }

    pub fn render(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// /etc/resolv.conf of a pod by `dnsPolicy` and `dnsConfig`; `host` is the node's.
pub fn resolver(pod: &Pod, host: &Resolver, cluster_dns: &[IpAddr], cluster_domain: &str) -> Resolver {
    let pod_spec = spec::spec(pod);
    let policy = pod_spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirst" => !spec::host_network(pod),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    };
    let mut resolver = match policy {
        "None" => Resolver::default(),
        _ if cluster && !cluster_dns.is_empty() => {
            let domain = cluster_domain.trim_end_matches('.');
            let namespace = spec::namespace(pod);
            let mut searches =
                vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
            extend(&mut searches, &host.searches);
            Resolver {
                servers: cluster_dns.iter().map(ToString::to_string).collect(),
                searches,
                options: vec!["ndots:5".to_owned()],
            }
        }
        _ => host.clone(),
    };
    if let Some(config) = &pod_spec.dns_config {
        extend(&mut resolver.servers, config.nameservers.as_deref().unwrap_or_default());
        extend(&mut resolver.searches, config.searches.as_deref().unwrap_or_default());
        for option in config.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            resolver.options.retain(|known| known.split(':').next() != Some(name));
            resolver.options.push(match &option.value {
                Some(value) => format!("{name}:{value}"),
                None => name.clone(),
            });
        }
    }
    resolver.servers.truncate(3);
    resolver.searches.truncate(32);
    resolver
}

fn extend(list: &mut Vec<String>, more: &[String]) {
    for one in more {
        if !list.contains(one) {
            list.push(one.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(
            serde_json::json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec}),
        )
        .unwrap()
    }

    #[test]
    fn hosts_name_the_pod_and_its_aliases() {
        let pod = pod(serde_json::json!({"containers": [], "hostname": "web", "subdomain": "db",
            "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]}));
        let text = hosts(&pod, &["10.42.0.3".parse().unwrap()], "cluster.local", "");
        assert!(text.ends_with(
            "fe00::2\tip6-allrouters\n10.42.0.3\tweb.db.shop.svc.cluster.local\tweb\n\
             \n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"
        ));
        assert_eq!(kernel_hostname(&pod, "cluster.local").unwrap(), "web");
    }

    #[test]
    fn resolvers_by_policy() {
        let host = Resolver::parse("nameserver 9.9.9.9\nsearch lan.\noptions rotate\n");
        let dns = ["10.43.0.10".parse().unwrap()];
        let check = |spec, expected: &str| {
            assert_eq!(resolver(&pod(spec), &host, &dns, "cluster.local").render(), expected);
        };
        check(
            serde_json::json!({"containers": []}),
            "search shop.svc.cluster.local svc.cluster.local cluster.local lan\nnameserver 10.43.0.10\noptions ndots:5\n",
        );
        check(
            serde_json::json!({"containers": [], "hostNetwork": true}),
            "search lan\nnameserver 9.9.9.9\noptions rotate\n",
        );
        check(
            serde_json::json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"],
                "searches": ["x.y"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
            "search x.y\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
        );
    }
}
