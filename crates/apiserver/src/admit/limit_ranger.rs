//! LimitRanger: what containers do not state is set, and what is stated has to be within the namespace's LimitRanges
//! (k8s.io/kubernetes/plugin/pkg/admission/limitranger).

use std::sync::Arc;

use api::pod::{self, Resources};
use api::quantity::Quantity;
use api::{Object, Value};

use super::{Plugin, Request};
use crate::status::Result;

pub(super) const PLUGIN: Plugin = Plugin {
    name: "LimitRanger",
    default: true,
    handles: |request| {
        let resized = request.is("", "pods") && request.subresource == "resize";
        let claims =
            request.creates("", "persistentvolumeclaims") || request.updates("", "persistentvolumeclaims");
        resized || claims || request.creates("", "pods")
    },
    mutate: Some(|request, value| {
        if request.creates("", "pods") {
            for range in ranges(request) {
                default(value, &range.value());
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }),
    validate: Some(|request, value| Box::pin(std::future::ready(validate(request, value)))),
};

const NOTE: &str = "kubernetes.io/limit-ranger";

fn ranges(request: &Request<'_>) -> Vec<Arc<Object>> {
    let Some(cache) = request.call.inner.caches.named("", "limitranges") else { return Vec::new() };
    let snapshot = cache.snapshot();
    snapshot.range(request.namespace(), None).cloned().collect()
}

fn limits(range: &Value) -> &[Value] {
    range.at(&["spec", "limits"]).and_then(Value::as_array).unwrap_or_default()
}

fn default(pod: &mut Value, range: &Value) {
    let (mut requests, mut most) = (Resources::new(), Resources::new());
    for limit in limits(range).iter().filter(|limit| limit.str_at(&["type"]) == "Container") {
        requests.extend(pod::resources(limit.get("defaultRequest")));
        most.extend(pod::resources(limit.get("default")));
    }
    if requests.is_empty() && most.is_empty() {
        return;
    }
    let mut notes = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        let all = pod.at_mut(&["spec", list]).and_then(Value::as_array_mut);
        for container in all.into_iter().flatten() {
            let name = container.str_at(&["name"]).to_string();
            let mut set = |field: &str, defaults: &Resources| {
                let mut added = Vec::new();
                for (resource, amount) in defaults {
                    if container.at(&["resources", field, resource]).is_none() {
                        container.set(&["resources", field, resource], amount.to_string());
                        added.push(resource.to_string());
                    }
                }
                added.join(", ")
            };
            let (limited, requested) = (set("limits", &most), set("requests", &requests));
            if !requested.is_empty() {
                notes.push(format!("{requested} request for {what} {name}"));
            }
            if !limited.is_empty() {
                notes.push(format!("{limited} limit for {what} {name}"));
            }
        }
    }
    if !notes.is_empty() {
        pod.set(&["metadata", "annotations", NOTE], format!("LimitRanger plugin set: {}", notes.join("; ")));
    }
}

fn validate(request: &Request<'_>, value: Option<&Value>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    let mut wrong = Vec::new();
    for range in ranges(request) {
        let range = range.value();
        for limit in limits(&range) {
            match (request.is("", "pods"), limit.str_at(&["type"])) {
                (true, kind @ "Container") => {
                    for list in ["containers", "initContainers"] {
                        let all = value.at(&["spec", list]).and_then(Value::as_array).unwrap_or_default();
                        for container in all {
                            let of = |field: &str| pod::resources(container.at(&["resources", field]));
                            check(kind, limit, &of("requests"), &of("limits"), &mut wrong);
                        }
                    }
                }
                (true, kind @ "Pod") => {
                    let empty = Value::object();
                    let spec = value.get("spec").unwrap_or(&empty);
                    let of = |field: &str| {
                        let mut sums = pod::container_totals(spec, field);
                        sums.extend(pod::resources(spec.at(&["resources", field])));
                        sums
                    };
                    check(kind, limit, &of("requests"), &of("limits"), &mut wrong);
                }
                (false, kind @ "PersistentVolumeClaim") => {
                    let requests = pod::resources(value.at(&["spec", "resources", "requests"]));
                    for (name, least) in pod::resources(limit.get("min")) {
                        wrong.extend(minimum(kind, &name, &least, requests.get(&name), None));
                    }
                    for (name, most) in pod::resources(limit.get("max")) {
                        wrong.extend(match requests.get(&name) {
                            None => Some(format!(
                                "maximum {name} usage per {kind} is {most}.  No request is specified"
                            )),
                            Some(own) if *own > most => Some(format!(
                                "maximum {name} usage per {kind} is {most}, but request is {own}"
                            )),
                            Some(_) => None,
                        });
                    }
                }
                _ => {}
            }
        }
        // Upstream stops at the first range that is not kept.
        if !wrong.is_empty() {
            break;
        }
    }
    match wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(request.forbidden(Some(value), one)),
        many => Err(request.forbidden(Some(value), format!("[{}]", many.join(", ")))),
    }
}

fn check(kind: &str, limit: &Value, requests: &Resources, limits: &Resources, wrong: &mut Vec<String>) {
    let mut note = |text: Option<String>| {
        if let Some(text) = text.filter(|text| !wrong.contains(text)) {
            wrong.push(text);
        }
    };
    for (name, least) in pod::resources(limit.get("min")) {
        note(minimum(kind, &name, &least, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in pod::resources(limit.get("max")) {
        note(match (limits.get(&name), requests.get(&name)) {
            (None, _) => Some(format!("maximum {name} usage per {kind} is {most}.  No limit is specified")),
            (Some(own), _) if *own > most => {
                Some(format!("maximum {name} usage per {kind} is {most}, but limit is {own}"))
            }
            (_, Some(own)) if *own > most => {
                Some(format!("maximum {name} usage per {kind} is {most}, but request is {own}"))
            }
            _ => None,
        });
    }
    for (name, ratio) in pod::resources(limit.get("maxLimitRequestRatio")) {
        let some = |own: Option<&Quantity>| own.filter(|own| !own.is_zero()).map(Quantity::as_f64);
        note(match (some(requests.get(&name)), some(limits.get(&name))) {
            (None, _) => Some(format!(
                "{name} max limit to request ratio per {kind} is {ratio}, but no request is specified or request is 0"
            )),
            (_, None) => Some(format!(
                "{name} max limit to request ratio per {kind} is {ratio}, but no limit is specified or limit is 0"
            )),
            (Some(request), Some(limit)) if limit / request > ratio.as_f64() => Some(format!(
                "{name} max limit to request ratio per {kind} is {ratio}, but provided ratio is {:.6}",
                limit / request
            )),
            _ => None,
        });
    }
}

fn minimum(
    kind: &str,
    name: &str,
    least: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    match (request, limit) {
        (None, _) => Some(format!("minimum {name} usage per {kind} is {least}.  No request is specified")),
        (Some(own), _) if own < least => {
            Some(format!("minimum {name} usage per {kind} is {least}, but request is {own}"))
        }
        (_, Some(own)) if own < least => {
            Some(format!("minimum {name} usage per {kind} is {least}, but limit is {own}"))
        }
        _ => None,
    }
}
