//! The API server's role: its configuration from the flags, its certificate, its listener.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use store::Store;
use tokio::net::TcpListener;

use super::Host;
use super::certificates::Renewal;
use super::dialer::InProcess;

/// Loads the caches and serves; ready when it returns.
pub async fn start(
    host: &Host,
    listener: TcpListener,
    store: Arc<dyn Store>,
    pki: &Arc<pki::Pki>,
    dialer: Arc<InProcess>,
) -> Result<apiserver::Server> {
    let config = &host.config;
    let advertise = SocketAddr::new(config.advertise_address.unwrap_or(host.node_ip), config.port);
    let mut settings = apiserver::Config::new(advertise, pki.service_account.clone());
    settings.service_cidrs = vec![config.service_cidr];
    settings.node_ports = config.node_ports.clone();
    settings.cluster_domain = config.cluster_domain.clone();
    settings.client_ca = Some(pki.client.pem());
    settings.front_proxy = Some(front_proxy(host, pki)?);
    arguments(&mut settings, host)?;
    let renewal = renewal(host, &settings, pki);
    let serving = renewal.serving()?;
    host.tasks.spawn("certificates", renewal.run(serving.clone()));
    let tls = pki.server_config(serving)?;
    let server = apiserver::Server::start(settings, store, dialer, host.clock.clone(), &host.tasks).await?;
    host.tasks.spawn("api", server.serve(listener, tls));
    Ok(server)
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

/// `--kube-apiserver-arg`, by upstream's names.
fn arguments(settings: &mut apiserver::Config, host: &Host) -> Result<()> {
    for (name, value) in &host.config.apiserver_args {
        let bad = || format!("--kube-apiserver-arg={name}={value}");
        match name.as_str() {
            "anonymous-auth" => settings.anonymous = value.parse().with_context(bad)?,
            "event-ttl" => {
                let hours = value.strip_suffix("h0m0s").or_else(|| value.strip_suffix('h'));
                let hours: u32 = hours
                    .unwrap_or("")
                    .parse()
                    .with_context(|| format!("{}: hours are needed, such as 1h", bad()))?;
                settings.limits.event_ttl = hours * 3600;
            }
            "max-mutating-requests-inflight" => {
                settings.limits.mutating_in_flight = value.parse().with_context(bad)?;
            }
            "max-requests-inflight" => settings.limits.in_flight = value.parse().with_context(bad)?,
            "runtime-config" => {
                for part in value.split(',') {
                    let (group, on) = part.split_once('=').unwrap_or((part, "true"));
                    settings.runtime_config.push((group.into(), on.parse().with_context(bad)?));
                }
            }
            "service-account-issuer" => {
                settings.issuer = value.clone();
                settings.audiences = vec![value.clone()];
            }
            "enable-admission-plugins" => {
                settings.enable_admission.extend(value.split(',').map(String::from));
            }
            "disable-admission-plugins" => {
                settings.disable_admission.extend(value.split(',').map(String::from));
            }
            _ => bail!(
                "{}: known are anonymous-auth, disable-admission-plugins, enable-admission-plugins, event-ttl, \
                 max-mutating-requests-inflight, max-requests-inflight, runtime-config and service-account-issuer",
                bad()
            ),
        }
    }
    Ok(())
}
