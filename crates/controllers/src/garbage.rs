//! The garbage collector: what is owned goes when its owners are gone, at once, before them, or never, as the delete
//! asked.
//!
//! The graph is the caches' index by owner; nothing is copied. An owner that a cache does not show is looked up at the
//! server before anything is deleted for its absence, so that a cache that lags deletes nothing.

use std::collections::HashSet;
use std::sync::Arc;

use api::object::Change;
use api::{Key, Object, Uid};
use async_trait::async_trait;
use client::reconcile::{Error, Map};
use client::{Action, Cache, Caches, Delete, Meta, OwnerReference, Patch, Propagation, Reconciler, Watch};
use serde_json::json;

use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "garbage-collector",
    account: "generic-garbage-collector",
    workers: 20,
    make: |context| Some(Arc::new(Collector { context })),
};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

struct Collector {
    context: Context,
}

/// An owner as a dependent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// There, and not waiting for its dependents; or not ours to judge.
    Solid,
    /// Deleted in the foreground: it waits for its dependents to go.
    Waiting,
    Gone,
}

/// What to do with a dependent. Pure.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// Some owners are left: forget the others.
    Forget(Vec<OwnerReference>),
    Delete(Propagation),
}

#[async_trait]
impl Reconciler for Collector {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        Vec::new()
    }
    fn watches_all(&self) -> Option<(Caches, Arc<Map>)> {
        let caches = self.context.caches.clone();
        let map = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let object = change.object();
            match change {
                Change::Put { before, .. } => {
                    let owners_changed = match before {
                        Some(before) => before.owners != object.owners,
                        None => !object.owners.is_empty(),
                    };
                    if object.deleting || owners_changed {
                        add(object.key.clone());
                    }
                    if let Some(before) = before
                        && (owners_changed || before.deleting != object.deleting)
                    {
                        waiting_owners(&caches, before).for_each(add);
                    }
                }
                Change::Delete { before, .. } => {
                    dependents(&caches, &before.uid).iter().for_each(|one| add(one.key.clone()));
                    waiting_owners(&caches, before).for_each(add);
                }
            }
        };
        Some((self.context.caches.clone(), Arc::new(map)))
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(cache) = self.context.caches.get(&key.resource()) else { return Ok(Action::Done) };
        let Some(object) = cache.get_key(key) else { return Ok(Action::Done) };
        let meta = client::meta(&object);
        if object.deleting && (has(&meta, FOREGROUND) || has(&meta, ORPHAN)) {
            // Dependents in a cache that is not filled yet would be missed: lost, or not orphaned and then deleted.
            self.context.caches.wait_synced().await;
        }
        if object.deleting {
            if has(&meta, FOREGROUND) {
                return self.foreground(&object, &meta).await;
            }
            if has(&meta, ORPHAN) {
                return self.orphan(&object, &meta).await;
            }
            return Ok(Action::Done);
        }
        let mut owners = Vec::new();
        for owner in &meta.owner_references {
            owners.push(self.owner(&cache, key.namespace(), owner).await?);
        }
        let blocked = || !dependents(&self.context.caches, &object.uid).is_empty();
        let writer = &self.context.writer;
        match judge(&meta, &owners, &blocked) {
            Verdict::Keep => {}
            Verdict::Forget(rest) => {
                let body = json!({ "metadata": {
                    "resourceVersion": meta.resource_version, "ownerReferences": rest } });
                client::writer::gone_is_fine(writer.patch(key, "", Patch::Merge(&body)).await)?;
            }
            Verdict::Delete(propagation) => {
                let options = Delete {
                    uid: Some(&meta.uid),
                    resource_version: Some(&meta.resource_version),
                    propagation: Some(propagation),
                    grace: None,
                };
                client::writer::gone_is_fine(writer.delete(key, options).await)?;
            }
        }
        Ok(Action::Done)
    }
}

fn has(meta: &Meta, finalizer: &str) -> bool {
    meta.finalizers.iter().any(|other| other == finalizer)
}

fn judge(meta: &Meta, owners: &[Owner], has_dependents: &dyn Fn() -> bool) -> Verdict {
    let solid = owners.iter().filter(|owner| **owner == Owner::Solid).count();
    if owners.is_empty() || solid == owners.len() {
        return Verdict::Keep;
    }
    if solid > 0 {
        let pairs = meta.owner_references.iter().zip(owners);
        let rest = pairs.filter(|(_, owner)| **owner == Owner::Solid).map(|(reference, _)| reference.clone());
        return Verdict::Forget(rest.collect());
    }
    let waited_for = owners.contains(&Owner::Waiting);
    Verdict::Delete(if has(meta, ORPHAN) {
        Propagation::Orphan
    } else if has(meta, FOREGROUND) || (waited_for && has_dependents()) {
        // The owner waits for what this one owns, too.
        Propagation::Foreground
    } else {
        Propagation::Background
    })
}

/// Everything that names `uid` as an owner.
fn dependents(caches: &Caches, uid: &Uid) -> Vec<Arc<Object>> {
    caches.all().iter().flat_map(|cache| cache.by_owner(uid)).collect()
}

fn blocks(dependent: &Meta, owner: &Uid) -> bool {
    let of_owner = |reference: &&OwnerReference| reference.uid == owner.0;
    dependent.owner_references.iter().filter(of_owner).any(|one| one.block_owner_deletion == Some(true))
}

/// Whether `from` cannot go before `target` does: all from one to the other are deleted in the foreground. Two that wait for each
/// other would wait for ever.
fn waits_for(caches: &Caches, from: &Arc<Object>, target: &Uid) -> bool {
    let (mut left, mut seen) = (vec![from.clone()], HashSet::new());
    while let Some(object) = left.pop() {
        if !object.deleting || !seen.insert(object.uid.clone()) || !has(&client::meta(&object), FOREGROUND) {
            continue;
        }
        for dependent in dependents(caches, &object.uid) {
            if blocks(&client::meta(&dependent), &object.uid) {
                if dependent.uid == *target {
                    return true;
                }
                left.push(dependent);
            }
        }
    }
    false
}

/// The keys of owners of `object` that are being deleted, for they may wait for it.
fn waiting_owners(caches: &Caches, object: &Arc<Object>) -> impl Iterator<Item = Key> {
    let references = match object.owners.is_empty() {
        true => Vec::new(),
        false => client::meta(object).owner_references,
    };
    let namespace = object.key.namespace().to_string();
    let caches = caches.clone();
    references.into_iter().filter_map(move |reference| {
        let cache = caches.kind(reference.group(), &reference.kind)?;
        let owner = cached(&cache, &namespace, &reference)?;
        owner.deleting.then(|| owner.key.clone())
    })
}

fn owner_key(cache: &Cache, namespace: &str, reference: &OwnerReference) -> Key {
    let namespace = if cache.about().namespaced { namespace } else { "" };
    Key::new(cache.resource(), namespace, &reference.name)
}

fn cached(cache: &Cache, namespace: &str, reference: &OwnerReference) -> Option<Arc<Object>> {
    let object = cache.get_key(&owner_key(cache, namespace, reference))?;
    (object.uid.0 == reference.uid).then_some(object)
}

impl Collector {
    async fn owner(
        &self,
        dependent: &Cache,
        namespace: &str,
        reference: &OwnerReference,
    ) -> Result<Owner, Error> {
        // A kind that is not served here may come back; nothing is deleted for it.
        let Some(cache) = self.context.caches.kind(reference.group(), &reference.kind) else {
            return Ok(Owner::Solid);
        };
        if cache.about().namespaced && !dependent.about().namespaced {
            tracing::debug!(owner = %reference.name, "a cluster-scoped object names an owner in a namespace");
            return Ok(Owner::Solid);
        }
        if let Some(owner) = cached(&cache, namespace, reference) {
            let waiting = owner.deleting && has(&client::meta(&owner), FOREGROUND);
            return Ok(if waiting { Owner::Waiting } else { Owner::Solid });
        }
        let live = self.context.writer.get(&owner_key(&cache, namespace, reference)).await?;
        Ok(match live {
            Some(live) if live.uid == reference.uid.as_str() => Owner::Solid,
            _ => Owner::Gone,
        })
    }

    /// Deletes what blocks the object, and lets it go when nothing does.
    async fn foreground(&self, object: &Arc<Object>, meta: &Meta) -> Result<Action, Error> {
        let mut blocked = false;
        for dependent in dependents(&self.context.caches, &object.uid) {
            let its = client::meta(&dependent);
            let around = || waits_for(&self.context.caches, &dependent, &object.uid);
            blocked |= blocks(&its, &object.uid) && !around();
            if dependent.deleting {
                continue;
            }
            let Some(cache) = self.context.caches.get(&dependent.key.resource()) else { continue };
            let mut owners = Vec::new();
            for reference in &its.owner_references {
                owners.push(if reference.uid == object.uid.0 {
                    Owner::Waiting
                } else {
                    self.owner(&cache, dependent.key.namespace(), reference).await?
                });
            }
            let deeper = || !dependents(&self.context.caches, &dependent.uid).is_empty();
            let writer = &self.context.writer;
            let done = match judge(&its, &owners, &deeper) {
                Verdict::Keep => continue,
                Verdict::Forget(rest) => {
                    let body = json!({ "metadata": {
                        "resourceVersion": its.resource_version, "ownerReferences": rest } });
                    writer.patch(&dependent.key, "", Patch::Merge(&body)).await
                }
                Verdict::Delete(propagation) => {
                    let options =
                        Delete { uid: Some(&its.uid), propagation: Some(propagation), ..Delete::default() };
                    writer.delete(&dependent.key, options).await
                }
            };
            client::writer::gone_is_fine(done)?;
        }
        if !blocked {
            self.release(object, meta, FOREGROUND).await?;
        }
        Ok(Action::Done)
    }

    /// Takes the object out of its dependents' owners, and lets it go.
    async fn orphan(&self, object: &Arc<Object>, meta: &Meta) -> Result<Action, Error> {
        for dependent in dependents(&self.context.caches, &object.uid) {
            let its = client::meta(&dependent);
            let mut rest = its.owner_references;
            rest.retain(|reference| reference.uid != object.uid.0);
            let body = json!({ "metadata": {
                "resourceVersion": its.resource_version, "ownerReferences": rest } });
            let patched = self.context.writer.patch(&dependent.key, "", Patch::Merge(&body)).await;
            client::writer::gone_is_fine(patched)?;
        }
        self.release(object, meta, ORPHAN).await?;
        Ok(Action::Done)
    }

    async fn release(&self, object: &Arc<Object>, meta: &Meta, finalizer: &str) -> Result<(), Error> {
        let rest: Vec<&String> = meta.finalizers.iter().filter(|other| *other != finalizer).collect();
        let body = json!({ "metadata": {
            "resourceVersion": meta.resource_version, "finalizers": rest } });
        let patched = self.context.writer.patch(&object.key, "", Patch::Merge(&body)).await;
        Ok(client::writer::gone_is_fine(patched)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(owners: &[&str], finalizers: &[&str]) -> Meta {
        let owners: Vec<_> = owners.iter().map(|name| json!({ "name": name, "uid": name })).collect();
        serde_json::from_value(json!({ "ownerReferences": owners, "finalizers": finalizers })).unwrap()
    }

    #[test]
    fn verdicts() {
        use Owner::*;
        let check = |meta: &Meta, owners: &[Owner], dependents: bool| judge(meta, owners, &|| dependents);
        let (none, one, two) = (meta(&[], &[]), meta(&["a"], &[]), meta(&["a", "b"], &[]));
        assert_eq!(check(&none, &[], false), Verdict::Keep);
        assert_eq!(check(&one, &[Solid], false), Verdict::Keep);
        assert_eq!(check(&one, &[Gone], true), Verdict::Delete(Propagation::Background));
        assert_eq!(check(&one, &[Waiting], false), Verdict::Delete(Propagation::Background));
        assert_eq!(check(&one, &[Waiting], true), Verdict::Delete(Propagation::Foreground));
        assert_eq!(check(&two, &[Gone, Waiting], false), Verdict::Delete(Propagation::Background));
        let Verdict::Forget(rest) = check(&two, &[Gone, Solid], false) else { panic!("one owner is left") };
        assert_eq!(rest.len(), 1);
        assert_eq!(rest[0].name, "b");
        assert_eq!(check(&meta(&["a"], &[ORPHAN]), &[Gone], true), Verdict::Delete(Propagation::Orphan));
        assert_eq!(
            check(&meta(&["a"], &[FOREGROUND]), &[Gone], true),
            Verdict::Delete(Propagation::Foreground)
        );
    }
}
