//! Priority: a pod's class becomes a number (k8s.io/kubernetes/plugin/pkg/admission/priority).

use api::Value;

use super::Plugin;
use crate::engine::Call;
use crate::status::{Result, Status};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "Priority",
    default: true,
    handles: |request| request.creates("", "pods") || request.updates("", "pods"),
    mutate: Some(|request, value| {
        Box::pin(async move {
            match &request.old {
                Some(old) => keep(value, old),
                None => create(request.call, value).await?,
            }
            Ok(())
        })
    }),
    validate: None,
};

/// What the class gave stays where an update says nothing of it.
fn keep(pod: &mut Value, old: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        let was = old.at(&["spec", field]).filter(|was| !was.is_null());
        if let Some(was) = was.filter(|_| pod.at(&["spec", field]).is_none_or(Value::is_null)) {
            pod.set(&["spec", field], was.clone());
        }
    }
}

async fn create(call: &Call, pod: &mut Value) -> Result<()> {
    let name = pod.str_at(&["spec", "priorityClassName"]).to_string();
    let forbidden = |pod: &Value, why: String| {
        Status::forbidden(&call.target.kind.resource, pod.str_at(&["metadata", "name"]), why)
    };
    let Some(cache) = call.inner.caches.named("scheduling.k8s.io", "priorityclasses") else { return Ok(()) };
    let class = if name.is_empty() {
        let snapshot = cache.snapshot();
        let defaults = snapshot.iter().map(|object| object.value());
        defaults
            .filter(|class| class.get("globalDefault").and_then(Value::as_bool) == Some(true))
            .min_by_key(|class| class.get("value").and_then(Value::as_int).unwrap_or(0))
    } else {
        let mut class = cache.get("", &name);
        if class.is_none() {
            call.inner.catch_up(&cache).await?;
            class = cache.get("", &name);
        }
        let Some(class) = class else {
            return Err(forbidden(pod, format!("no PriorityClass with name {name} was found")));
        };
        Some(class.value())
    };
    let number = class.as_ref().and_then(|class| class.get("value")?.as_int()).unwrap_or(0);
    let policy = class.as_ref().map(|class| class.str_at(&["preemptionPolicy"])).unwrap_or_default();
    let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy };
    if let Some(class) = class.as_ref().filter(|_| name.is_empty()) {
        pod.set(&["spec", "priorityClassName"], class.str_at(&["metadata", "name"]));
    }
    if let Some(given) =
        pod.at(&["spec", "priority"]).and_then(Value::as_int).filter(|given| *given != number)
    {
        return Err(forbidden(
            pod,
            format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {number} from the given PriorityClass name"
            ),
        ));
    }
    let given = pod.str_at(&["spec", "preemptionPolicy"]).to_string();
    if !given.is_empty() && given != policy {
        return Err(forbidden(
            pod,
            format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            ),
        ));
    }
    pod.set(&["spec", "priority"], number);
    pod.set(&["spec", "preemptionPolicy"], policy);
    Ok(())
}
