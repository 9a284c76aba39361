//! Whose child is it: a workload keeps children that match its selector, adopts orphans that do, releases those that no
//! longer do. Upstream's ControllerRefManager.

use std::sync::Arc;

use api::{Key, Object, Uid};
use client::labels;
use client::{Cache, OwnerReference, Patch, Writer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

/// The workload that claims.
pub struct Parent<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub key: &'a Key,
    pub uid: &'a str,
    pub deleting: bool,
}

impl Parent<'_> {
    /// The reference that its children carry.
    pub fn reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.api_version.into(),
            kind: self.kind.into(),
            name: self.key.name().into(),
            uid: self.uid.into(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }
    }
}

/// The children of `parent`, after adopting and releasing.
pub async fn claim(
    writer: &Writer,
    children: &Arc<Cache>,
    parent: &Parent<'_>,
    selector: &LabelSelector,
) -> Result<Vec<Arc<Object>>, client::writer::Error> {
    let mut claimed = Vec::new();
    let mine = Uid(parent.uid.into());
    for child in children.by_owner(&mine) {
        if !child.owners.iter().any(|owner| owner.controller && owner.uid == mine) {
            continue;
        }
        if labels::selects(selector, &*child) {
            claimed.push(child);
        } else if !parent.deleting {
            let body = json!({ "metadata": {
                "uid": child.uid.0,
                "ownerReferences": [{ "$patch": "delete", "uid": parent.uid }],
            } });
            let released = writer.patch(&child.key, "", Patch::Strategic(&body)).await;
            client::writer::gone_is_fine(released)?;
        }
    }
    if !parent.deleting {
        for orphan in orphans(children, parent.key.namespace(), selector) {
            let body = json!({ "metadata": {
                "uid": orphan.uid.0,
                "ownerReferences": [parent.reference()],
            } });
            match writer.patch(&orphan.key, "", Patch::Strategic(&body)).await {
                Ok(_) => claimed.extend(children.get_key(&orphan.key)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(claimed)
}

/// The children of `parent` as the cache has them now; reads only.
pub fn children(cache: &Arc<Cache>, uid: &str, selector: &LabelSelector) -> Vec<Arc<Object>> {
    let mine = Uid(uid.into());
    let mut all = cache.by_owner(&mine);
    all.retain(|child| {
        child.owners.iter().any(|owner| owner.controller && owner.uid == mine)
            && labels::selects(selector, &**child)
    });
    all
}

fn orphans(cache: &Arc<Cache>, namespace: &str, selector: &LabelSelector) -> Vec<Arc<Object>> {
    let snapshot = cache.snapshot();
    let orphan = |object: &&Arc<Object>| {
        !object.deleting
            && !object.owners.iter().any(|owner| owner.controller)
            && labels::selects(selector, &***object)
    };
    snapshot.range(namespace, None).filter(orphan).cloned().collect()
}

/// A change of an orphan may be of interest to every workload of its namespace: adds the keys of all of them.
pub fn orphan_watch(children: &Arc<Cache>, parents: &Arc<Cache>) -> client::Watch {
    let parents = parents.clone();
    client::Watch::by(children, move |change, add| {
        let api::object::Change::Put { object, .. } = change else { return };
        if object.owners.iter().any(|owner| owner.controller) || object.deleting {
            return;
        }
        for parent in parents.snapshot().range(object.key.namespace(), None) {
            add(parent.key.clone());
        }
    })
}
