//! Showing how things stand: the status of the driving object, events of transitions, and the report.

use super::*;

impl Task {
    pub(super) fn describe(&self, app: &App, plan: &Plan, state: &mut State) {
        let Some((_, index)) = &self.index else { return };
        state.compared = true;
        state.synced = plan.is_synced();
        state.images = index.images.clone();
        if plan.refused_empty {
            let text = "the source holds no objects at all, and nothing is pruned: if that is meant, set spec.syncPolicy.automated.allowEmpty";
            state.faults.push(Fault { kind: FaultKind::Sync, text: text.into() });
        }
        let held = |text: String| Fault { kind: FaultKind::Held, text };
        if let Some((gone, all)) = plan.refused_shrink {
            let most = app.policy.shrink.map(|shrink| shrink.to_string()).unwrap_or_default();
            state.faults.push(held(format!(
                "{gone} of {all} objects would be deleted, more than {most} ({}), and none is: if that is meant, ask for a sync that prunes, or raise the threshold",
                crate::wish::SHRINK
            )));
        }
        if let Some(until) = app.not_before.filter(|_| !state.synced) {
            let until = Timestamp::from_second(until.as_second()).unwrap_or(until);
            state.faults.push(held(format!(
                "not now: what is new waits until {until} ({}); a sync that somebody asks for does not",
                crate::wish::NOT_NOW
            )));
        }
        if let Some(sync) = self.sync.as_ref().filter(|sync| sync.phase == SyncPhase::Failed) {
            state.faults.push(Fault { kind: FaultKind::Sync, text: sync.message.clone() });
        }
        let wanted = index.wanted.iter().filter(|one| one.place.hook.is_none() && !one.place.skip);
        for Wanted { id, version, place, .. } in wanted {
            state.objects.push(ObjectState {
                id: id.clone(),
                version: version.clone(),
                wave: place.wave,
                standing: plan.standing.get(id).copied(),
                kept: None,
                health: self.healths.get(id).cloned().flatten().filter(|_| !place.no_health),
                keep: place.keep,
            });
        }
        let pruning = plan.prune.iter().map(|id| (id, plan::Kept::PruneOff));
        let kept =
            plan.kept.iter().map(|(id, why)| (id, *why)).filter(|(_, why)| *why != plan::Kept::NotOurs);
        for (id, why) in kept.chain(pruning) {
            let Some(owned) = self.inventory.objects.get(id) else { continue };
            state.objects.push(ObjectState {
                id: id.clone(),
                version: owned.version.clone(),
                wave: owned.wave,
                standing: None,
                kept: Some(why),
                health: self.healths.get(id).cloned().flatten(),
                keep: owned.keep,
            });
        }
        state.watched = app
            .health_checks
            .iter()
            .map(|id| Watched { id: id.clone(), health: self.healths.get(id).cloned().flatten() })
            .collect();
        state.objects.sort_by(|a, b| {
            (&a.id.group, &a.id.kind, &a.id.namespace, &a.id.name).cmp(&(
                &b.id.group,
                &b.id.kind,
                &b.id.namespace,
                &b.id.name,
            ))
        });
    }

    /// Writes the status if it says something new, and tells of transitions.
    pub(super) async fn show(&mut self, app: &App, object: &Value, state: &State) {
        let now = self.shared.clock.now();
        let patch = (self.front.show)(app, object, state, now);
        if patch.is_none() {
            crate::metrics::stands(self.who(), Some((self.front.standing)(object)));
        }
        let Some(patch) = patch else { return };
        crate::cut::agent("agent.status").await;
        let written = self.write(patch).await;
        crate::cut::agent("agent.shown").await;
        let new = match written {
            Ok(Some(new)) => new,
            Ok(None) => return,
            Err(error) if error.code() == Some(404) => return,
            Err(error) => {
                tracing::warn!(application = app.name, error = error.text(), "cannot write the status");
                self.handle.bell.notify.notify_one();
                tokio::time::sleep(Duration::from_secs(1)).await;
                return;
            }
        };
        crate::metrics::stands(self.who(), Some((self.front.standing)(&new)));
        let transitions = (self.front.transitions)(object, &new);
        let changed = (self.front.standing)(object) != (self.front.standing)(&new);
        for (level, reason, text) in transitions {
            tell(&self.shared, self.front, app, level, reason, &text).await;
        }
        if changed || self.sync.as_ref().is_some_and(|sync| sync.phase == SyncPhase::Failed) {
            self.report(app, &new, state, now);
        }
        // What we wrote is what we know: the watch may bring it later than the next turn.
        let mut slot = self.handle.object.lock();
        if slot.as_ref().zip(self.seen.as_ref()).is_some_and(|(slot, seen)| slot.is(seen)) {
            let packed = Packed::of(&new);
            self.shared.known.put(crate::known::Ref::of(self.front.kind, &new), Some(packed.clone()));
            *slot = Some(packed);
        }
    }

    /// An event about the engine's own doings, for front ends whose owner tells such.
    pub(super) async fn tell(&self, app: &App, level: Level, reason: &str, text: &str) {
        if self.front.tells_syncs {
            tell(&self.shared, self.front, app, level, reason, text).await;
        }
    }

    /// Writes a patch of the driving object: the status where it belongs, and the rest; `None`: there was nothing in it.
    pub(super) async fn write(&self, mut patch: Value) -> Result<Option<Value>, crate::cluster::Error> {
        let cluster = &self.shared.cluster;
        let kind = cluster.kind(self.front.api_version, self.front.kind).await?;
        let (namespace, name) = &self.key;
        let mut new = None;
        if self.front.status_subresource
            && let Some(status) = patch.remove(&["status"])
        {
            let mut part = Value::object();
            part.set(&["status"], status);
            new = Some(cluster.status_patch(&kind, namespace, name, &part).await?);
        }
        if patch.as_map().is_some_and(|map| !map.is_empty()) {
            new = Some(cluster.merge_patch(&kind, namespace, name, &patch).await?);
        }
        Ok(new.map(|mut new| {
            new.remove(&["metadata", "managedFields"]);
            new
        }))
    }

    pub(super) fn report(&self, app: &App, new: &Value, state: &State, now: Timestamp) {
        let (sync, health) = (self.front.standing)(new);
        let failed =
            self.sync.iter().flat_map(|sync| &sync.results).filter(|one| one.outcome == ResultKind::Failed);
        self.shared.reports.lock().push(Report {
            site: String::new(),
            boot: String::new(),
            sequence: 0,
            time: now,
            application: format!("{}/{}", app.namespace, app.name),
            revision: self.artifact.as_ref().map(|artifact| artifact.revision.clone()).unwrap_or_default(),
            digest: self.artifact.as_ref().map(|artifact| artifact.digest.clone()).unwrap_or_default(),
            sync,
            health,
            objects: state.objects.len(),
            failed: failed.count(),
            error: state.faults.first().map(|fault| fault.text.clone()).unwrap_or_default(),
            undone: self.undone.clone(),
            bytes: self.shared.ledger.lock().spent(),
            clock: "system".into(),
        });
    }
}
