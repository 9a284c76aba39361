//! Controllers and scheduler: roles that only read caches and write through the API, each under upstream's identity.

use std::sync::Arc;

use super::Host;
use crate::roles::State;

pub fn start(host: &Host, server: &apiserver::Server, pki: &pki::Pki) {
    let caches = server.caches();
    let config = controllers::Config { root_ca: pki.server.pem(), ..Default::default() };
    let of = server.clone();
    let clients: controllers::Clients = Arc::new(move |user: &str| of.local(identity(user)));
    controllers::run(&clients, &caches, &host.clock, config, &host.tasks);
    host.roles.up("controllers");
    if host.config.scheduler {
        let client = server.local(identity("system:kube-scheduler"));
        scheduler::run(client, &caches, &host.clock, Default::default(), &host.tasks);
        host.roles.up("scheduler");
    } else {
        host.roles.set("scheduler", State::Disabled, "--disable-scheduler", "");
    }
}

/// The identity of a name: a ServiceAccount's groups come with it.
fn identity(user: &str) -> apiserver::Identity {
    match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) => apiserver::Identity::service_account(namespace, name),
        None => apiserver::Identity::new(user, &[]),
    }
}
