//! One application's task: look at the source, plan, sync, look at health, show it; then wait for something to happen.

mod carry_out;
mod delete;
mod fall_back;
mod meanwhile;
mod rebuild;
mod show;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use jiff::Timestamp;
use smol_str::SmolStr;
use tokio::time::Instant;

use super::events::tell;
use super::index::Index;
use super::sync::{self, Done, Sync};
use super::{Handle, Shared};
use crate::app::{
    App, Deletion, Fault, FaultKind, ObjectState, Operation, Refresh, ResultKind, State, SyncPhase,
    SyncState, Watched,
};
use crate::artifact::{self, Artifact, Store, Trust};
use crate::child::{self, Answer};
use crate::cluster::{Kind, Metadata};
use crate::frontends::{Context, FrontEnd, Level};
use crate::handover;
use crate::health::{self, Health};
use crate::inventory::{Id, Inventory, Owned};
use crate::known::Ref;
use crate::live::Watches;
use crate::packed::Packed;
use crate::plan::{self, Live, Order, Plan, Standing, Wanted};
use crate::report::Report;
use crate::source::{Fetch, Inputs, Recipe, Request};
use crate::wish;

/// Events that come together are handled together.
const TOGETHER: Duration = Duration::from_millis(100);
/// Between two looks at a source that is out of reach.
const OFFLINE: Duration = Duration::from_secs(60);
/// Between two looks at what is not healthy yet and must become so in time.
const WAITING: Duration = Duration::from_secs(2);
/// Since when the source is out of reach: a restart does not make the outage younger.
const OUTAGE: &str = "offline-since";

/// See the module.
pub(super) struct Task {
    shared: Arc<Shared>,
    front: &'static FrontEnd,
    watches: Watches,
    handle: Arc<Handle>,
    /// The driving object as it was at the begin of this turn.
    seen: Option<Packed>,
    key: (String, String),
    directory: PathBuf,
    store: Store,
    artifact: Option<Artifact>,
    /// For which application, as read, the index was made.
    index: Option<(String, Index)>,
    inventory: Inventory,
    /// The inventory's file was lost: what the status lists and bears our mark is taken in again.
    lost: bool,
    /// What was applied last must be healthy by then.
    deadline: Option<Instant>,
    /// The last look did not get an answer.
    doubtful: bool,
    healths: BTreeMap<Id, Option<Health>>,
    /// [`crate::health::custom::Checks::text`] by which they were judged.
    judged_by: String,
    /// What is wrong with the source, and since when it is out of reach.
    source_fault: Option<Fault>,
    offline_since: Option<Timestamp>,
    next_look: Option<Instant>,
    sync: Option<SyncState>,
    failures: u32,
    /// The plan that failed, and when it is tried again.
    next_try: Option<(String, Option<Instant>)>,
    shown: Option<(String, String)>,
    /// The artifact with which objects that were taken in were compared.
    recognised: Option<String>,
    /// What others had changed and the last sync undid.
    undone: Vec<String>,
    /// The operation that was carried out, until the object shows that it is gone.
    carried_out: Option<Operation>,
    /// What did not become healthy, and is not here any more ([`crate::wish::ROLLBACK`]).
    given_up: Option<Artifact>,
    /// Digest of the artifact that is kept as the last healthy one.
    remembered: Option<String>,
}

impl Task {
    pub fn new(
        shared: Arc<Shared>,
        front: &'static FrontEnd,
        watches: Watches,
        handle: Arc<Handle>,
        key: (String, String),
    ) -> Task {
        let directory =
            shared.config.directory.join("applications").join(front.name).join(&key.0).join(&key.1);
        let store = Store::new(&directory);
        Task {
            shared,
            front,
            watches,
            handle,
            seen: None,
            key,
            store,
            artifact: None,
            index: None,
            inventory: Inventory::default(),
            lost: false,
            deadline: None,
            doubtful: false,
            healths: BTreeMap::new(),
            judged_by: String::new(),
            source_fault: None,
            offline_since: None,
            next_look: None,
            sync: None,
            failures: 0,
            next_try: None,
            shown: None,
            recognised: None,
            undone: Vec::new(),
            carried_out: None,
            given_up: None,
            remembered: None,
            directory,
        }
    }

    pub async fn run(mut self) {
        match Inventory::load(&self.directory) {
            Some(inventory) => self.inventory = inventory,
            None => self.lost = true,
        }
        let outage = std::fs::read_to_string(self.directory.join(OUTAGE));
        self.offline_since = outage.ok().and_then(|text| text.trim().parse().ok());
        self.doubtful = self.offline_since.is_some();
        match self.store.load() {
            Ok(artifact) => self.artifact = artifact,
            Err(error) => {
                tracing::warn!(application = self.key.1, error = %base::chain(&error), "fetching again")
            }
        }
        self.load_given_up();
        loop {
            self.seen = self.handle.object.lock().clone();
            let Some(seen) = &self.seen else {
                // Gone without asking for a clean-up: what it made stays, what we know of it goes.
                let _ = std::fs::remove_dir_all(&self.directory);
                self.watches.track(&self.handle.bell, &[]);
                crate::metrics::stands(self.who(), None);
                self.shared.known.forget(&self.handle.bell);
                return;
            };
            let object = seen.open();
            // What a turn needs (tens of kilobytes) is there while it lasts, and not with each application that rests.
            let wake = Box::pin(self.turn(&object)).await;
            drop(object);
            let bell = self.handle.bell.clone();
            tokio::select! {
                () = bell.notify.notified() => tokio::time::sleep(TOGETHER).await,
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// One look at everything; gives the time of the next one at the latest.
    async fn turn(&mut self, object: &Value) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        if handover::is_handed_back(object) {
            self.let_go(object).await;
            return far;
        }
        let context = Context::new(&self.shared.config.settings, &self.shared.known, self.shared.clock.now());
        let read = (self.front.read)(object, &context).and_then(|mut app| {
            // Whatever it asks for, it can be let go.
            if app.deletion.is_none() {
                wish::heed(object, &mut app, context.now)?;
            }
            Ok(app)
        });
        self.shared.known.ask(&self.handle.bell, context.asked());
        let app = match read {
            Ok(app) => app,
            Err(fault) if fault.kind == FaultKind::Wait => return far,
            Err(fault) => {
                let app = App { namespace: self.key.0.clone(), name: self.key.1.clone(), ..App::default() };
                let inventory = self.listed();
                let state = State {
                    artifact: self.artifact.clone(),
                    faults: vec![fault],
                    inventory,
                    ..State::default()
                };
                self.show(&app, object, &state).await;
                // Projects and sources ring; time of day does not.
                return Instant::now() + Duration::from_secs(60);
            }
        };
        self.shared.clones.follows(self.who(), &app.recipe);
        if std::mem::take(&mut self.lost) {
            self.rebuild(&app, object).await;
        }
        if let Some(deletion) = &app.deletion {
            let done = deletion.finalizers.is_empty() || self.delete(&app, deletion, object).await;
            return if done { far } else { Instant::now() + Duration::from_secs(2) };
        }
        if let Some(finalizer) = app.finalizer
            && !self.hold(object, finalizer).await
        {
            return Instant::now() + Duration::from_secs(2);
        }
        if app.suspended {
            return far;
        }
        if self.judged_by != app.checks.text {
            self.judged_by = app.checks.text.clone();
            self.healths.clear();
        }
        if self.carried_out.is_some() && app.operation.is_none() {
            self.carried_out = None;
        }
        let operation =
            app.operation.clone().filter(|operation| self.carried_out.as_ref() != Some(operation));
        self.look_at_source(&app, operation.as_ref().filter(|operation| operation.refused.is_none())).await;
        let mut state = State { artifact: self.artifact.clone(), ..State::default() };
        state.faults.extend(self.source_fault.clone());
        state.faults.extend(app.warnings.iter().cloned());
        if let Err(fault) = self.compare_and_sync(&app, object, operation, &mut state).await {
            state.faults.push(fault);
        }
        state.sync = self.sync.clone();
        state.inventory = self.listed();
        let waiting = self.judge_health(&app, &mut state);
        self.fall_back(&app, waiting, &mut state).await;
        self.show(&app, object, &state).await;
        let retry = self.next_try.as_ref().and_then(|(_, at)| *at);
        let again = app.again.map(|pause| Instant::now() + pause);
        let waiting = waiting.then(|| Instant::now() + WAITING);
        [Some(far), self.next_look, retry, again, waiting].into_iter().flatten().min().unwrap_or(far)
    }

    /// Forgets what it owns without touching it, and says that it has: the owner's own controller has it from now on.
    async fn let_go(&mut self, object: &Value) {
        if !self.inventory.objects.is_empty() || self.index.is_some() {
            tracing::info!(application = self.key.1, "handed back");
        }
        self.inventory = Inventory::default();
        self.lost = true;
        self.index = None;
        self.recognised = None;
        self.healths.clear();
        Inventory::forget(&self.directory);
        self.watches.track(&self.handle.bell, &[]);
        if let Some(patch) = handover::acknowledged(object)
            && let Err(error) = self.write(patch).await
        {
            tracing::debug!(application = self.key.1, error = error.text(), "cannot say that it was let go");
        }
    }

    fn who(&self) -> Ref {
        Ref { kind: self.front.kind.into(), namespace: self.key.0.clone(), name: self.key.1.clone() }
    }

    fn listed(&self) -> Vec<(Id, SmolStr)> {
        self.inventory.objects.iter().map(|(id, owned)| (id.clone(), owned.version.clone())).collect()
    }

    /// Sets whether time is up for what is not healthy; `true`: something must still become healthy.
    fn judge_health(&mut self, app: &App, state: &mut State) -> bool {
        let bad = |health: Option<&Health>| match health {
            Some(one) => !matches!(one.status, health::Status::Healthy | health::Status::Suspended),
            // Argo CD has no rules for most kinds, and they are as they should be.
            None => self.front.rules == health::Rules::Kstatus,
        };
        let own = state.objects.iter().filter(|object| object.standing.is_some());
        let unhealthy = (app.policy.wait && own.clone().any(|object| bad(object.health.as_ref())))
            || state.watched.iter().any(|one| bad(one.health.as_ref()));
        if !unhealthy || !state.synced {
            self.deadline = None;
            return false;
        }
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + app.policy.timeout);
        state.overdue = Instant::now() >= deadline;
        !state.overdue
    }

    async fn compare_and_sync(
        &mut self,
        app: &App,
        object: &Value,
        operation: Option<Operation>,
        state: &mut State,
    ) -> Result<(), Fault> {
        if let Some(refused) = operation.as_ref().and_then(|operation| operation.refused.clone()) {
            self.refuse(operation, refused);
        }
        if let Some(asked) = self.unfinished(app) {
            // What somebody asked to be synced must be what is here, and not what was here before.
            let wanted = source::recipe_for(app, Some(&asked)).digest();
            if self.artifact.as_ref().is_none_or(|artifact| artifact.source != wanted) {
                let why = self.source_fault.as_ref().map(|fault| fault.text.clone());
                self.refuse(Some(asked), why.unwrap_or_else(|| "the source gave nothing to sync".into()));
            }
        }
        let operation = self.unfinished(app);
        let Some(artifact) = self.artifact.clone() else { return Ok(()) };
        let compare = |text: String| Fault { kind: FaultKind::Compare, text };
        // The index depends on the artifact and on what the application says of names, order and permits.
        let read = format!("{}{}{}{:?}", artifact.digest, app.destination, app.instance, app.permits);
        if self.index.as_ref().is_none_or(|(made, _)| *made != read) {
            let made =
                Index::make(&self.shared.cluster, self.front, app, &self.store, &artifact, &self.inventory)
                    .await;
            self.index = Some((read, made.map_err(|error| compare(base::chain(&error).to_string()))?));
        }
        let live = self.live(app).await.map_err(compare)?;
        self.recognise(app, &artifact, &live).await;
        let (_, index) = self.index.as_ref().expect("because it was just made");
        for id in &index.repeated {
            let text =
                format!("Resource {id} appeared more than once among the manifests; the first one counts");
            state.faults.push(Fault { kind: FaultKind::Warning, text });
        }
        let selects = |id: &Id| operation.as_ref().is_some_and(|operation| operation.selects(id));
        let order = match &operation {
            None => Order::default(),
            Some(asked) => Order {
                sync: true,
                prune: asked.prune,
                only_out_of_sync: asked.apply_out_of_sync_only,
                only: if asked.only.is_empty() { None } else { Some(&selects) },
            },
        };
        let mut plan =
            plan::plan(&index.wanted, &self.inventory, &live, &app.policy, order, artifact.deliberate_empty);
        if !plan.is_empty() && self.may_sync(&artifact, &plan, operation.is_some()) {
            crate::cut::agent("agent.planned").await;
            let dry_run = operation.as_ref().is_some_and(|operation| operation.dry_run);
            self.undone =
                if dry_run { Vec::new() } else { self.meanwhile(app, &artifact, &plan, &live).await };
            self.list_undone(app, object, &artifact).await;
            self.carry_out(app, object, &artifact, &plan, operation.clone()).await;
            let live = self.live(app).await.map_err(compare)?;
            let (_, index) = self.index.as_ref().expect("because it was made above");
            plan = plan::plan(
                &index.wanted,
                &self.inventory,
                &live,
                &app.policy,
                Order::default(),
                artifact.deliberate_empty,
            );
        } else if let Some(operation) = &operation {
            self.carried_out = Some(operation.clone());
            self.sync = Some(self.finished(
                app,
                &artifact,
                Done::default(),
                Some(operation.clone()),
                self.shared.clock.now(),
            ));
        } else if self.sync.is_none() && plan.is_empty() && plan.is_synced() {
            // After a restart: what is in step was synced.
            self.failures = 0;
        }
        self.forget_strangers(&plan, app);
        self.look_at_health(app).await;
        self.describe(app, &plan, state);
        Ok(())
    }

    /// Tells what will be undone, before it is.
    async fn list_undone(&mut self, app: &App, object: &Value, artifact: &Artifact) {
        if self.undone.is_empty() {
            return;
        }
        let short: String = artifact.revision.chars().take(12).collect();
        for line in &self.undone {
            tracing::warn!(application = app.name, revision = short, "changed by others: {line}");
        }
        self.report(app, object, &State::default(), self.shared.clock.now());
        let text =
            format!("changed here by others, and set to what Git has at {short}: {}", self.undone.join("; "));
        self.undone.clear();
        tell(&self.shared, self.front, app, Level::Warning, "Overwriting", &text).await;
    }

    /// The operation that waits to be carried out.
    fn unfinished(&self, app: &App) -> Option<Operation> {
        app.operation.clone().filter(|operation| self.carried_out.as_ref() != Some(operation))
    }

    /// Ends an operation that may not be carried out.
    fn refuse(&mut self, operation: Option<Operation>, text: String) {
        let now = self.shared.clock.now();
        self.carried_out = operation.clone();
        self.sync = Some(SyncState {
            phase: SyncPhase::Failed,
            message: text,
            revision: self.artifact.as_ref().map(|artifact| artifact.revision.clone()).unwrap_or_default(),
            revisions: Vec::new(),
            digest: String::new(),
            started: now,
            finished: Some(now),
            results: Vec::new(),
            by_hand: operation,
            retries: 0,
        });
    }

    /// What is known of all objects that matter; asked for where no watch told yet.
    async fn live(&mut self, app: &App) -> Result<BTreeMap<Id, Live>, String> {
        let (_, index) = self.index.as_ref().expect("because the caller made it");
        let mut objects: BTreeMap<Id, SmolStr> =
            self.inventory.objects.iter().map(|(id, owned)| (id.clone(), owned.version.clone())).collect();
        for wanted in index.wanted.iter().filter(|wanted| wanted.place.hook.is_none() && !wanted.place.skip) {
            objects.insert(wanted.id.clone(), wanted.version.clone());
        }
        for (id, version) in app.health_checks.iter().zip(&app.health_versions) {
            objects.entry(id.clone()).or_insert_with(|| version.as_str().into());
        }
        let mut tracked: Vec<(Id, Kind)> = Vec::new();
        for (id, version) in objects {
            match self.shared.cluster.kind(&id.api_version(&version), &id.kind).await {
                Ok(kind) => tracked.push((id, kind)),
                Err(crate::cluster::Error::Kind { .. }) => {}
                Err(error) => return Err(error.text()),
            }
        }
        self.watches.track(&self.handle.bell, &tracked);
        let mut live = BTreeMap::new();
        for (id, kind) in tracked {
            let found = match self.watches.get(&id, &app.instance) {
                Some(found) => found,
                None => {
                    let object = self
                        .shared
                        .cluster
                        .get(&kind, &id.namespace, &id.name)
                        .await
                        .map_err(|error| error.text())?;
                    if let Some(object) = &object {
                        let health = health::judged(self.front.rules, &app.checks, object);
                        self.healths.insert(id.clone(), health);
                    }
                    let meta = object.as_ref().map(Metadata::of);
                    self.watches.observe(&id, meta.as_ref(), &app.instance)
                }
            };
            if let Some(found) = found {
                live.insert(id, found);
            }
        }
        Ok(live)
    }

    async fn look_at_health(&mut self, app: &App) {
        let dirty = std::mem::take(&mut *self.handle.bell.dirty.lock());
        let own = self.inventory.objects.iter().map(|(id, owned)| (id.clone(), owned.version.clone()));
        let versions = app.health_versions.iter().map(SmolStr::from);
        let others = app.health_checks.iter().cloned().zip(versions);
        let asked: Vec<(Id, SmolStr)> = own
            .chain(others)
            .filter(|(id, _)| dirty.contains(id) || !self.healths.contains_key(id))
            .collect();
        for (id, version) in asked {
            let looked = async {
                let kind = self.shared.cluster.kind(&id.api_version(&version), &id.kind).await?;
                self.shared.cluster.get(&kind, &id.namespace, &id.name).await
            };
            // What cannot be read keeps the health that it had; the next event asks again.
            if let Ok(live) = looked.await {
                let health = live.and_then(|live| health::judged(self.front.rules, &app.checks, &live));
                self.healths.insert(id, health);
            }
        }
    }
}
