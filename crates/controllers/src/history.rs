//! ControllerRevisions: the templates that a DaemonSet or StatefulSet had, for `kubectl rollout history` and `undo`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Key, Resource};
use client::{Cache, Delete, Patch, Writer};
use k8s_openapi::api::apps::v1::ControllerRevision;
use serde_json::{Value, json};

use crate::owned::{self, Parent};

pub const HASH: &str = "controller-revision-hash";

/// Where a workload stands.
#[derive(Clone, Debug, Default)]
pub struct Revisions {
    /// The hash label of the current template.
    pub current: String,
    /// Name of its ControllerRevision.
    pub name: String,
    /// All of them, oldest first.
    pub all: Vec<ControllerRevision>,
}

/// What a revision keeps of a workload: a patch that brings its template back. Clients compare it byte by byte with one that they
/// make of the workload, whose names are in order.
fn data(template: &Value) -> Value {
    let mut template = template.clone();
    template["$patch"] = "replace".into();
    let mut data = json!({ "spec": { "template": template } });
    data.sort_all_objects();
    data
}

/// Finds the revision of `template`, or makes it with the annotations of its workload; its number is the highest.
pub async fn sync(
    writer: &Writer,
    cache: &Arc<Cache>,
    parent: &Parent<'_>,
    selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector,
    template: &Value,
    annotations: &BTreeMap<String, String>,
) -> Result<Revisions, client::writer::Error> {
    let objects = owned::claim(writer, cache, parent, selector).await?;
    let mut all: Vec<ControllerRevision> = objects.iter().filter_map(client::decode).collect();
    all.sort_by_key(|one| (one.revision, one.metadata.name.clone()));
    let wanted = data(template);
    let newest = all.last().map_or(0, |one| one.revision);
    let found = all.iter().rposition(|one| one.data.as_ref().is_some_and(|data| data.0 == wanted));
    let resource = Resource::new("apps", "controllerrevisions");
    match found {
        Some(at) => {
            // Going back to a former template makes its revision the newest.
            if all[at].revision != newest {
                let name = all[at].metadata.name.clone().unwrap_or_default();
                let key = Key::new(&resource, parent.key.namespace(), &name);
                let body = json!({ "revision": newest + 1 });
                writer.patch(&key, "", Patch::Merge(&body)).await?;
                all[at].revision = newest + 1;
            }
            let one = all.remove(at);
            let current = one.metadata.labels.iter().flatten().find(|(key, _)| *key == HASH);
            let current = current.map(|(_, value)| value.clone()).unwrap_or_default();
            let name = one.metadata.name.clone().unwrap_or_default();
            all.push(one);
            Ok(Revisions { current, name, all })
        }
        None => {
            let hash = crate::deployment::template_hash(template, Some(i32::try_from(newest).unwrap_or(0)));
            let name = format!("{}-{hash}", parent.key.name());
            let mut labels = template.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
            labels[HASH] = hash.clone().into();
            let mut body = json!({
                "kind": "ControllerRevision", "apiVersion": "apps/v1",
                "metadata": { "name": name, "labels": labels, "ownerReferences": [parent.reference()] },
                "data": wanted, "revision": newest + 1,
            });
            // `kubectl rollout history` tells the cause of a change by them.
            if !annotations.is_empty() {
                body["metadata"]["annotations"] = json!(annotations);
            }
            match writer.create(&resource, parent.key.namespace(), &body).await {
                Err(error) if !error.already_exists() => return Err(error),
                _ => {}
            }
            all.extend(serde_json::from_value::<ControllerRevision>(body));
            Ok(Revisions { current: hash, name, all })
        }
    }
}

/// Deletes the oldest revisions beyond `limit` that no pod of `live` (hash labels) is of.
pub async fn truncate(
    writer: &Writer,
    namespace: &str,
    revisions: &Revisions,
    live: &[String],
    limit: i32,
) -> Result<(), client::writer::Error> {
    let unused: Vec<&ControllerRevision> = revisions
        .all
        .iter()
        .filter(|one| one.metadata.name.as_deref() != Some(&revisions.name))
        .filter(|one| {
            let hash = one.metadata.labels.iter().flatten().find(|(key, _)| *key == HASH);
            !hash.is_some_and(|(_, hash)| live.contains(hash))
        })
        .collect();
    let excess = unused.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    let resource = Resource::new("apps", "controllerrevisions");
    for one in unused.into_iter().take(excess) {
        let key = Key::new(&resource, namespace, one.metadata.name.as_deref().unwrap_or_default());
        let options = Delete { uid: one.metadata.uid.as_deref(), ..Delete::default() };
        client::writer::gone_is_fine(writer.delete(&key, options).await)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order() {
        let template = json!({ "spec": { "b": 1, "a": [{ "d": 1, "c": 2 }] }, "metadata": {} });
        let expected =
            r#"{"spec":{"template":{"$patch":"replace","metadata":{},"spec":{"a":[{"c":2,"d":1}],"b":1}}}}"#;
        assert_eq!(data(&template).to_string(), expected);
    }
}
