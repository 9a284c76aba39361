//! The APIServices of what this server serves itself: there to be seen, and always available.

use std::sync::Arc;

use api::{Value, discovery};

use crate::engine::update::Part;
use crate::server::Inner;
use crate::subresource::value_of;

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Makes what is missing, and takes away what a definition left.
pub(super) async fn ensure(inner: &Arc<Inner>) {
    let kinds = inner.kinds.load_full();
    let mut wanted = Vec::new();
    let mut groups = discovery::group_names(&kinds);
    groups.insert(0, String::new());
    for (place, group) in groups.iter().enumerate() {
        let custom = kinds.iter().any(|kind| kind.resource.group == *group && kind.custom);
        let versions = discovery::group_versions(&kinds, group);
        for (rank, version) in versions.iter().enumerate() {
            // Upstream's numbers are by hand; what counts is their order, and that those of definitions come last.
            let priority = match (group.as_str(), custom) {
                ("", _) => 18_000,
                (_, true) => 1_000,
                _ => 17_900 - 50 * place as i64,
            };
            let rank = if custom { 100 } else { 15 - (rank as i64).min(14) };
            wanted.push((
                format!("{version}.{group}"),
                group.clone(),
                version.clone(),
                priority,
                rank,
                custom,
            ));
        }
    }
    let Some(cache) = inner.caches.named("apiregistration.k8s.io", "apiservices") else { return };
    for (name, group, version, priority, rank, custom) in &wanted {
        if cache.get("", name).is_some() {
            continue;
        }
        let object = value_of(serde_json::json!({
            "metadata": {"labels": {MANAGED: if *custom { "true" } else { "onstart" }}},
            "spec": {"group": group, "version": version, "groupPriorityMinimum": priority, "versionPriority": rank},
        }));
        let place = ("apiregistration.k8s.io", "v1", "apiservices", "", name.as_str());
        if let Err(status) = inner.ensure(place, object).await {
            tracing::warn!(name, message = status.message(), "cannot make a local APIService");
            continue;
        }
        let now = inner.now();
        let make = |old: &Value| {
            let mut new = old.clone();
            new.remove(&["metadata", "resourceVersion"]);
            let condition = value_of(serde_json::json!({
                "type": "Available", "status": "True", "reason": "Local", "lastTransitionTime": now,
                "message": "Local APIServices are always available",
            }));
            new.set(&["status", "conditions"], vec![condition]);
            Ok(new)
        };
        let _ = inner.change(place, Part::Status, &make).await;
    }
    let stale: Vec<String> = cache
        .snapshot()
        .iter()
        .filter(|object| object.label(MANAGED) == Some("true"))
        .map(|object| object.name().to_string())
        .filter(|name| !wanted.iter().any(|(own, ..)| own == name))
        .collect();
    for name in stale {
        let place = ("apiregistration.k8s.io", "v1", "apiservices", "", name.as_str());
        if let Ok(call) = inner.own_call(place, "delete") {
            let _ = call.delete_one(&name, "", &Default::default()).await;
        }
    }
}
