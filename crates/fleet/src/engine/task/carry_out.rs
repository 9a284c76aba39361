//! A plan is carried out by [`Sync`]; what it did is taken into the inventory, told, and remembered for the next try. Whether there
//! is something to carry out, the turn has decided before.

use super::*;

impl Task {
    /// A plan that failed is tried again after a pause, another one at once.
    pub(super) fn may_sync(&self, artifact: &Artifact, plan: &Plan, by_hand: bool) -> bool {
        match &self.next_try {
            Some((failed, at)) if *failed == fingerprint(artifact, plan) && !by_hand => {
                at.is_some_and(|at| Instant::now() >= at)
            }
            _ => true,
        }
    }

    pub(super) async fn carry_out(
        &mut self,
        app: &App,
        object: &Value,
        artifact: &Artifact,
        plan: &Plan,
        operation: Option<Operation>,
    ) {
        let started = self.shared.clock.now();
        let (_, index) = self.index.as_ref().expect("because the caller made it");
        let drifted: Vec<String> = plan
            .standing
            .iter()
            .filter(|(id, standing)| match standing {
                Standing::Drifted => true,
                Standing::Missing => self.inventory.objects.contains_key(*id),
                _ => false,
            })
            .map(
                |(id, standing)| {
                    if *standing == Standing::Missing { format!("{id} (deleted)") } else { id.to_string() }
                },
            )
            .collect();
        let dry_run = operation.as_ref().is_some_and(|operation| operation.dry_run);
        let by = match &operation {
            Some(operation) if !operation.initiated_by.is_empty() => operation.initiated_by.clone(),
            Some(_) => "somebody".into(),
            None => "automated sync".into(),
        };
        let short: String = artifact.revision.chars().take(12).collect();
        let text = if drifted.is_empty() {
            format!("Initiated {by} to '{short}'")
        } else {
            format!("Initiated {by} to '{short}': healing {}", drifted.join(", "))
        };
        self.tell(app, Level::Normal, "OperationStarted", &text).await;
        // Only what was asked for counts: statuses change all the time.
        let asked = (object.get("spec").cloned(), object.get("operation").cloned());
        let (handle, seen) = (self.handle.clone(), self.seen.clone());
        let outdated = move || {
            let now = handle.object.lock().clone();
            now.is_none_or(|now| {
                if seen.as_ref().is_some_and(|seen| seen.is(&now)) {
                    return false;
                }
                let now = now.open();
                now.at(&["metadata", "deletionTimestamp"]).is_some()
                    || handover::is_handed_back(&now)
                    || (now.get("spec").cloned(), now.get("operation").cloned()) != asked
            })
        };
        let inventory = self.inventory.clone();
        let known = move |id: &Id| -> Option<Owned> { inventory.objects.get(id).cloned() };
        let run = Sync {
            shared: &self.shared,
            front: self.front,
            app,
            store: &self.store,
            artifact,
            index,
            outdated: &outdated,
            known: &known,
            operation: operation.as_ref(),
            cluster: self.shared.cluster.acting_as(app.user.as_deref()),
        };
        let done = run.run(plan).await;
        crate::cut::agent("agent.synced").await;
        if !dry_run {
            self.take_in(app, &done);
            self.deadline = None;
        }
        let interrupted = done.interrupted;
        let failed = done.results.iter().any(|result| result.outcome == ResultKind::Failed);
        let finished = self.finished(app, artifact, done, operation.clone(), started);
        if operation.is_some() {
            self.carried_out = operation;
        }
        if dry_run {
            // Nothing was changed, and nothing is to be tried again.
        } else if failed {
            self.failures += 1;
            let pause = app.policy.retry.pause(self.failures).map(|pause| Instant::now() + pause);
            self.next_try = Some((fingerprint(artifact, plan), pause));
        } else if !interrupted {
            self.failures = 0;
            self.next_try = None;
        }
        if !dry_run {
            crate::metrics::synced(failed);
        }
        let level = if failed { Level::Warning } else { Level::Normal };
        let text = format!(
            "Sync operation to {short} {}",
            if failed { format!("failed: {}", finished.message) } else { "succeeded".into() }
        );
        self.tell(app, level, "OperationCompleted", &text).await;
        self.sync = Some(finished);
    }

    /// What was applied is owned from now on, also if the power fails now.
    fn take_in(&mut self, app: &App, done: &Done) {
        let before = self.inventory.clone();
        for applied in &done.applied {
            self.watches.observe(&applied.id, Some(&applied.meta), &app.instance);
            self.healths.insert(applied.id.clone(), applied.health.clone());
            self.inventory.objects.insert(applied.id.clone(), applied.owned.clone());
        }
        for id in &done.pruned {
            self.inventory.objects.remove(id);
            self.healths.remove(id);
        }
        self.inventory.pack();
        self.save(&before);
    }

    pub(super) fn save(&self, before: &Inventory) {
        if self.inventory != *before
            && let Err(error) = self.inventory.save(&self.directory)
        {
            tracing::error!(application = self.key.1, error = %base::chain(&error), "the inventory is not saved");
        }
    }

    pub(super) fn finished(
        &self,
        app: &App,
        artifact: &Artifact,
        done: Done,
        by_hand: Option<Operation>,
        started: Timestamp,
    ) -> SyncState {
        let failed: Vec<_> =
            done.results.iter().filter(|result| result.outcome == ResultKind::Failed).collect();
        let (phase, message) = match failed.as_slice() {
            [] if done.interrupted => (SyncPhase::Failed, "interrupted: the application changed".to_string()),
            [] if by_hand.as_ref().is_some_and(|by| by.dry_run) => {
                (SyncPhase::Succeeded, "successfully synced (dry run)".to_string())
            }
            [] => (SyncPhase::Succeeded, "successfully synced (all tasks run)".to_string()),
            [first, rest @ ..] => {
                let more =
                    if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
                let pause = app.policy.retry.pause(self.failures + 1);
                let retrying =
                    pause.map_or(String::new(), |pause| format!(" (retrying in {} s)", pause.as_secs()));
                let text = format!(
                    "one or more objects failed to apply, reason: {}: {}{more}{retrying}",
                    first.id, first.message
                );
                (SyncPhase::Failed, text)
            }
        };
        SyncState {
            phase,
            message,
            revision: artifact.revision.clone(),
            revisions: artifact.revisions.clone(),
            digest: artifact.digest.clone(),
            started,
            finished: Some(self.shared.clock.now()),
            results: done.results,
            by_hand,
            retries: self.failures,
        }
    }

    /// What is in the inventory and turned out not to be ours any more is forgotten, never deleted.
    pub(super) fn forget_strangers(&mut self, plan: &Plan, app: &App) {
        let before = self.inventory.clone();
        for (id, why) in &plan.kept {
            if *why == plan::Kept::NotOurs {
                tracing::info!(application = app.name, object = %id, "is not ours any more and is left alone");
                self.inventory.objects.remove(id);
                self.healths.remove(id);
            }
        }
        self.save(&before);
    }
}

fn fingerprint(artifact: &Artifact, plan: &Plan) -> String {
    format!("{} {:?} {:?}", artifact.digest, plan.standing, plan.prune)
}
