//! Letting an application go: what it owns is deleted if it asks for that, and its finalizers are taken off.

use super::*;
use crate::app::Patience;

impl Task {
    /// Deletes what the application owns if it asks for that, then lets it go; `true`: done.
    pub(super) async fn delete(&mut self, app: &App, deletion: &Deletion, object: &Value) -> bool {
        let cluster = self.shared.cluster.acting_as(app.user.as_deref());
        let mut cascade = deletion.cascade;
        if cascade.is_some() && self.account_is_gone(app).await {
            // As upstream: nobody is left who may delete them.
            tracing::warn!(application = app.name, "its ServiceAccount is gone; what it made stays");
            cascade = None;
        }
        if let Some(propagation) = cascade {
            let before = self.inventory.clone();
            let (mut left, mut failed) = (Vec::new(), false);
            let mut ids: Vec<_> =
                self.inventory.objects.clone().into_iter().filter(|(_, owned)| !owned.survives).collect();
            ids.sort_by_key(|(id, owned)| std::cmp::Reverse((owned.wave, crate::step::kind_order(&id.kind))));
            for (id, owned) in ids {
                let looked = async {
                    let kind = cluster.kind(&id.api_version(&owned.version), &id.kind).await?;
                    cluster.get(&kind, &id.namespace, &id.name).await
                };
                let live = match looked.await {
                    Ok(live) => live,
                    Err(crate::cluster::Error::Kind { .. }) => None,
                    Err(error) => {
                        failed = true;
                        left.push(format!("{id}: {}", error.text()));
                        continue;
                    }
                };
                let ours = live.as_ref().is_some_and(|live| {
                    let meta = Metadata::of(live);
                    meta.uid == owned.uid
                        && (self.front.marked_by)(&meta).as_deref() == Some(app.instance.as_str())
                });
                if !ours {
                    self.inventory.objects.remove(&id);
                    continue;
                }
                let deleting = live.is_some_and(|live| live.at(&["metadata", "deletionTimestamp"]).is_some());
                if !deleting && let Err(text) = sync::delete(&cluster, &id, &owned, propagation).await {
                    failed = true;
                    left.push(format!("{id}: {text}"));
                    continue;
                }
                left.push(id.to_string());
            }
            self.save(&before);
            let waits = match deletion.patience {
                Patience::Gone => true,
                Patience::Asked => false,
                Patience::Until(longest) => since(object, self.shared.clock.now()) < longest,
            };
            if !left.is_empty() && (failed || waits) {
                tracing::debug!(application = app.name, left = left.join(", "), "waiting for objects to go");
                return false;
            }
        }
        if cascade.is_some() && !self.after_all(app).await {
            return false;
        }
        let cluster = self.shared.cluster.clone();
        let finalizers = object.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
        let rest: Vec<Value> = finalizers
            .iter()
            .filter(|one| !deletion.finalizers.iter().any(|name| Some(name.as_str()) == one.as_str()))
            .cloned()
            .collect();
        let mut patch = Value::object();
        patch
            .set(&["metadata", "finalizers"], if rest.is_empty() { Value::Null } else { Value::Array(rest) });
        let written = async {
            let kind = cluster.kind(self.front.api_version, self.front.kind).await?;
            cluster.merge_patch(&kind, &self.key.0, &self.key.1, &patch).await
        };
        match written.await {
            Ok(_) => true,
            Err(error) => error.code() == Some(404),
        }
    }

    /// Whether its objects were written as a ServiceAccount that is not there any more.
    async fn account_is_gone(&self, app: &App) -> bool {
        let account = app.user.as_deref().and_then(|user| user.strip_prefix("system:serviceaccount:"));
        let Some((namespace, name)) = account.and_then(|account| account.split_once(':')) else {
            return false;
        };
        let looked = async {
            let kind = self.shared.cluster.kind("v1", "ServiceAccount").await?;
            self.shared.cluster.get(&kind, namespace, name).await
        };
        matches!(looked.await, Ok(None))
    }

    /// Runs the hooks that come when all objects are gone; `true`: they are done, or there are none.
    async fn after_all(&mut self, app: &App) -> bool {
        let Some(artifact) = self.artifact.clone() else { return true };
        if self.index.is_none() {
            let Ok(made) =
                Index::make(&self.shared.cluster, self.front, app, &self.store, &artifact, &self.inventory)
                    .await
            else {
                return true;
            };
            self.index = Some((String::new(), made));
        }
        let (_, index) = self.index.as_ref().expect("because it was just made");
        let known = |_: &Id| None;
        let outdated = || false;
        let run = Sync {
            shared: &self.shared,
            front: self.front,
            app,
            store: &self.store,
            artifact: &artifact,
            index,
            outdated: &outdated,
            known: &known,
            operation: None,
            cluster: self.shared.cluster.acting_as(app.user.as_deref()),
        };
        let done = run.hooks(crate::step::Phase::Gone).await;
        for failed in done.results.iter().filter(|one| one.outcome == ResultKind::Failed) {
            // A box is never kept from letting go.
            tracing::warn!(application = app.name, object = %failed.id, error = failed.message, "a hook failed");
        }
        true
    }

    /// Makes the driving object wait for us when it is deleted; `true`: it does.
    pub(super) async fn hold(&self, object: &Value, finalizer: &str) -> bool {
        let all = object.at(&["metadata", "finalizers"]).and_then(Value::as_array).unwrap_or_default();
        if all.iter().any(|one| one.as_str() == Some(finalizer)) {
            return true;
        }
        let mut all = all.to_vec();
        all.push(finalizer.into());
        let mut patch = Value::object();
        patch.set(&["metadata", "finalizers"], Value::Array(all));
        // Only if nobody else changed the finalizers meanwhile.
        patch.set(&["metadata", "resourceVersion"], object.str_at(&["metadata", "resourceVersion"]));
        let written = async {
            let kind = self.shared.cluster.kind(self.front.api_version, self.front.kind).await?;
            self.shared.cluster.merge_patch(&kind, &self.key.0, &self.key.1, &patch).await
        };
        // The watch brings the new object, and with it the next turn.
        if let Err(error) = written.await {
            tracing::debug!(application = self.key.1, error = error.text(), "cannot add the finalizer");
        }
        false
    }
}

/// How long ago the object's deletion was asked for.
fn since(object: &Value, now: Timestamp) -> Duration {
    let asked: Option<Timestamp> = object.str_at(&["metadata", "deletionTimestamp"]).parse().ok();
    let seconds = asked.map_or(0, |asked| now.as_second() - asked.as_second());
    Duration::from_secs(seconds.try_into().unwrap_or_default())
}
