//! What can be asked of an application: in its owner's own way, so that the engine and upstream's tools understand it
//! alike.

use api::{Map, Value};
use jiff::Timestamp;

use super::{Fault, Row};
use crate::cluster::Cluster;
use crate::frontends::argocd::spec::{REFRESH, SKIP};
use crate::frontends::flux::REQUESTED;

/// How a sync is asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub prune: bool,
    pub dry_run: bool,
    pub force: bool,
    /// Another revision, once.
    pub revision: Option<String>,
    /// Who asks.
    pub by: String,
}

async fn patch(cluster: &Cluster, row: &Row, patch: &Value) -> Result<(), Fault> {
    let kind = cluster.kind(row.front.api_version, row.front.kind).await?;
    cluster.merge_patch(&kind, row.namespace(), row.name(), patch).await?;
    Ok(())
}

fn annotate(name: &str, value: impl Into<Value>) -> Value {
    let mut patch = Value::object();
    patch.set(&["metadata", "annotations", name], value);
    patch
}

fn refused(row: &Row, text: impl Into<String>) -> Fault {
    Fault::Refused { name: row.name().into(), text: text.into() }
}

/// Asks for a sync now.
pub async fn sync(cluster: &Cluster, row: &Row, asked: &Asked, now: Timestamp) -> Result<(), Fault> {
    if row.front.name == "flux" {
        if asked.dry_run || asked.force || asked.revision.is_some() {
            return Err(refused(
                row,
                "a Kustomization is synced as its spec says; --dry-run, --force and --revision are for Applications",
            ));
        }
        // The source first, as `flux reconcile --with-source`.
        let name = row.object.str_at(&["spec", "sourceRef", "name"]);
        if !name.is_empty() && row.object.str_at(&["spec", "sourceRef", "kind"]) == "GitRepository" {
            let namespace = match row.object.str_at(&["spec", "sourceRef", "namespace"]) {
                "" => row.namespace(),
                namespace => namespace,
            };
            let source = super::find(cluster, &format!("GitRepository/{namespace}/{name}")).await?;
            patch(cluster, &source, &annotate(REQUESTED, now.to_string())).await?;
        }
        return patch(cluster, row, &annotate(REQUESTED, now.to_string())).await;
    }
    let mut operation = Value::object();
    operation.set(&["initiatedBy", "username"], asked.by.as_str());
    operation.set(&["sync", "prune"], asked.prune);
    if asked.dry_run {
        operation.set(&["sync", "dryRun"], true);
    }
    if asked.force {
        operation.set(&["sync", "syncStrategy", "apply", "force"], true);
    }
    if let Some(revision) = &asked.revision {
        operation.set(&["sync", "revision"], revision.as_str());
    }
    let mut order = annotate(REFRESH, "normal");
    order.set(&["operation"], operation);
    patch(cluster, row, &order).await
}

/// Stops following: what is there stays, and drift is left.
pub async fn suspend(cluster: &Cluster, row: &Row) -> Result<(), Fault> {
    hold(cluster, row, true).await
}

/// Follows again.
pub async fn resume(cluster: &Cluster, row: &Row) -> Result<(), Fault> {
    hold(cluster, row, false).await
}

async fn hold(cluster: &Cluster, row: &Row, on: bool) -> Result<(), Fault> {
    let order = if row.front.name == "flux" {
        let mut order = Value::object();
        order.set(&["spec", "suspend"], on);
        order
    } else {
        annotate(SKIP, if on { Value::from("true") } else { Value::Null })
    };
    patch(cluster, row, &order).await
}

/// Lets changes wait until a time, or not any more.
pub async fn postpone(cluster: &Cluster, row: &Row, until: Option<Timestamp>) -> Result<(), Fault> {
    let until = until.map_or(Value::Null, |until| until.to_string().into());
    patch(cluster, row, &annotate(crate::wish::NOT_NOW, until)).await
}

/// Syncs to what an entry of the history says; `None`: the one before the last.
pub async fn rollback(cluster: &Cluster, row: &Row, id: Option<i64>, asked: &Asked) -> Result<String, Fault> {
    if row.front.name == "flux" {
        return Err(refused(
            row,
            "Flux has no rollback: revert the commit, or set another ref in the GitRepository",
        ));
    }
    let automated = row.object.at(&["spec", "syncPolicy", "automated"]);
    let enabled = automated.and_then(|one| one.get("enabled")).and_then(Value::as_bool) != Some(false);
    if automated.is_some_and(|one| !one.is_null()) && enabled {
        let text = "rollback cannot be performed when automated sync is enabled: it would be undone at once; take out spec.syncPolicy.automated first";
        return Err(refused(row, text));
    }
    let all = row.object.at(&["status", "history"]).and_then(Value::as_array).unwrap_or_default();
    let entry = match id {
        Some(id) => all.iter().find(|one| one.get("id").and_then(Value::as_int) == Some(id)),
        None => all.len().checked_sub(2).and_then(|at| all.get(at)),
    };
    let entry =
        entry.ok_or_else(|| refused(row, "the history has no such entry; `skiff fleet history` lists it"))?;
    let mut sync = Map::new();
    for field in ["revision", "revisions", "source", "sources"] {
        if let Some(value) = entry.get(field).filter(|value| !value.is_null()) {
            sync.insert(field, value.clone());
        }
    }
    sync.insert("prune", asked.prune);
    let mut order = Value::object();
    order.set(&["operation", "initiatedBy", "username"], asked.by.as_str());
    order.set(&["operation", "sync"], Value::Object(sync));
    patch(cluster, row, &order).await?;
    Ok(entry.str_at(&["revision"]).to_string())
}
