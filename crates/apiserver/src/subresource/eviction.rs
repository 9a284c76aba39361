//! `pods/eviction`: a delete that asks the disruption budgets first
//! (k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go).

use std::sync::Arc;

use api::selector::Labels;
use api::{Object, Value, pod};
use bytes::Bytes;
use http::{Response, StatusCode};

use crate::admit::{self, Form, Operation};
use crate::codec::{self, Expected};
use crate::engine::Call;
use crate::engine::delete::Options;
use crate::engine::update::Part;
use crate::http::Body;
use crate::status::{Result, Status};

pub(super) async fn run(call: &Call, bytes: Bytes) -> Result<Response<Body>> {
    let write = call.write_options()?;
    let expected = Expected::named("policy", "v1", "Eviction");
    let bytes = as_v1(call, bytes);
    let sent = codec::decode(&expected, call.content_type(), &bytes, write.strictness, &mut Vec::new())?;
    if sent.str_at(&["metadata", "name"]) != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let text = |path: &[&str]| sent.at(path).and_then(Value::as_str).map(String::from);
    let mut options = Options {
        grace: sent.at(&["deleteOptions", "gracePeriodSeconds"]).and_then(Value::as_int),
        uid: text(&["deleteOptions", "preconditions", "uid"]),
        version: text(&["deleteOptions", "preconditions", "resourceVersion"]),
        orphan: None,
        policy: text(&["deleteOptions", "propagationPolicy"]),
        orphans: false,
        dry_run: write.dry_run,
        admitted: true,
    };
    let mut asked = sent.clone();
    let request = admit::Request::new(call, Operation::Create, "eviction", admit::Options::Write(&write));
    let request = request.of(Form::Other("policy", "v1", "Eviction"));
    admit::pass(&request, &mut asked).await?;
    let object = call.current().await?;
    let value = object.value();
    let phase = value.str_at(&["status", "phase"]);
    let unneeded = pod::is_terminal(&value) || phase == "Pending" || object.deleting;
    if !unneeded {
        ask_budgets(call, &object, &value, write.dry_run).await?;
        // What was judged is what is deleted.
        options.uid.get_or_insert_with(|| object.uid.to_string());
    }
    if !write.dry_run {
        mark(call, &object).await?;
    }
    call.delete_one(&call.info.name, &call.info.namespace, &options).await?;
    Ok(super::success(call, StatusCode::CREATED))
}

/// The body of an older client, whose Eviction differs in its version alone.
fn as_v1(call: &Call, bytes: Bytes) -> Bytes {
    const OLD: &str = "policy/v1beta1";
    if codec::media_of(call.content_type()) != "application/json" {
        return bytes;
    }
    match api::json::parse(&bytes) {
        Ok(mut sent) if sent.str_at(&["apiVersion"]) == OLD => {
            sent.set(&["apiVersion"], "policy/v1");
            sent.to_json().into()
        }
        _ => bytes,
    }
}

/// Tells controllers why the pod goes (KEP-3329).
async fn mark(call: &Call, object: &Object) -> Result<()> {
    let now = call.inner.now();
    let uid = object.uid.to_string();
    let make = |old: &Value| {
        let mut new = old.clone();
        new.remove(&["metadata", "resourceVersion"]);
        new.set(&["metadata", "uid"], uid.as_str());
        let conditions = old.at(&["status", "conditions"]).and_then(Value::as_array).unwrap_or_default();
        let mut all: Vec<Value> = conditions
            .iter()
            .filter(|condition| condition.str_at(&["type"]) != "DisruptionTarget")
            .cloned()
            .collect();
        let mut condition = Value::object();
        for (field, text) in [
            ("type", "DisruptionTarget"),
            ("status", "True"),
            ("lastTransitionTime", now.as_str()),
            ("reason", "EvictionByEvictionAPI"),
            ("message", "Eviction API: evicting"),
        ] {
            condition.set(&[field], text);
        }
        all.push(condition);
        new.set(&["status", "conditions"], all);
        Ok(new)
    };
    let place = ("", "v1", "pods", object.namespace(), object.name());
    call.inner.change(place, Part::Status, &make).await.map(drop)
}

async fn ask_budgets(call: &Call, pod: &Object, value: &Value, dry_run: bool) -> Result<()> {
    let Some(cache) = call.inner.caches.named("policy", "poddisruptionbudgets") else { return Ok(()) };
    call.inner.catch_up(&cache).await?;
    let snapshot = cache.snapshot();
    let matching: Vec<Arc<Object>> = snapshot
        .range(pod.namespace(), None)
        .filter(|budget| {
            let selector = budget.value().at(&["spec", "selector"]).cloned();
            selector.is_some_and(|selector| {
                Labels::from_object(&selector).is_ok_and(|labels| labels.matches(&pod.labels))
            })
        })
        .cloned()
        .collect();
    let [budget] = matching.as_slice() else {
        return match matching.is_empty() {
            true => Ok(()),
            false => Err(Status::new(
                500,
                "",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            )),
        };
    };
    let spec = budget.value();
    let always = spec.str_at(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow";
    let desired = spec.at(&["status", "desiredHealthy"]).and_then(Value::as_int).unwrap_or(0);
    let current = spec.at(&["status", "currentHealthy"]).and_then(Value::as_int).unwrap_or(0);
    if !pod::is_ready(value) && (always || (current >= desired && desired > 0)) {
        return Ok(());
    }
    let refused = |message: &str| {
        Status::new(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        )
        .caused("DisruptionBudget", message, "")
    };
    let name = budget.name().to_string();
    let now = call.inner.now();
    let pod_name = pod.name().to_string();
    let make = |old: &Value| {
        let seen = old.at(&["status", "observedGeneration"]).and_then(Value::as_int).unwrap_or(0);
        let generation = old.at(&["metadata", "generation"]).and_then(Value::as_int).unwrap_or(0);
        if seen < generation {
            let text = format!("The disruption budget {name} is still being processed by the server.");
            return Err(refused(&text).retry_after(10));
        }
        let allowed = old.at(&["status", "disruptionsAllowed"]).and_then(Value::as_int).unwrap_or(0);
        if allowed <= 0 {
            let healthy = old.at(&["status", "currentHealthy"]).and_then(Value::as_int).unwrap_or(0);
            let desired = old.at(&["status", "desiredHealthy"]).and_then(Value::as_int).unwrap_or(0);
            return Err(refused(&format!(
                "The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
            )));
        }
        let mut new = old.clone();
        new.remove(&["metadata", "resourceVersion"]);
        new.set(&["status", "disruptionsAllowed"], allowed - 1);
        new.set(&["status", "disruptedPods", pod_name.as_str()], now.as_str());
        Ok(new)
    };
    let place = ("policy", "v1", "poddisruptionbudgets", budget.namespace(), budget.name());
    if dry_run {
        return make(&spec).map(drop);
    }
    call.inner.change(place, Part::Status, &make).await.map(drop)
}
