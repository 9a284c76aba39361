//! RuntimeClass: what a class costs and where it can run becomes part of the pod (KEP-688).

use api::Value;

use super::Plugin;
use crate::engine::Call;
use crate::status::{Result, Status};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "RuntimeClass",
    default: true,
    handles: |request| request.creates("", "pods"),
    mutate: Some(|request, value| Box::pin(create(request.call, value))),
    validate: None,
};

async fn create(call: &Call, pod: &mut Value) -> Result<()> {
    let name = pod.str_at(&["spec", "runtimeClassName"]).to_string();
    if name.is_empty() {
        return Ok(());
    }
    let forbidden =
        |why: String| Status::forbidden(&call.target.kind.resource, pod.str_at(&["metadata", "name"]), why);
    let Some(cache) = call.inner.caches.named("node.k8s.io", "runtimeclasses") else { return Ok(()) };
    call.inner.catch_up(&cache).await?;
    let Some(class) = cache.get("", &name) else {
        return Err(forbidden(format!("pod rejected: RuntimeClass {name:?} not found")));
    };
    let class = class.value();
    if let Some(overhead) = class.at(&["overhead", "podFixed"]) {
        match pod.at(&["spec", "overhead"]) {
            Some(given) if given != overhead => {
                return Err(forbidden(
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".into(),
                ));
            }
            _ => pod.set(&["spec", "overhead"], overhead.clone()),
        }
    }
    for (key, value) in class
        .at(&["scheduling", "nodeSelector"])
        .and_then(Value::as_map)
        .into_iter()
        .flat_map(|map| map.iter())
    {
        match pod.at(&["spec", "nodeSelector", key.as_str()]) {
            Some(given) if given != value => {
                let why =
                    format!("conflict: runtimeClass.scheduling.nodeSelector[{key}] differs from the pod's");
                let name = pod.str_at(&["metadata", "name"]);
                return Err(Status::forbidden(&call.target.kind.resource, name, why));
            }
            _ => pod.set(&["spec", "nodeSelector", key.as_str()], value.clone()),
        }
    }
    let more = class.at(&["scheduling", "tolerations"]).and_then(Value::as_array).unwrap_or_default();
    if !more.is_empty() {
        let mut all = pod.at(&["spec", "tolerations"]).and_then(Value::as_array).unwrap_or_default().to_vec();
        for toleration in more {
            if !all.contains(toleration) {
                all.push(toleration.clone());
            }
        }
        pod.set(&["spec", "tolerations"], all);
    }
    Ok(())
}
