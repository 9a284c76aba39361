//! The node's roles: runtime, images, network, kubelet, proxy. The kubelet knows them by traits; here they are joined.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv4Net};
use runtime::linux::Linux;

use super::Host;
use super::dialer::InProcess;
use crate::roles::State;

/// `--kubelet-arg` that belongs to the runtime.
const CGROUP_ROOT: &str = "cgroup-root";

/// What the node needs of the machine, before there is an API.
pub struct Machine {
    runtime: Arc<Linux>,
    images: image::Images,
    network: net::Network,
    pod_cidr: Ipv4Net,
}

/// The one IPv4 network of a flag; the configuration has refused others.
fn v4(cidr: IpNet) -> Result<Ipv4Net> {
    match cidr {
        IpNet::V4(cidr) => Ok(cidr),
        IpNet::V6(_) => anyhow::bail!("{cidr}: IPv6 clusters are not in this version"),
    }
}

fn v4_address(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

impl Machine {
    /// Adopts what runs, opens the image store, makes the bridge.
    pub async fn open(host: &Host) -> Result<Machine> {
        let (config, paths) = (&host.config, &host.paths);
        let cluster_cidr = v4(config.cluster_cidr)?;
        // The first of the /24s that nodes get, as upstream's node IPAM hands them out.
        let pod_cidr = Ipv4Net::new(cluster_cidr.network(), 24.max(cluster_cidr.prefix_len()))?;
        let (state, run) = super::network_folders(paths.data(), paths.run());
        let network = net::Config {
            bridge: "skiff0".into(),
            pod_cidr,
            cluster_cidr,
            service_cidr: Some(v4(config.service_cidr)?),
            addresses: dns_address(host),
            mtu: 1500,
            state,
            run,
            table: "skiff".into(),
        };
        let images = image::Config {
            store: paths.image_store(),
            inbox: paths.images(),
            registries: image::Registries::read(&config.registries)?,
            limits: Default::default(),
        };
        host.roles.set("network", State::Starting, "", "");
        host.roles.set("runtime", State::Starting, "", "");
        let (network, images) = tokio::task::spawn_blocking(move || {
            let network = net::Network::open(network).context("cannot set up the pods' network")?;
            let images = image::Images::open(images).context("cannot open the image store")?;
            anyhow::Ok((network, images))
        })
        .await??;
        host.roles.up("network");
        let mut settings =
            runtime::linux::Config::new(paths.data().join("node/runtime"), paths.run().join("runtime"));
        if let Some(name) = config.kubelet_args.get(CGROUP_ROOT) {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            anyhow::ensure!(
                name.starts_with(super::CGROUP) && name.bytes().all(fine),
                "--kubelet-arg={CGROUP_ROOT}={name}: a name of letters, digits, '-', '_' and '.' that starts with {} is \
                 needed, so that uninstall can tell it is skiff's",
                super::CGROUP
            );
            settings.cgroup = name.clone();
        }
        let runtime = Linux::open(settings).await.context("cannot start the container runtime")?;
        host.roles.up("runtime");
        Ok(Machine { runtime, images, network, pod_cidr })
    }
}

/// Starts kubelet, proxy and the watch on image archives.
pub async fn start(
    host: &Host,
    server: &apiserver::Server,
    machine: Machine,
    dialer: &Arc<InProcess>,
) -> Result<()> {
    let (config, caches) = (&host.config, server.caches());
    let name = &config.node_name;
    let mut settings = kubelet::Config::new(name, vec![host.node_ip], host.paths.clone());
    settings.external_ips = config.node_external_ip.into_iter().collect();
    settings.labels = config.node_labels.clone();
    settings.taints = config
        .node_taints
        .iter()
        .map(|taint| k8s_openapi::api::core::v1::Taint {
            key: taint.key.clone(),
            value: Some(taint.value.clone()).filter(|value| !value.is_empty()),
            effect: taint.effect.clone(),
            time_added: None,
        })
        .collect();
    settings.cluster_dns = vec![config.cluster_dns];
    settings.cluster_domain = config.cluster_domain.clone();
    settings.pod_cidrs = vec![machine.pod_cidr.to_string()];
    settings.version = format!("{}+skiff{}", super::KUBERNETES, crate::VERSION);
    settings.settings.resolv_conf = config.resolv_conf.clone();
    for (name, value) in config.kubelet_args.iter().filter(|(name, _)| *name != CGROUP_ROOT) {
        settings.settings.set(name, value)?;
    }

    let client = server.local(apiserver::Identity::node(name));
    let writer = client::Writer::new(client.clone(), caches.clone(), "kubelet");
    let source = client::recorder::Source { component: "kubelet".into(), instance: name.clone() };
    let form = client::recorder::Form::Core;
    let recorder = client::Recorder::start(writer, source, form, host.clock.clone(), &host.tasks);
    let seams = kubelet::Seams {
        client,
        sources: kubelet::sources::Cached::start(&caches, name, &host.tasks).await?,
        recorder,
        runtime: machine.runtime,
        images: Arc::new(machine.images.clone()),
        network: Arc::new(machine.network),
    };
    let kubelet = kubelet::Kubelet::start(settings, seams, host.clock.clone(), &host.tasks);
    let api = kubelet.api();
    dialer.set(Box::new(move |stream| {
        let api = api.clone();
        drop(base::spawn("node API", async move { api.serve_connection(stream).await }));
    }));
    host.roles.up("kubelet");

    let inbox = machine.images;
    host.tasks.spawn("images", async move {
        if let Err(error) = inbox.watch().await {
            tracing::error!(error = %base::chain(&error), "archives in the images folder are not noticed any more");
        }
    });
    proxy(host, &caches)?;
    super::dns::start(host, &caches)
}

/// The cluster DNS IP, if this node answers there.
fn dns_address(host: &Host) -> Vec<Ipv4Addr> {
    let address = super::dns::enabled(host).then_some(host.config.cluster_dns);
    address.and_then(v4_address).into_iter().collect()
}

fn proxy(host: &Host, caches: &client::Caches) -> Result<()> {
    if !host.config.proxy {
        host.roles.set("proxy", State::Disabled, "--disable-kube-proxy", "");
        return Ok(());
    }
    let config = proxy::Config {
        node_name: host.config.node_name.clone(),
        cluster_cidr: v4(host.config.cluster_cidr)?,
        service_cidr: Some(v4(host.config.service_cidr)?),
        local_addresses: dns_address(host),
        table: "skiff-proxy".into(),
    };
    proxy::run(config, caches, &host.tasks).context("cannot make the rules of Services")?;
    host.roles.up("proxy");
    Ok(())
}
