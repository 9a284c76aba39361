//! Showing how things stand: the status of the driving object, events of transitions, and the report.

use super::*;

impl Task {
    pub(super) fn describe(&self, plan: &Plan, state: &mut State) {
        let Some((_, index)) = &self.index else { return };
        state.compared = true;
        state.synced = plan.is_synced();
        state.images = index.images.clone();
        if plan.refused_empty {
            let text = "the source holds no objects at all, and nothing is pruned: if that is meant, set spec.syncPolicy.automated.allowEmpty";
            state.faults.push(Fault { kind: FaultKind::Sync, text: text.into() });
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
                health: self.healths.get(id).cloned().flatten(),
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
        let Some(patch) = (self.front.show)(app, object, state, now) else { return };
        let written = async {
            let kind = self.shared.cluster.kind(self.front.api_version, self.front.kind).await?;
            self.shared.cluster.merge_patch(&kind, &self.key.0, &self.key.1, &patch).await
        };
        let new = match written.await {
            Ok(new) => new,
            Err(error) if error.code() == Some(404) => return,
            Err(error) => {
                tracing::warn!(application = app.name, error = error.text(), "cannot write the status");
                self.handle.bell.notify.notify_one();
                tokio::time::sleep(Duration::from_secs(1)).await;
                return;
            }
        };
        let transitions = [
            ("sync", object.str_at(&["status", "sync", "status"]), new.str_at(&["status", "sync", "status"])),
            (
                "health",
                object.str_at(&["status", "health", "status"]),
                new.str_at(&["status", "health", "status"]),
            ),
        ];
        let mut changed = false;
        for (what, from, to) in transitions.into_iter().filter(|(_, from, to)| from != to) {
            changed = true;
            let text = match from {
                "" => format!("Updated {what} status: -> {to}"),
                from => format!("Updated {what} status: {from} -> {to}"),
            };
            tell(&self.shared, self.front, app, Level::Normal, "ResourceUpdated", &text).await;
        }
        if changed || self.sync.as_ref().is_some_and(|sync| sync.phase == SyncPhase::Failed) {
            self.report(app, &new, state, now);
        }
        // What we wrote is what we know: the watch may bring it later than the next turn.
        let mut slot = self.handle.object.lock();
        if slot.as_ref().is_some_and(|slot| std::ptr::eq(&**slot, object)) {
            *slot = Some(Arc::new(new));
        }
    }

    pub(super) fn report(&self, app: &App, new: &Value, state: &State, now: Timestamp) {
        let failed =
            self.sync.iter().flat_map(|sync| &sync.results).filter(|one| one.outcome == ResultKind::Failed);
        self.shared.reports.lock().push(Report {
            site: String::new(),
            boot: String::new(),
            sequence: 0,
            time: now,
            application: format!("{}/{}", app.namespace, app.name),
            revision: new.str_at(&["status", "sync", "revision"]).into(),
            digest: self.artifact.as_ref().map(|artifact| artifact.digest.clone()).unwrap_or_default(),
            sync: new.str_at(&["status", "sync", "status"]).into(),
            health: new.str_at(&["status", "health", "status"]).into(),
            objects: state.objects.len(),
            failed: failed.count(),
            error: state.faults.first().map(|fault| fault.text.clone()).unwrap_or_default(),
            clock: "system".into(),
        });
    }
}
