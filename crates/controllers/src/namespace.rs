//! Empties a namespace that is being deleted, says in its conditions what is left, and then lets it go.
//!
//! Pods go first (KEP-5080): what protects them, such as NetworkPolicies, stays until they are gone. Every resource that
//! this process caches is emptied, custom ones too; resources of aggregated API servers are not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::object::Change;
use api::{Key, Object};
use async_trait::async_trait;
use client::reconcile::{Error, Map};
use client::{Action, Cache, Caches, Delete, Propagation, Reconciler, Watch};
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{Context, Controller};

pub const CONTROLLER: Controller = Controller {
    name: "namespace",
    account: "namespace-controller",
    workers: 10,
    make: |context| Some(Arc::new(Namespaces { namespaces: context.cache::<Namespace>()?, context })),
};

/// The finalizer of `spec.finalizers` that this controller takes off.
const FINALIZER: &str = "kubernetes";
/// Another look at content that is slow to go, in case what held it up made no event.
const PATIENCE: Duration = Duration::from_secs(15);

struct Namespaces {
    namespaces: Arc<Cache>,
    context: Context,
}

#[async_trait]
impl Reconciler for Namespaces {
    fn name(&self) -> &'static str {
        CONTROLLER.name
    }
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::by(&self.namespaces, |change, add| {
            if change.object().deleting {
                add(change.object().key.clone());
            }
        })]
    }
    /// What goes from a namespace that is going, or comes into it at the last moment.
    fn watches_all(&self) -> Option<(Caches, Arc<Map>)> {
        let namespaces = self.namespaces.clone();
        let map = move |change: &Change, add: &mut dyn FnMut(Key)| {
            let key = &change.object().key;
            let moved = !matches!(change, Change::Put { before: Some(_), .. });
            if moved
                && !key.namespace().is_empty()
                && let Some(namespace) = namespaces.get("", key.namespace()).filter(|one| one.deleting)
            {
                add(namespace.key.clone());
            }
        };
        Some((self.context.caches.clone(), Arc::new(map)))
    }

    async fn reconcile(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.namespaces.get_key(key).filter(|object| object.deleting) else {
            return Ok(Action::Done);
        };
        let Some(namespace) = client::decode::<Namespace>(&object) else { return Ok(Action::Done) };
        let finalizers = namespace.spec.and_then(|spec| spec.finalizers).unwrap_or_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Action::Done);
        }
        // A cache that is not filled yet looks empty, and its content would be left behind for ever.
        self.context.caches.wait_synced().await;
        let failures = self.empty(key.name()).await;
        let left = self.content(key.name());
        if left.is_empty() && failures.is_empty() {
            return self.finalize(key).await;
        }
        let Some(object) = self.namespaces.get_key(key) else { return Ok(Action::Done) };
        let old =
            client::decode::<Namespace>(&object).and_then(|namespace| namespace.status).unwrap_or_default();
        let new = status(&old, &describe(&left), &failures, &self.context.now());
        self.context.writer.status(&object, &old, &new).await?;
        Ok(Action::After(PATIENCE))
    }
}

impl Namespaces {
    fn content(&self, namespace: &str) -> Vec<(Arc<Cache>, Vec<Arc<Object>>)> {
        let caches = self.context.caches.all().into_iter().filter(|cache| cache.about().namespaced);
        let content = caches.map(|cache| {
            let objects = cache.snapshot().range(namespace, None).cloned().collect::<Vec<_>>();
            (cache, objects)
        });
        content.filter(|(_, objects)| !objects.is_empty()).collect()
    }

    /// Deletes what is there, pods before everything else; gives what could not be deleted.
    async fn empty(&self, namespace: &str) -> Vec<String> {
        let mut content = self.content(namespace);
        if let Some(at) = content.iter().position(|(cache, _)| cache.resource().to_string() == "pods") {
            content = vec![content.swap_remove(at)];
        }
        let mut failures = Vec::new();
        for (cache, objects) in content {
            if objects.iter().all(|object| object.deleting) {
                continue;
            }
            if let Err(error) = self.delete(&cache, namespace, &objects).await
                && !error.is_not_found()
            {
                failures.push(base::chain(&error).to_string());
            }
        }
        failures
    }

    async fn delete(
        &self,
        cache: &Arc<Cache>,
        namespace: &str,
        objects: &[Arc<Object>],
    ) -> Result<(), client::writer::Error> {
        let writer = &self.context.writer;
        let options = || Delete { propagation: Some(Propagation::Background), ..Delete::default() };
        if cache.about().verbs.iter().any(|verb| verb == "deletecollection") {
            return writer.delete_all(cache.resource(), namespace, options()).await;
        }
        for object in objects.iter().filter(|object| !object.deleting) {
            client::writer::gone_is_fine(writer.delete(&object.key, options()).await)?;
        }
        Ok(())
    }

    async fn finalize(&self, key: &Key) -> Result<Action, Error> {
        let Some(object) = self.namespaces.get_key(key) else { return Ok(Action::Done) };
        let Some(namespace) = client::decode::<Namespace>(&object) else { return Ok(Action::Done) };
        let mut finalizers = namespace.spec.and_then(|spec| spec.finalizers).unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        let change = serde_json::json!({ "spec": { "finalizers": finalizers } });
        match self.context.writer.update(&object, "finalize", &change).await {
            Err(error) if self.namespaces.get_key(key).is_some() => Err(error.into()),
            _ => Ok(Action::Done),
        }
    }
}

/// What is left, by resource, and by finalizer that holds it.
#[derive(Default)]
struct Left {
    resources: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
}

fn describe(content: &[(Arc<Cache>, Vec<Arc<Object>>)]) -> Left {
    let mut left = Left::default();
    for (cache, objects) in content {
        let resource = cache.resource();
        // Upstream names them by group, version and resource: `pods.`, `deployments.apps`.
        let name = format!("{}.{}", resource.plural, resource.group);
        left.resources.insert(name, objects.len());
        for finalizer in objects.iter().flat_map(|object| client::meta(object).finalizers) {
            *left.finalizers.entry(finalizer).or_default() += 1;
        }
    }
    left
}

fn status(old: &NamespaceStatus, left: &Left, failures: &[String], now: &Time) -> NamespaceStatus {
    let list = |counts: &BTreeMap<String, usize>, with: &str| {
        let lines: Vec<String> =
            counts.iter().map(|(name, count)| format!("{name} {with} {count} resource instances")).collect();
        lines.join(", ")
    };
    let failure = (!failures.is_empty()).then(|| {
        let all = failures.join(", ");
        (
            "ContentDeletionFailed",
            format!("Failed to delete all resource types, {} remaining: {all}", failures.len()),
        )
    });
    let content = (!left.resources.is_empty()).then(|| {
        ("SomeResourcesRemain", format!("Some resources are remaining: {}", list(&left.resources, "has")))
    });
    let finalizers = (!left.finalizers.is_empty()).then(|| {
        let all = list(&left.finalizers, "in");
        ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {all}"))
    });
    let rows = [
        (
            "NamespaceDeletionDiscoveryFailure",
            None,
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            failure,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        ("NamespaceContentRemaining", content, "ContentRemoved", "All content successfully removed"),
        (
            "NamespaceFinalizersRemaining",
            finalizers,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ];
    let before = old.conditions.clone().unwrap_or_default();
    let mut conditions: Vec<NamespaceCondition> =
        before.iter().filter(|is| !rows.iter().any(|row| row.0 == is.type_)).cloned().collect();
    for (kind, bad, good_reason, good_message) in rows {
        let status = if bad.is_some() { "True" } else { "False" };
        let (reason, message) = bad.unwrap_or((good_reason, good_message.into()));
        let same = before.iter().find(|is| is.type_ == kind && is.status == status);
        let since = same.and_then(|is| is.last_transition_time.clone()).unwrap_or_else(|| now.clone());
        conditions.push(NamespaceCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: Some(since),
        });
    }
    NamespaceStatus { conditions: Some(conditions), phase: Some("Terminating".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_is_left() {
        let mut left = Left::default();
        left.resources.insert("pods.".into(), 2);
        left.finalizers.insert("example.com/hold".into(), 1);
        let now = Time("2026-01-01T00:00:00Z".parse().unwrap());
        let first = status(&NamespaceStatus::default(), &left, &[], &now);
        let text = |kind: &str| {
            let all = first.conditions.iter().flatten();
            let found = all.into_iter().find(|condition| condition.type_ == kind).unwrap();
            format!("{} {}", found.status, found.message.as_deref().unwrap())
        };
        assert_eq!(
            text("NamespaceContentRemaining"),
            "True Some resources are remaining: pods. has 2 resource instances"
        );
        assert_eq!(
            text("NamespaceFinalizersRemaining"),
            "True Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        );
        assert_eq!(text("NamespaceDeletionContentFailure").split(' ').next(), Some("False"));
        let later = Time("2026-01-01T00:01:00Z".parse().unwrap());
        assert_eq!(status(&first, &left, &[], &later), first, "the same is not written again");
    }
}
