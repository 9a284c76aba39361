//! Looking at applications from outside the engine, through any API server: what `skiff fleet status`, `plan`, `diff`,
//! `tree`, `history` and the commands that ask for something show and do.

mod act;
mod lines;
mod preview;
mod tree;

use api::Value;

pub use act::{Asked, postpone, resume, rollback, suspend, sync};
pub use preview::{Change, Preview, preview};
pub use tree::{Leaf, tree};

use crate::cluster::{Cluster, Error};
use crate::frontends::{self, FrontEnd};

/// A driving object.
pub struct Row {
    pub front: &'static FrontEnd,
    pub object: Value,
}

impl Row {
    pub fn namespace(&self) -> &str {
        self.object.str_at(&["metadata", "namespace"])
    }
    pub fn name(&self) -> &str {
        self.object.str_at(&["metadata", "name"])
    }
    /// In step or not, and healthy or not.
    pub fn standing(&self) -> (String, String) {
        (self.front.standing)(&self.object)
    }
    /// What it is at.
    pub fn revision(&self) -> String {
        let at = |path: &[&str]| self.object.str_at(path).to_string();
        let all = [
            at(&["status", "sync", "revision"]),
            at(&["status", "lastAppliedRevision"]),
            at(&["status", "artifact", "revision"]),
        ];
        let several = self.object.at(&["status", "sync", "revisions"]).and_then(Value::as_array);
        let several =
            several.unwrap_or_default().iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        all.into_iter().find(|text| !text.is_empty()).unwrap_or(several)
    }
    pub fn is_suspended(&self) -> bool {
        let annotation = self.object.str_at(&["metadata", "annotations", frontends::argocd::spec::SKIP]);
        self.object.at(&["spec", "suspend"]).and_then(Value::as_bool) == Some(true) || annotation == "true"
    }
    /// What is wrong, for people; the first of several.
    pub fn message(&self) -> String {
        let all = self.object.at(&["status", "conditions"]).and_then(Value::as_array).unwrap_or_default();
        let bad = all.iter().find(|one| match one.str_at(&["type"]) {
            "Ready" => one.str_at(&["status"]) != "True",
            kind => kind.ends_with("Error"),
        });
        let bad = bad.or_else(|| all.iter().find(|one| one.str_at(&["type"]).ends_with("Warning")));
        bad.map(|one| one.str_at(&["message"]).to_string()).unwrap_or_default()
    }
    /// Syncs, the newest last: when, what, and by whom or how it ended.
    pub fn history(&self) -> Vec<Synced> {
        let all = self.object.at(&["status", "history"]).and_then(Value::as_array).unwrap_or_default();
        let text = |one: &Value, path: &[&str]| one.str_at(path).to_string();
        if self.front.name == "flux" {
            return all
                .iter()
                .rev()
                .map(|one| Synced {
                    id: None,
                    time: text(one, &["lastReconciled"]),
                    revision: text(one, &["metadata", "revision"]),
                    by: text(one, &["lastReconciledStatus"]),
                })
                .collect();
        }
        all.iter()
            .map(|one| {
                let several = one.get("revisions").and_then(Value::as_array).unwrap_or_default();
                let several = several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
                let revision = text(one, &["revision"]);
                let user = text(one, &["initiatedBy", "username"]);
                Synced {
                    id: one.get("id").and_then(Value::as_int),
                    time: text(one, &["deployedAt"]),
                    revision: if revision.is_empty() { several } else { revision },
                    by: if user.is_empty() { "automated".into() } else { user },
                }
            })
            .collect()
    }
}

/// One sync of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// By which a rollback names it.
    pub id: Option<i64>,
    pub time: String,
    pub revision: String,
    pub by: String,
}

/// Why something about an application cannot be shown or done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Cluster(#[from] Error),
    #[error("no application {name}; `skiff fleet status` lists them")]
    Unknown { name: String },
    #[error("{name} means several: {all}; give one as KIND/NAMESPACE/NAME")]
    Ambiguous { name: String, all: String },
    #[error("{name}: {text}")]
    Refused { name: String, text: String },
}

/// All driving objects of all front ends that the cluster has.
pub async fn list(cluster: &Cluster) -> Result<Vec<Row>, Fault> {
    let mut rows = Vec::new();
    for front in frontends::ALL {
        let kind = match cluster.kind(front.api_version, front.kind).await {
            Ok(kind) => kind,
            // Nobody uses this front end here.
            Err(Error::Kind { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let (objects, _) = cluster.list_all(&kind).await?;
        for mut object in objects {
            object.set(&["apiVersion"], front.api_version);
            object.set(&["kind"], front.kind);
            rows.push(Row { front, object });
        }
    }
    Ok(rows)
}

/// The object that `NAME`, `NAMESPACE/NAME` or `KIND/NAMESPACE/NAME` means. A name alone never means a source.
pub async fn find(cluster: &Cluster, wanted: &str) -> Result<Row, Fault> {
    let parts: Vec<&str> = wanted.split('/').collect();
    let mut rows = list(cluster).await?;
    rows.retain(|row| match parts.as_slice() {
        [name] => row.name() == *name && row.front.kind != "GitRepository",
        [namespace, name] => {
            (row.namespace(), row.name()) == (*namespace, *name) && row.front.kind != "GitRepository"
        }
        [kind, namespace, name] => {
            row.front.kind.eq_ignore_ascii_case(kind) && (row.namespace(), row.name()) == (*namespace, *name)
        }
        _ => false,
    });
    match rows.len() {
        0 => Err(Fault::Unknown { name: wanted.into() }),
        1 => Ok(rows.swap_remove(0)),
        _ => {
            let all: Vec<String> = rows
                .iter()
                .map(|row| format!("{}/{}/{}", row.front.kind, row.namespace(), row.name()))
                .collect();
            Err(Fault::Ambiguous { name: wanted.into(), all: all.join(", ") })
        }
    }
}
