//! The API server's role: its configuration from the flags, its certificate, its listener.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use store::Store;
use tokio::net::TcpListener;

use super::Host;
use super::certificates::Renewal;
use super::dialer::InProcess;
use super::reload::Reload;
use super::{arguments, encryption};

/// The API, and what of it may change while it runs.
pub struct Started {
    pub server: apiserver::Server,
    pub reload: Reload,
}

/// Loads the caches and serves; ready when it returns.
pub async fn start(
    host: &Host,
    listener: TcpListener,
    store: Arc<dyn Store>,
    pki: &Arc<pki::Pki>,
    dialer: Arc<InProcess>,
) -> Result<Started> {
    let config = &host.config;
    let advertise = SocketAddr::new(config.advertise_address.unwrap_or(host.node_ip), config.port);
    let mut settings = apiserver::Config::new(advertise, pki.service_account.clone());
    settings.service_cidrs = vec![config.service_cidr];
    settings.node_ports = config.node_ports.clone();
    settings.cluster_domain = config.cluster_domain.clone();
    settings.client_ca = Some(pki.client.pem());
    settings.front_proxy = Some(front_proxy(host, pki)?);
    let files = arguments::take(&mut settings, host)?;
    let renewal = renewal(host, &settings, pki);
    let serving = renewal.serving()?;
    host.tasks.spawn("certificates", renewal.run(serving.clone()));
    let tls = pki::server_config(serving, settings.client_ca.as_deref(), &host.clock)?;
    let server = apiserver::Server::start(settings, store, dialer, host.clock.clone(), &host.tasks).await?;
    host.tasks.spawn("api", server.serve(listener, tls));
    let sealed = files.encryption.as_ref().map(|(_, document)| encryption::summary(document));
    if let Some(summary) = sealed {
        host.roles.set(encryption::ROLE, crate::roles::State::Up, summary, "");
    }
    let reload = Reload {
        server: server.clone(),
        roles: host.roles.clone(),
        encryption: files.encryption.map(|(path, _)| path),
        authentication: files.authentication,
        authorization: files.authorization,
    };
    Ok(Started { server, reload })
}

/// What the API shows to the servers behind APIServices; made anew at a start when two thirds of its life are over.
fn front_proxy(host: &Host, pki: &Arc<pki::Pki>) -> Result<apiserver::config::FrontProxy> {
    let request = pki::Request {
        common_name: "front-proxy-client".into(),
        organization: None,
        names: Vec::new(),
        purpose: pki::Purpose::Client,
    };
    let issued = pki.front_proxy.keep(&host.paths.tls(), "client-auth-proxy", &request, &host.clock)?;
    Ok(apiserver::config::FrontProxy {
        ca: pki.front_proxy.pem(),
        certificate: issued.certificate,
        key: issued.key,
    })
}

/// The names under which the API is reached, and what keeps their certificate young.
fn renewal(host: &Host, settings: &apiserver::Config, pki: &Arc<pki::Pki>) -> Renewal {
    let config = &host.config;
    let mut names: Vec<String> = vec!["localhost".into(), "127.0.0.1".into(), host.node_ip.to_string()];
    let domain = &config.cluster_domain;
    names.extend(["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(String::from));
    names.push(format!("kubernetes.default.svc.{domain}"));
    names.push(settings.kubernetes_ip().to_string());
    names.push(config.node_name.clone());
    names.extend(config.advertise_address.iter().chain(&config.node_external_ip).map(ToString::to_string));
    names.extend(config.tls_san.iter().cloned());
    names.sort();
    names.dedup();
    let request =
        pki::Request { common_name: "skiff".into(), organization: None, names, purpose: pki::Purpose::Serve };
    Renewal { config: config.clone(), paths: host.paths.clone(), pki: pki.clone(), request }
}
