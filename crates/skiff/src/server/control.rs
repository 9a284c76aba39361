//! Controllers, scheduler and fleet: roles that only read and write through the API, each under an identity of its own.

use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::roles::State;

pub fn start(host: &Host, server: &apiserver::Server, pki: &pki::Pki) {
    let caches = server.caches();
    let signers = controllers::Signers { client: pki.client.clone(), server: pki.server.clone() };
    let config =
        controllers::Config { root_ca: pki.server.pem(), signers: Some(signers), ..Default::default() };
    let of = server.clone();
    let clients: controllers::Clients = Arc::new(move |user: &str| of.local(identity(user)));
    if host.config.controllers {
        controllers::run(&clients, &caches, &host.clock, config, &host.tasks);
        host.roles.up("controllers");
    } else {
        host.roles.set("controllers", State::Disabled, "--disable-controller-manager", "");
    }
    if host.config.scheduler {
        let client = server.local(identity("system:kube-scheduler"));
        scheduler::run(client, &caches, &host.clock, Default::default(), &host.tasks);
        host.roles.up("scheduler");
    } else {
        host.roles.set("scheduler", State::Disabled, "--disable-scheduler", "");
    }
    fleet(host, server);
}

/// Keeps what this cluster runs in step with Git.
fn fleet(host: &Host, server: &apiserver::Server) {
    let config = &host.config;
    if config.disable.contains("fleet") {
        host.roles.set("fleet", State::Disabled, "--disable=fleet", "");
        return;
    }
    let left = |owner: &&str| !config.disable.contains(*owner);
    let front_ends: Vec<String> = fleet::frontends::owners().filter(left).map(Into::into).collect();
    if front_ends.is_empty() {
        host.roles.set("fleet", State::Disabled, "--disable=argocd,flux", "");
        return;
    }
    let settings = fleet::Config {
        directory: host.paths.fleet(),
        site: fleet::Site {
            name: config.node_name.clone(),
            uid: String::new(),
            labels: config.node_labels.clone(),
        },
        child: fleet::child::Command {
            // The binary that runs, also after its file was replaced by an upgrade.
            program: "/proc/self/exe".into(),
            arguments: vec![crate::FLEET_CHILD.into()],
        },
        settings: Default::default(),
        interval: config.fleet_interval.map(Duration::from_secs),
        limits: fleet::source::Limits::with_source(config.fleet_source_bytes),
        monthly_bytes: config.fleet_monthly_bytes,
        webhooks: config.fleet_webhooks,
        front_ends,
        ..fleet::Config::new(host.paths.fleet())
    };
    let client = server.local(apiserver::Identity::new("skiff:fleet", &["system:masters"]));
    let (clock, tasks) = (host.clock.clone(), host.tasks.clone());
    base::metrics::register(fleet::metrics::write);
    host.tasks.spawn("fleet", fleet::run(settings, client, clock, tasks));
    host.roles.up("fleet");
}

/// The identity of a name: a ServiceAccount's groups come with it.
fn identity(user: &str) -> apiserver::Identity {
    match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) => apiserver::Identity::service_account(namespace, name),
        None => apiserver::Identity::new(user, &[]),
    }
}
