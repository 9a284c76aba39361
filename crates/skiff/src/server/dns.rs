//! The cluster's DNS: a server on this node, and the Service `kube-dns` by which people and tests know it.

use anyhow::{Context, Result};
use client::{Caches, Writer};
use ipnet::IpNet;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

use super::Host;
use crate::roles::State;

/// k3s' word for the cluster's DNS, in `--disable`.
const NAME: &str = "coredns";

/// Whether this node answers at the cluster DNS IP.
pub fn enabled(host: &Host) -> bool {
    !host.config.disable.contains(NAME)
}

/// Listens at the cluster DNS IP, which `net` gave to the bridge.
pub fn start(host: &Host, caches: &Caches) -> Result<()> {
    if !enabled(host) {
        host.roles.set("dns", State::Disabled, "--disable=coredns", "");
        return Ok(());
    }
    let config = &host.config;
    let settings = dns::Config {
        domain: config.cluster_domain.clone(),
        listen: vec![SocketAddr::new(config.cluster_dns, 53)],
        address: config.cluster_dns,
        own_ranges: vec![IpNet::new(config.cluster_dns, 32)?, config.cluster_cidr, config.service_cidr],
        resolv_conf: config.resolv_conf.clone(),
    };
    dns::run(settings, caches, &host.tasks).context("cannot answer cluster names")?;
    host.roles.up("dns");
    Ok(())
}

/// Makes the Service once the API takes it. It has no selector and no endpoints: each node answers itself, so `proxy`
/// makes no rules for this address.
pub fn service(host: &Host, server: &apiserver::Server) {
    if !enabled(host) {
        return;
    }
    let address = host.config.cluster_dns.to_string();
    let identity = apiserver::Identity::new("system:apiserver", &["system:masters"]);
    let writer = Writer::new(server.local(identity), server.caches(), "skiff");
    host.tasks.spawn("kube-dns", async move {
        let body = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kube-dns", "namespace": "kube-system",
                "labels": {
                    "k8s-app": "kube-dns",
                    "kubernetes.io/cluster-service": "true",
                    "kubernetes.io/name": "CoreDNS",
                },
            },
            "spec": {
                "clusterIP": address,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        });
        let services = api::Resource::new("", "services");
        let key = api::Key::new(&services, "kube-system", "kube-dns");
        loop {
            // Asked for first: a second Service with its address is refused for that, and not because it exists.
            let made = match writer.get(&key).await {
                Ok(None) => writer.create(&services, "kube-system", &body).await.map(drop),
                there => there.map(drop),
            };
            match made {
                Ok(()) => return,
                Err(error) if error.already_exists() => return,
                Err(error) => {
                    tracing::warn!(error = %base::chain(&error), "the Service kube-dns cannot be made yet");
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            }
        }
    });
}
