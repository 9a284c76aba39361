//! The APIServices of what this server serves itself: there to be seen, and always available.

use std::sync::Arc;

use api::{Value, discovery};

use crate::engine::update::Part;
use crate::server::Inner;
use crate::subresource::value_of;

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Groups by their place before those of others, upstream's numbers (k8s.io/kubernetes/pkg/controlplane/apiserver/aggregator.go,
/// cmd/kube-apiserver/app/aggregator.go).
const GROUPS: [(&str, i64); 22] = [
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("resource.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
    ("internal.apiserver.k8s.io", 16_000),
    ("storagemigration.k8s.io", 15_800),
];

/// The rank of a version within its group.
fn rank(group: &str, version: &str) -> i64 {
    match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io" | "resource.k8s.io", "v1") => 21,
        ("resource.k8s.io", "v1beta2") => 15,
        ("coordination.k8s.io", "v1beta1") => 13,
        ("coordination.k8s.io", "v1alpha2") | ("admissionregistration.k8s.io", "v1beta1") => 12,
        ("scheduling.k8s.io", "v1alpha2") => 2,
        ("certificates.k8s.io" | "storage.k8s.io" | "resource.k8s.io", alpha) if alpha.contains("alpha") => 1,
        (_, "v1") => 15,
        _ => 9,
    }
}

/// Makes what is missing, and takes away what a definition left.
pub(super) async fn ensure(inner: &Arc<Inner>) {
    let kinds = inner.kinds.load_full();
    let mut wanted = Vec::new();
    let mut groups = discovery::group_names(&kinds);
    groups.insert(0, String::new());
    // The group of APIServices is served by who keeps them, and has none.
    for group in groups.iter().filter(|group| *group != "apiregistration.k8s.io") {
        let custom = kinds.iter().any(|kind| kind.resource.group == *group && kind.custom);
        let versions = discovery::group_versions(&kinds, group);
        for version in &versions {
            let known = GROUPS.iter().find(|(own, _)| own == group).filter(|_| !custom);
            let priority = known.map_or(1_000, |(_, priority)| *priority);
            let rank = if custom { 100 } else { rank(group, version) };
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
