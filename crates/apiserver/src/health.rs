//! `/healthz`, `/livez` and `/readyz` with upstream's checks by upstream's names, so that a probe, an alarm or an `exclude` that
//! names one works (k8s.io/apiserver/pkg/server/healthz).
//!
//! Upstream's hooks of start have no counterpart here: all of that is done before the server listens. They are named, and good.
//! Not here: who may ask.

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode};

use crate::http::answer::Asked;
use crate::http::{Body, respond};
use crate::server::Inner;
use crate::status::{Result, Status};

/// What upstream starts, in its order, between what is looked at and [`LAST`].
const HOOKS: [&str; 27] = [
    "start-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-filter",
    "storage-object-count-tracker-hook",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "peer-endpoint-reconciler-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "storage-readiness",
    "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
    "start-kubernetes-service-cidr-controller",
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-registration-controller",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
];
const AUTOREGISTERED: &str = "autoregister-completion";
const LAST: [&str; 2] = ["apiservice-openapi-controller", "apiservice-openapiv3-controller"];
/// Named where there are KMS plugins: what they said last.
const PLUGINS: &str = "kms-providers";
pub(crate) const PLACES: [&str; 3] = ["healthz", "livez", "readyz"];

/// The names of a place's checks, in upstream's order.
fn checks(place: &str, plugins: bool) -> impl Iterator<Item = String> {
    let ready = place == "readyz";
    let first: &[&str] = match ready {
        true => &["ping", "log", "etcd", "etcd-readiness", "informer-sync"],
        false => &["ping", "log", "loopback-serving-certificate", "etcd"],
    };
    let hook = |name: &&str| format!("poststarthook/{name}");
    first
        .iter()
        .map(ToString::to_string)
        .chain(plugins.then(|| PLUGINS.to_string()))
        .chain(HOOKS.iter().map(hook))
        .chain([AUTOREGISTERED.to_string()])
        .chain(LAST.iter().map(hook))
        .chain(ready.then(|| "shutdown".to_string()))
}

/// All paths that there are below the three places, for the index.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    let below = |place: &'static str| checks(place, false).map(move |check| format!("/{place}/{check}"));
    PLACES.into_iter().flat_map(move |place| std::iter::once(format!("/{place}")).chain(below(place)))
}

/// What is looked at once for all checks.
struct Look {
    store: bool,
    caches: bool,
    /// `None`: there are no plugins.
    plugins: Option<bool>,
}

impl Look {
    async fn at(inner: &Inner) -> Look {
        let plugins = inner.encrypted.as_ref().and_then(|encrypted| encrypted.health_of_plugins());
        Look {
            store: inner.store.current().await.is_ok(),
            caches: inner.caches.all().iter().all(|cache| cache.synced()),
            plugins: plugins.map(|said| said.is_ok()),
        }
    }
    fn is_fine(&self, check: &str) -> bool {
        match check {
            "etcd" | "etcd-readiness" | "poststarthook/storage-readiness" => self.store,
            "informer-sync"
            | "poststarthook/generic-apiserver-start-informers"
            | "poststarthook/crd-informer-synced" => self.caches,
            PLUGINS => self.plugins != Some(false),
            _ => true,
        }
    }
}

pub(crate) async fn answer(inner: &Arc<Inner>, asked: &Asked) -> Result<Response<Body>> {
    let path = asked.info.path.as_str().trim_start_matches('/');
    let (place, only) = path.split_once('/').map_or((path, None), |(place, only)| (place, Some(only)));
    let look = Look::at(inner).await;
    let names = || checks(place, look.plugins.is_some());
    if let Some(only) = only {
        if !names().any(|name| name == only) {
            return Err(Status::no_such_path());
        }
        return Ok(match look.is_fine(only) {
            true => respond::text(StatusCode::OK, "ok"),
            false => {
                let text = format!("internal server error: {only} is not healthy\n");
                respond::text(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        });
    }
    let mut excluded: Vec<&str> = asked.query.all("exclude").collect();
    let (mut report, mut good) = (String::new(), true);
    for check in names() {
        if excluded.iter().any(|name| *name == check) {
            excluded.retain(|name| *name != check);
            report.push_str(&format!("[+]{check} excluded: ok\n"));
            continue;
        }
        let fine = look.is_fine(&check);
        good &= fine;
        report.push_str(&match fine {
            true => format!("[+]{check} ok\n"),
            false => format!("[-]{check} failed: reason withheld\n"),
        });
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| api::text::quote(name)).collect();
        let names = names.join(", ");
        report.push_str(&format!("warn: some health checks cannot be excluded: no matches for {names}\n"));
    }
    let mut response = match (good, asked.query.has("verbose")) {
        (true, false) => respond::text(StatusCode::OK, "ok"),
        (true, true) => respond::text(StatusCode::OK, format!("{report}{place} check passed\n")),
        (false, _) => {
            respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{report}{place} check failed\n"))
        }
    };
    response.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// `/metrics/slis`: each check as a number.
pub(crate) async fn metrics(inner: &Inner) -> String {
    let look = Look::at(inner).await;
    let mut text = String::from(
        "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.\n\
         # TYPE kubernetes_healthcheck gauge\n",
    );
    let mut rows: Vec<(String, &str)> = PLACES
        .into_iter()
        .flat_map(|place| checks(place, look.plugins.is_some()).map(move |check| (check, place)))
        .collect();
    rows.sort();
    for (check, place) in rows {
        let value = u8::from(look.is_fine(&check));
        text.push_str(&format!("kubernetes_healthcheck{{name=\"{check}\",type=\"{place}\"}} {value}\n"));
    }
    text
}
