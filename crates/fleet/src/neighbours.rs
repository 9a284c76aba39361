//! Whether the owner's own controller runs in the cluster: two that follow the same objects would undo each other's work.

use api::Value;

use crate::cluster::{Cluster, Error};

/// Where the controllers of each owner run, as they are usually installed: front end, kind, name.
const CONTROLLERS: [(&str, &str, &str); 4] = [
    ("argocd", "StatefulSet", "argocd-application-controller"),
    ("argocd", "Deployment", "argocd-application-controller"),
    ("flux", "Deployment", "kustomize-controller"),
    ("flux", "Deployment", "source-controller"),
];

/// The controller that runs and follows the objects of a front end, as `Kind namespace/name`.
pub async fn live(cluster: &Cluster, front_end: &str) -> Result<Option<String>, Error> {
    for (_, kind, name) in CONTROLLERS.iter().filter(|(owner, ..)| *owner == front_end) {
        let served = cluster.kind("apps/v1", kind).await?;
        let (all, _) = cluster.list_all(&served).await?;
        let runs = |one: &Value| {
            one.str_at(&["metadata", "name"]) == *name
                && one.at(&["status", "readyReplicas"]).and_then(Value::as_int).unwrap_or_default() > 0
        };
        if let Some(one) = all.iter().find(|one| runs(one)) {
            return Ok(Some(format!("{kind} {}/{name}", one.str_at(&["metadata", "namespace"]))));
        }
    }
    Ok(None)
}
