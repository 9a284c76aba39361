//! Whether the servers behind APIServices answer (kube-aggregator/pkg/controllers/status). Looked at when an APIService, its
//! Service or its endpoints change, and every half minute while there are any; without one nothing is done.

use std::sync::Arc;
use std::time::Duration;

use api::{Value, json};
use http::StatusCode;

use super::{Entry, local, proxy};
use crate::engine::update::Part;
use crate::server::Inner;

const AGAIN: Duration = Duration::from_secs(30);
/// After a change, so that one deployment is looked at once.
const SETTLE: Duration = Duration::from_millis(200);
const PLACE: (&str, &str, &str) = ("apiregistration.k8s.io", "v1", "apiservices");

/// Makes the server's own APIServices and follows the others.
pub(crate) fn start(inner: &Arc<Inner>) {
    let own = inner.clone();
    inner.tasks.spawn("apiservices", async move {
        local::ensure(&own).await;
        let watched = [
            ("apiregistration.k8s.io", "apiservices"),
            ("", "services"),
            ("discovery.k8s.io", "endpointslices"),
        ];
        let mut watches = Vec::new();
        for (group, plural) in watched {
            if let Some(cache) = own.caches.named(group, plural) {
                watches.push(cache.watch().1);
            }
        }
        let [first, second, third] = watches.as_mut_slice() else { return };
        let mut kinds = own.caches.changed();
        loop {
            for entry in own.aggregated.all() {
                check(&own, &entry).await;
            }
            let idle = own.aggregated.is_empty();
            tokio::select! {
                more = first.next() => if more.is_err() { return },
                more = second.next(), if !idle => if more.is_err() { return },
                more = third.next(), if !idle => if more.is_err() { return },
                _ = kinds.changed() => local::ensure(&own).await,
                () = tokio::time::sleep(AGAIN), if !idle => {}
            }
            tokio::time::sleep(SETTLE).await;
        }
    });
}

/// What became of a check: good, or reason and message.
type Checked = Result<Value, (&'static str, String)>;

async fn check(inner: &Arc<Inner>, entry: &Entry) {
    let result = ask(inner, entry).await;
    let (status, reason, message) = match &result {
        Ok(_) => ("True", "Passed", "all checks passed".to_string()),
        Err((reason, message)) => ("False", *reason, message.clone()),
    };
    inner.aggregated.learn(&entry.name, result.ok());
    let now = inner.now();
    let make = |old: &Value| {
        let mut new = old.clone();
        new.remove(&["metadata", "resourceVersion"]);
        let mut conditions =
            old.at(&["status", "conditions"]).and_then(Value::as_array).unwrap_or_default().to_vec();
        let there = conditions.iter_mut().find(|condition| condition.str_at(&["type"]) == "Available");
        let condition = match there {
            Some(condition) => condition,
            None => {
                let mut fresh = Value::object();
                fresh.set(&["type"], "Available");
                conditions.push(fresh);
                conditions.last_mut().expect("because it was just put there")
            }
        };
        if condition.str_at(&["status"]) != status {
            condition.set(&["status"], status);
            condition.set(&["lastTransitionTime"], now.as_str());
        }
        condition.set(&["reason"], reason);
        condition.set(&["message"], message.as_str());
        new.set(&["status", "conditions"], conditions);
        Ok(new)
    };
    let place = (PLACE.0, PLACE.1, PLACE.2, "", entry.name.as_str());
    match inner.change(place, Part::Status, &make).await {
        Err(status) if status.reason() != "NotFound" => {
            tracing::warn!(
                name = entry.name,
                message = status.message(),
                "cannot write an APIService's status"
            );
        }
        _ => {}
    }
}

async fn ask(inner: &Arc<Inner>, entry: &Entry) -> Checked {
    let (namespace, name, port) = &entry.service;
    let Some(service) = inner.peek("", "services", namespace, name) else {
        return Err(("ServiceNotFound", format!("service/{name} in {namespace:?} is not present")));
    };
    let service = service.value();
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array).unwrap_or_default();
    let row = ports.iter().find(|row| row.get("port").and_then(Value::as_int) == Some((*port).into()));
    let Some(row) = row else {
        let text = format!("service/{name} in {namespace:?} is not listening on port {port}");
        return Err(("ServicePortError", text));
    };
    let port_name = row.str_at(&["name"]);
    if let Some(slices) = inner.caches.named("discovery.k8s.io", "endpointslices") {
        let snapshot = slices.snapshot();
        let mut of_service = snapshot
            .range(namespace, None)
            .filter(|slice| slice.label("kubernetes.io/service-name") == Some(name))
            .peekable();
        if of_service.peek().is_none() {
            return Err((
                "EndpointsNotFound",
                format!("cannot find endpointslices for service/{name} in {namespace:?}"),
            ));
        }
        let ready = of_service.any(|slice| {
            let slice = slice.value();
            let endpoints = slice.get("endpoints").and_then(Value::as_array).unwrap_or_default();
            endpoints
                .iter()
                .any(|one| one.at(&["conditions", "ready"]).and_then(Value::as_bool) != Some(false))
        });
        if !ready {
            let text = format!(
                "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
            );
            return Err(("MissingEndpoints", text));
        }
    }
    let url = format!("https://{}:{port}/apis/{}/{}", entry.host(), entry.group, entry.version);
    let failed =
        |why: String| ("FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"));
    let limit = Duration::from_secs(5);
    let answer = tokio::time::timeout(limit, discover(inner, entry)).await;
    answer.unwrap_or_else(|_| Err("context deadline exceeded".into())).map_err(failed)
}

/// The resources of the group and version, as the server there lists them.
async fn discover(inner: &Arc<Inner>, entry: &Entry) -> Result<Value, String> {
    let path = format!("/apis/{}/{}", entry.group, entry.version);
    let accept = (http::header::ACCEPT, "application/json");
    let (parts, body) = proxy::get(inner, entry, &path, "system:kube-aggregator", &[accept]).await?;
    let code = parts.status;
    if code != StatusCode::OK {
        return Err(format!("bad status from the server: {}", code.as_u16()));
    }
    json::parse(&body).map_err(|error| error.to_string())
}
