//! The executor: carries out a plan step by step. One failing object does not hold back the others of its step; a step
//! waits until the one before it is healthy.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Value;
use futures_util::{FutureExt, StreamExt, stream};

use super::Shared;
use super::index::{Index, masked};
use crate::adopt;
use crate::app::{App, ObjectResult, Operation, ResultKind};
use crate::artifact::{Artifact, Store};
use crate::cluster::{Apply, Cluster, Kind, Metadata};
use crate::cut;
use crate::frontends::FrontEnd;
use crate::health::{self, Health, Status};
use crate::inventory::{Id, Owned};
use crate::mask;
use crate::plan::{Plan, Step, Wanted};
use crate::step::{Phase, kind_order};

/// Objects applied at a time.
const AT_ONCE: usize = 8;
/// Between two looks at a step that is not healthy yet.
const LOOK: Duration = Duration::from_millis(500);
/// Looks until a deleted object must be gone.
const PATIENCE: usize = 60;
/// What an object says that is passed over, and is no failure.
const SKIPPED: &str = "skipped";
/// How long new kinds may take to be served.
const ESTABLISH: Duration = Duration::from_secs(30);

/// What became of one applied object.
pub(super) struct Applied {
    pub id: Id,
    pub owned: Owned,
    pub meta: Metadata,
    pub health: Option<Health>,
}

/// What a sync did. It may be incomplete: results say so.
#[derive(Default)]
pub(super) struct Done {
    pub results: Vec<ObjectResult>,
    pub applied: Vec<Applied>,
    pub pruned: Vec<Id>,
    /// Something newer is wanted now.
    pub interrupted: bool,
}

/// All that a sync needs.
pub(super) struct Sync<'a> {
    pub shared: &'a Shared,
    pub front: &'static FrontEnd,
    pub app: &'a App,
    pub store: &'a Store,
    pub artifact: &'a Artifact,
    pub index: &'a Index,
    /// The application changed, or goes away.
    pub outdated: &'a (dyn Fn() -> bool + Send + std::marker::Sync),
    pub known: &'a (dyn Fn(&Id) -> Option<Owned> + Send + std::marker::Sync),
    /// Asked for by hand.
    pub operation: Option<&'a Operation>,
    /// As whom objects are written.
    pub cluster: Cluster,
}

impl Sync<'_> {
    pub async fn run(&self, plan: &Plan) -> Done {
        let mut done = Done::default();
        if !plan.steps.is_empty() && self.app.policy.create_namespace && !self.app.destination.is_empty() {
            self.create_namespace(&mut done).await;
        }
        let last = plan.steps.len().saturating_sub(1);
        for (at, step) in plan.steps.iter().enumerate() {
            self.step(step, &mut done).await;
            cut::agent("agent.step").await;
            let failed = done.results.iter().any(|result| result.outcome == ResultKind::Failed);
            if failed {
                break;
            }
            let hooks = step.apply.iter().any(|index| self.index.wanted[*index].place.hook.is_some());
            let wait = !self.dry_run()
                && (at < last || hooks || (self.app.policy.prune_last && !plan.prune.is_empty()));
            if wait && !self.settle(step, &mut done).await {
                break;
            }
        }
        let failed = done.results.iter().any(|result| result.outcome == ResultKind::Failed);
        let holds_back = failed && self.app.policy.prune_last;
        if !done.interrupted && !holds_back {
            self.prune(plan, &mut done).await;
        }
        if failed && !done.interrupted {
            let after = self.hooks(Phase::Failed).await;
            done.results.extend(after.results);
        }
        done
    }

    /// Runs the hooks of a phase by themselves, wave by wave.
    pub async fn hooks(&self, phase: Phase) -> Done {
        let mut done = Done::default();
        let mut waves: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for (at, wanted) in self.index.wanted.iter().enumerate() {
            let place = &wanted.place;
            if place.hook.is_some() && place.phase == phase && !place.skip {
                waves.entry(place.wave).or_default().push(at);
            }
        }
        for (wave, apply) in waves {
            let step = Step { phase, wave, apply };
            self.step(&step, &mut done).await;
            let failed = done.results.iter().any(|result| result.outcome == ResultKind::Failed);
            if failed || !self.settle(&step, &mut done).await {
                break;
            }
        }
        done
    }

    fn dry_run(&self) -> bool {
        self.operation.is_some_and(|operation| operation.dry_run)
    }

    async fn create_namespace(&self, done: &mut Done) {
        let mut manifest = Value::object();
        manifest.set(&["apiVersion"], "v1");
        manifest.set(&["kind"], "Namespace");
        manifest.set(&["metadata", "name"], self.app.destination.as_str());
        let metadata = self.app.policy.namespace_metadata.as_ref();
        for (field, texts) in metadata
            .map(|metadata| [("labels", &metadata.labels), ("annotations", &metadata.annotations)])
            .into_iter()
            .flatten()
        {
            for (key, text) in texts {
                manifest.set(&["metadata", field, key], text.as_str());
            }
        }
        let made = async {
            let kind = self.cluster.kind("v1", "Namespace").await?;
            match self.cluster.get(&kind, "", &self.app.destination).await? {
                // What it asks for is there already: nothing is written.
                Some(live) if metadata.is_none_or(|metadata| has(&live, metadata)) => Ok(()),
                _ => {
                    let how = Apply { dry_run: self.dry_run(), strict: true };
                    self.cluster.apply(&kind, &manifest, how).await.map(drop)
                }
            }
        };
        if let Err(error) = made.await {
            let id = Id::new("", "Namespace", "", self.app.destination.as_str());
            done.results.push(failed(id, "v1", error.text(), false, Phase::Before));
        }
    }

    /// Applies the objects of a step, kind by kind.
    async fn step(&self, step: &Step, done: &mut Done) {
        let mut rest = step.apply.as_slice();
        while let Some(first) = rest.first() {
            let order = kind_order(&self.index.wanted[*first].id.kind);
            let length =
                rest.iter().take_while(|at| kind_order(&self.index.wanted[**at].id.kind) == order).count();
            let (group, later) = rest.split_at(length);
            rest = later;
            let mut jobs = Vec::with_capacity(group.len());
            for at in group {
                let wanted = &self.index.wanted[*at];
                let job = async move {
                    cut::agent("agent.apply").await;
                    let outcome = self.one(wanted).await;
                    cut::agent("agent.applied").await;
                    (wanted, outcome)
                };
                jobs.push(job.boxed());
            }
            let outcomes: Vec<_> = stream::iter(jobs).buffered(AT_ONCE).collect().await;
            let mut definitions = Vec::new();
            for (wanted, outcome) in outcomes {
                let hook = wanted.place.hook.is_some();
                match outcome {
                    Ok((object, kind)) => {
                        if wanted.id.kind == "CustomResourceDefinition" {
                            definitions.push(wanted.id.name.to_string());
                        }
                        let dry = if self.dry_run() { " (dry run)" } else { "" };
                        done.results.push(ObjectResult {
                            id: wanted.id.clone(),
                            version: wanted.version.clone(),
                            outcome: ResultKind::Synced,
                            message: format!("{}/{} serverside-applied{dry}", kind.plural, wanted.id.name),
                            hook,
                            phase: wanted.place.phase,
                        });
                        if !hook {
                            done.applied.push(self.applied(wanted, &object));
                        }
                    }
                    Err(text) if text == SKIPPED => {}
                    Err(text) => {
                        let phase = wanted.place.phase;
                        done.results.push(failed(wanted.id.clone(), &wanted.version, text, hook, phase));
                    }
                }
            }
            if !definitions.is_empty() {
                self.established(&definitions).await;
            }
        }
    }

    fn applied(&self, wanted: &Wanted, object: &Value) -> Applied {
        let meta = Metadata::of(object);
        Applied {
            id: wanted.id.clone(),
            owned: Owned {
                version: wanted.version.clone(),
                uid: meta.uid.clone(),
                hash: wanted.hash.clone(),
                fields: meta.our_fields(),
                keep: wanted.place.keep,
                survives: wanted.place.survives,
                wave: wanted.place.wave,
            },
            health: health::judged(self.front.rules, &self.app.checks, object),
            meta,
        }
    }

    async fn one(&self, wanted: &Wanted) -> Result<(Value, Kind), String> {
        if let Some(text) = &wanted.denied {
            return Err(text.clone());
        }
        let mut manifest =
            self.store.read(self.artifact, wanted.offset).map_err(|error| base::chain(&error).to_string())?;
        masked(&mut manifest);
        self.index.prepare(self.front, self.app, &mut manifest);
        let api_version = manifest.str_at(&["apiVersion"]).to_string();
        let kind = match self.shared.cluster.kind(&api_version, &wanted.id.kind).await {
            Ok(kind) => kind,
            Err(crate::cluster::Error::Kind { .. }) if wanted.place.skip_unknown_kind && self.dry_run() => {
                return Err(SKIPPED.into());
            }
            Err(error) => return Err(error.text()),
        };
        if let Some(hook) = wanted.place.hook {
            return self
                .hook(&kind, wanted, &manifest, hook.before_creation)
                .await
                .map(|object| (object, kind));
        }
        let now = self.shared.clock.now();
        let id = &wanted.id;
        let known = (self.known)(id);
        let masks = mask::concerns(&self.app.masks, id, now) || !wanted.masked.is_empty();
        let replace = self.app.policy.replace
            || wanted.place.replace
            || self.operation.is_some_and(|operation| operation.replace);
        // Of what was taken in by its marks alone, earlier appliers still have the fields.
        let first = known.as_ref().is_none_or(|known| known.fields.is_empty());
        let live = if first || masks || replace || wanted.place.only_create {
            self.cluster.get(&kind, &id.namespace, &id.name).await.map_err(|error| error.text())?
        } else {
            None
        };
        if let Some(live) = &live {
            if wanted.place.only_create {
                return Ok((live.clone(), kind));
            }
            if first {
                self.first_contact(&kind, id, live).await?;
            }
            mask::apply(&self.app.masks, id, &mut manifest, live, &wanted.masked, now);
        }
        let strict = self.app.policy.validate && !wanted.place.no_validation;
        let how = Apply { dry_run: self.dry_run(), strict };
        let written = match live.filter(|_| replace) {
            Some(live) => {
                manifest.set(&["metadata", "resourceVersion"], live.str_at(&["metadata", "resourceVersion"]));
                self.cluster.replace(&kind, &manifest, how).await
            }
            None => self.cluster.apply(&kind, &manifest, how).await,
        };
        let force = self.app.policy.force
            || wanted.place.force
            || self.operation.is_some_and(|operation| operation.force);
        let written = match written {
            Err(error) if error.code() == Some(422) && force && !self.dry_run() => {
                self.recreate(&kind, id, &mut manifest, how).await
            }
            other => other,
        };
        written.map(|object| (object, kind)).map_err(|error| {
            let text = error.text();
            if text.contains("field is immutable") {
                format!("{text}; delete the object, or let it be made anew: {}", self.front.force_hint)
            } else {
                text
            }
        })
    }

    /// Deletes an object that cannot be changed and makes it anew.
    async fn recreate(
        &self,
        kind: &Kind,
        id: &Id,
        manifest: &mut Value,
        how: Apply,
    ) -> Result<Value, crate::cluster::Error> {
        self.cluster.delete(kind, &id.namespace, &id.name, "", "Background").await?;
        for _ in 0..PATIENCE {
            if self.cluster.get(kind, &id.namespace, &id.name).await?.is_none() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        manifest.remove(&["metadata", "resourceVersion"]);
        self.cluster.apply(kind, manifest, how).await
    }

    async fn first_contact(&self, kind: &Kind, id: &Id, live: &Value) -> Result<(), String> {
        let other = (self.front.marked_by)(&Metadata::of(live)).filter(|mark| *mark != self.app.instance);
        if let Some(other) = other.filter(|_| self.app.policy.fail_on_shared) {
            return Err(format!("Shared resource found: {id} is part of the application {other}"));
        }
        if self.dry_run() {
            return Ok(());
        }
        let Some(patch) = adopt::take_over(live) else { return Ok(()) };
        match self.cluster.json_patch(kind, &id.namespace, &id.name, &patch).await {
            Ok(_) => Ok(()),
            // Somebody wrote in between; the next sync tries again, and this one applies all the same.
            Err(error) if matches!(error.code(), Some(404 | 409 | 422)) => Ok(()),
            Err(error) => Err(error.text()),
        }
    }

    async fn hook(
        &self,
        kind: &Kind,
        wanted: &Wanted,
        manifest: &Value,
        anew: bool,
    ) -> Result<Value, String> {
        let cluster = &self.cluster;
        let id = &wanted.id;
        if self.dry_run() {
            let how = Apply { dry_run: true, strict: self.app.policy.validate };
            return match id.name.is_empty() {
                true => Err(SKIPPED.into()),
                false => cluster.apply(kind, manifest, how).await.map_err(|error| error.text()),
            };
        }
        if id.name.is_empty() {
            return cluster.create(kind, &id.namespace, manifest).await.map_err(|error| error.text());
        }
        if anew {
            cluster
                .delete(kind, &id.namespace, &id.name, "", "Background")
                .await
                .map_err(|error| error.text())?;
            for _ in 0..PATIENCE {
                match cluster.get(kind, &id.namespace, &id.name).await {
                    Ok(None) => break,
                    _ => tokio::time::sleep(LOOK).await,
                }
            }
        }
        let how = Apply { dry_run: false, strict: self.app.policy.validate };
        cluster.apply(kind, manifest, how).await.map_err(|error| error.text())
    }

    /// Waits until new kinds are served.
    async fn established(&self, names: &[String]) {
        let cluster = &self.shared.cluster;
        let wait = async {
            let kind = cluster.kind("apiextensions.k8s.io/v1", "CustomResourceDefinition").await?;
            for name in names {
                loop {
                    let live = cluster.get(&kind, "", name).await?;
                    let health = live.and_then(|live| health::of(self.front.rules, &live));
                    if health.is_some_and(|health| health.status == Status::Healthy) {
                        break;
                    }
                    tokio::time::sleep(LOOK / 5).await;
                }
            }
            Ok::<(), crate::cluster::Error>(())
        };
        // What is not served by then fails by name when it is applied.
        let _ = tokio::time::timeout(ESTABLISH, wait).await;
        cluster.forget_kinds();
    }

    /// Waits until every object of a step is healthy; `false`: it will not be, or something newer is wanted.
    async fn settle(&self, step: &Step, done: &mut Done) -> bool {
        for index in &step.apply {
            let wanted = &self.index.wanted[*index];
            loop {
                if (self.outdated)() {
                    done.interrupted = true;
                    return false;
                }
                match self.look(&self.shared.cluster, wanted).await {
                    None => break,
                    Some(health) if matches!(health.status, Status::Healthy | Status::Suspended) => break,
                    Some(health) if health.status == Status::Degraded => {
                        self.after_hook(wanted, false).await;
                        let result = done.results.iter_mut().find(|result| result.id == wanted.id);
                        if let Some(result) = result {
                            result.outcome = ResultKind::Failed;
                            result.message = health.message;
                        }
                        return false;
                    }
                    Some(_) => tokio::time::sleep(LOOK).await,
                }
            }
            self.after_hook(wanted, true).await;
        }
        true
    }

    async fn look(&self, cluster: &Cluster, wanted: &Wanted) -> Option<Health> {
        let id = &wanted.id;
        let looked = async {
            let kind = cluster.kind(&id.api_version(&wanted.version), &id.kind).await?;
            cluster.get(&kind, &id.namespace, &id.name).await
        };
        match looked.await {
            Ok(Some(live)) => health::judged(self.front.rules, &self.app.checks, &live),
            Ok(None) => None,
            Err(error) => Some(Health { status: Status::Unknown, message: error.text() }),
        }
    }

    async fn after_hook(&self, wanted: &Wanted, success: bool) {
        let Some(hook) = wanted.place.hook else { return };
        if (success && hook.on_success) || (!success && hook.on_failure) {
            let id = &wanted.id;
            if let Ok(kind) = self.shared.cluster.kind(&id.api_version(&wanted.version), &id.kind).await {
                let _ = self.cluster.delete(&kind, &id.namespace, &id.name, "", "Background").await;
            }
        }
    }

    async fn prune(&self, plan: &Plan, done: &mut Done) {
        for id in &plan.prune {
            let Some(owned) = (self.known)(id) else { continue };
            cut::agent("agent.prune").await;
            let deleted = match self.dry_run() {
                true => Ok(()),
                false => delete(&self.cluster, id, &owned, self.app.policy.propagation).await,
            };
            cut::agent("agent.pruned").await;
            match deleted {
                Ok(()) => {
                    done.pruned.push(id.clone());
                    done.results.push(ObjectResult {
                        id: id.clone(),
                        version: owned.version,
                        outcome: ResultKind::Pruned,
                        message: if self.dry_run() { "pruned (dry run)" } else { "pruned" }.into(),
                        hook: false,
                        phase: Phase::Sync,
                    });
                }
                Err(text) => {
                    done.results.push(failed(id.clone(), &owned.version, text, false, Phase::Sync));
                }
            }
        }
    }
}

/// Whether a namespace has the labels and annotations that it should.
fn has(live: &Value, metadata: &crate::policy::Metadata) -> bool {
    let all = |field: &str, texts: &BTreeMap<String, String>| {
        texts.iter().all(|(key, text)| live.str_at(&["metadata", field, key]) == text)
    };
    all("labels", &metadata.labels) && all("annotations", &metadata.annotations)
}

/// Deletes the object that was applied, and no other of its name.
pub(super) async fn delete(
    cluster: &Cluster,
    id: &Id,
    owned: &Owned,
    propagation: &str,
) -> Result<(), String> {
    let kind = match cluster.kind(&id.api_version(&owned.version), &id.kind).await {
        Ok(kind) => kind,
        // A kind that is gone took its objects along.
        Err(crate::cluster::Error::Kind { .. }) => return Ok(()),
        Err(error) => return Err(error.text()),
    };
    let deleted = cluster.delete(&kind, &id.namespace, &id.name, &owned.uid, propagation).await;
    deleted.map(drop).map_err(|error| error.text())
}

fn failed(id: Id, version: &str, message: String, hook: bool, phase: Phase) -> ObjectResult {
    ObjectResult { id, version: version.into(), outcome: ResultKind::Failed, message, hook, phase }
}
