//! One pod's worker: reads, plans, acts, waits. Everything that it does for the pod runs inside its own task.
//!
//! Invariant: nothing is remembered that would be missed. After a crash a new worker finds the same pod running.
//!
//! Here every operation begins; how each went is taken in by `outcome`.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base::{Tasks, Token};
use client::recorder::Severity::{Normal, Warning};
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use runtime::{ContainerId, SandboxStatus, State};
use tokio::sync::{Notify, mpsc};

use super::calls::{addresses, delete, make_probe, report, resize, version};
use super::outcome::Outcome;
use super::{Shared, blocking, close, sandbox, start, stop};
use crate::pod::memory::Stage;
use crate::pod::{Action, Memory, Plan, View, Why, plan, spec};
use crate::volumes::{self, Places};
use crate::{logs, pod};

/// Before a deferred resize is judged again.
const HELD: Duration = Duration::from_secs(60);

/// What the kubelet holds of a worker.
pub(crate) struct Handle {
    pub namespace: String,
    pub name: String,
    notify: Arc<Notify>,
    dirty: Arc<AtomicBool>,
    references: Vec<(&'static str, String)>,
}

impl Handle {
    /// Something happened; look again.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// An object that the pod may refer to changed.
    pub fn changed(&self, kind: &'static str, namespace: &str, name: &str) {
        if self.namespace == namespace
            && self.references.iter().any(|(one, other)| *one == kind && other == name)
        {
            self.dirty.store(true, Ordering::Release);
            self.wake();
        }
    }
}

/// Starts the worker of a pod. `done` gets its uid when nothing of the pod is left.
pub(crate) fn spawn(shared: Arc<Shared>, pod: Arc<Pod>, done: mpsc::Sender<String>, tasks: &Tasks) -> Handle {
    let handle = Handle {
        namespace: spec::namespace(&pod).to_owned(),
        name: spec::name(&pod).to_owned(),
        notify: Arc::new(Notify::new()),
        dirty: Arc::new(AtomicBool::new(false)),
        references: volumes::references(&pod),
    };
    let (notify, dirty) = (handle.notify.clone(), handle.dirty.clone());
    tasks.spawn("pod", async move {
        let uid = spec::uid(&pod).to_owned();
        let mut wait = Duration::from_secs(1);
        loop {
            let worker = Worker::new(shared.clone(), pod.clone(), notify.clone(), dirty.clone());
            match AssertUnwindSafe(worker.run()).catch_unwind().await {
                Ok(()) => break,
                Err(panic) => {
                    let text = base::task::panic_text(&*panic);
                    tracing::error!(pod = spec::title(&pod), panic = text, "a pod's worker panicked");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(60));
                }
            }
        }
        // The kubelet itself is going down if nobody listens.
        let _closed = done.send(uid).await;
    });
    handle
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) pod: Arc<Pod>,
    gone: bool,
    pub(super) memory: Memory,
    ops: FuturesUnordered<BoxFuture<'static, Option<Outcome>>>,
    pub(super) stops: HashMap<ContainerId, AbortHandle>,
    /// Cancelled once the pod ends: cuts pulls and postStart hooks short.
    ending: Token,
    notify: Arc<Notify>,
    dirty: Arc<AtomicBool>,
    told: HashSet<String>,
}

impl Worker {
    fn new(shared: Arc<Shared>, pod: Arc<Pod>, notify: Arc<Notify>, dirty: Arc<AtomicBool>) -> Worker {
        Worker {
            shared,
            pod,
            gone: false,
            memory: Memory::default(),
            ops: FuturesUnordered::new(),
            stops: HashMap::new(),
            ending: Token::new(),
            notify,
            dirty,
            told: HashSet::new(),
        }
    }

    async fn run(mut self) {
        self.memory.ips = addresses(&self.shared, &self.pod).await;
        let mut admitted = false;
        loop {
            let sandbox = self.read().await;
            let now = self.shared.clock.now();
            self.last_words(sandbox.as_ref()).await;
            let before = self.memory.ending.is_some();
            self.memory.notice(&self.pod, self.gone, now);
            if !admitted {
                admitted = true;
                self.admit(sandbox.as_ref(), now);
            }
            if let Some(ending) = &self.memory.ending {
                self.ending.cancel();
                if let Some(reason) = ending.failed.as_ref().filter(|_| !before) {
                    let severity = if reason.reason == "DeadlineExceeded" { Normal } else { Warning };
                    self.shared.tell(&self.pod, None, severity, &reason.reason, &reason.message);
                }
            }
            let pod = self.allowed(sandbox.as_ref());
            let plan = plan(&View {
                pod: &pod,
                gone: self.gone,
                sandbox: sandbox.as_ref(),
                memory: &self.memory,
                host_ips: &self.shared.config.node_ips,
                now,
                backoff_limit: self.shared.config.settings.max_restart_backoff,
                node_memory: self.shared.memory,
                pids_limit: self.shared.config.settings.pod_pids_limit,
            });
            self.tell(&plan);
            // A deferred resize is looked at again: what frees room on the node is another pod's end.
            let deferred = self.memory.held.as_ref().is_some_and(|held| held.reason == "Deferred");
            let again = deferred.then(|| now + HELD);
            let wake = plan.wake.into_iter().chain(again).min();
            for action in plan.actions.clone() {
                self.act(action, &pod, &plan, sandbox.as_ref(), now);
            }
            if self.wait(wake).await {
                return;
            }
        }
    }

    /// The newest state of the pod, and what the runtime has of it.
    async fn read(&mut self) -> Option<SandboxStatus> {
        let uid = spec::uid(&self.pod).to_owned();
        let found = self.shared.seams.sources.pod(spec::namespace(&self.pod), spec::name(&self.pod));
        match found.filter(|found| spec::uid(found) == uid) {
            // Our own write may be ahead of the cache.
            Some(found) if version(&found) >= version(&self.pod) => {
                let told = |pod: &Pod| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
                if told(&found) != told(&self.pod) {
                    self.refresh();
                }
                self.pod = found;
            }
            Some(_) => {}
            None => self.gone = true,
        }
        if self.dirty.swap(false, Ordering::AcqRel) {
            self.refresh();
            for container in self.memory.containers.values_mut() {
                if container
                    .waiting
                    .as_ref()
                    .is_some_and(|waiting| waiting.reason == "CreateContainerConfigError")
                {
                    container.retry = None;
                }
            }
        }
        match self.shared.seams.runtime.sandbox(&uid).await {
            Ok(sandbox) => Some(sandbox),
            Err(runtime::Error::NotFound { .. }) => None,
            Err(error) => {
                tracing::warn!(pod = spec::title(&self.pod), error = %base::chain(&error), "the runtime cannot tell of a pod");
                None
            }
        }
    }

    fn refresh(&mut self) {
        match self.memory.volumes {
            Stage::Done => self.memory.refresh = Some(self.shared.clock.now()),
            _ => self.memory.volumes = Stage::NotYet,
        }
    }

    /// The pod as it may run now: with the resources that it has, while those that it asks for do not fit the node.
    fn allowed(&mut self, sandbox: Option<&SandboxStatus>) -> Arc<Pod> {
        let held = match (sandbox, &self.memory.ending) {
            (Some(_), None) => pod::resize::held(&self.pod),
            _ => None,
        };
        let Some(held) = held else {
            self.memory.held = None;
            return self.pod.clone();
        };
        let refusal = {
            let pods = self.shared.seams.sources.pods();
            pod::admission::refuse_resize(&self.pod, earlier(&pods, &self.pod), &self.shared.allocatable)
        };
        if let Some(reason) = refusal.as_ref().filter(|reason| self.memory.held.as_ref() != Some(*reason)) {
            let text = format!("Pod resize {}", reason.reason);
            let message = pod::resize::summary(&text, &self.pod, Some(&reason.message));
            self.shared.tell(&self.pod, None, Warning, &format!("Resize{}", reason.reason), message);
        }
        self.memory.held = refusal;
        if self.memory.held.is_some() { Arc::new(held) } else { self.pod.clone() }
    }

    /// Refuses a pod that never ran here and does not fit.
    fn admit(&mut self, sandbox: Option<&SandboxStatus>, now: Timestamp) {
        let status = self.pod.status.as_ref();
        let began = sandbox.is_some() || status.is_some_and(|status| status.start_time.is_some());
        if began || self.memory.ending.is_some() {
            return;
        }
        let pods = self.shared.seams.sources.pods();
        let others = earlier(&pods, &self.pod);
        let settings = &self.shared.config.settings;
        let refusal = pod::admission::refuse(
            &self.pod,
            others,
            &self.shared.allocatable,
            settings.max_pods,
            &settings.allowed_unsafe_sysctls,
        );
        if let Some(reason) = refusal {
            self.memory.fail(&self.pod, reason, now);
        }
    }

    /// Reads the termination messages of containers that ended since the last look.
    async fn last_words(&mut self, sandbox: Option<&SandboxStatus>) {
        let Some(sandbox) = sandbox else { return };
        let places = Places::new(&self.shared.config.paths, &sandbox.spec.uid);
        for ended in sandbox.containers.iter().filter(|one| one.state == State::Exited) {
            if self.memory.messages.contains_key(&ended.id) {
                continue;
            }
            let entry = spec::container(&self.pod, &ended.name);
            let policy = entry.and_then(|entry| entry.container.termination_message_policy.clone());
            let fallback = policy.as_deref() == Some("FallbackToLogsOnError") && ended.exit_code != Some(0);
            let file = places.termination_log(&ended.name, ended.attempt);
            let log = places.logs().join(&ended.log_path);
            let read = move || {
                let bytes = std::fs::read(file).unwrap_or_default();
                let cut = &bytes[..bytes.len().min(4096)];
                match String::from_utf8_lossy(cut).into_owned() {
                    text if text.is_empty() && fallback => logs::last_words(&log).unwrap_or_else(|error| {
                        format!("Error on reading termination message from logs: {error}")
                    }),
                    text => text,
                }
            };
            let message = blocking(read).await.unwrap_or_default();
            self.memory.messages.insert(ended.id.clone(), message);
        }
        let known = |id: &ContainerId| sandbox.containers.iter().any(|one| one.id == *id);
        self.memory.messages.retain(|id, _| known(id));
        self.memory.restarting.retain(known);
    }

    fn tell(&mut self, plan: &Plan) {
        for note in &plan.notes {
            if self.told.insert(note.key.clone()) {
                let severity = if note.warning { Warning } else { Normal };
                self.shared.tell(&self.pod, note.field_path.clone(), severity, note.reason, &note.message);
            }
        }
        if self.told.len() > 256 {
            self.told = plan.notes.iter().map(|note| note.key.clone()).collect();
        }
    }

    /// Begins an action; it runs until [`Worker::wait`] takes its outcome.
    fn act(
        &mut self,
        action: Action,
        pod: &Arc<Pod>,
        plan: &Plan,
        sandbox: Option<&SandboxStatus>,
        now: Timestamp,
    ) {
        self.memory.busy.insert(action.op());
        let (shared, pod, ips) = (self.shared.clone(), pod.clone(), self.memory.ips.clone());
        let uid = spec::uid(&pod).to_owned();
        let run: BoxFuture<'static, Outcome> = match action {
            Action::SetUpVolumes => sandbox::volumes(shared, pod, ips).map(Outcome::Volumes).boxed(),
            Action::RunSandbox { attempt } => {
                sandbox::run(shared, pod, attempt).map(Outcome::Sandbox).boxed()
            }
            Action::Start { name, attempt } => {
                let limit = shared.config.settings.max_restart_backoff;
                let newest = sandbox.iter().flat_map(|one| &one.containers).filter(|one| one.name == name);
                let ended =
                    newest.max_by_key(|one| one.attempt).map(|one| one.finished.unwrap_or(one.created));
                let container = self.memory.container(&name);
                if let Some(ended) = ended {
                    container.restarts.next(ended, now, limit);
                }
                container.retry = None;
                self.memory.starting = Some(name.clone());
                start::start(shared, pod, name.clone(), attempt, ips, self.ending.clone())
                    .map(|done| Outcome::Started(name, done))
                    .boxed()
            }
            Action::Stop { name, id, why, grace, again } => {
                self.memory.stops.insert(id.clone(), now + grace);
                if matches!(why, Why::Restart(_)) {
                    self.memory.restarting.insert(id.clone());
                }
                let run = stop::stop(shared, pod, name, id.clone(), why, grace, again, ips);
                let (abort, registration) = AbortHandle::new_pair();
                if let Some(before) = self.stops.insert(id.clone(), abort) {
                    before.abort();
                }
                let run = Abortable::new(run, registration);
                self.ops.push(run.map(move |done| done.ok().map(|done| Outcome::Stopped(id, done))).boxed());
                return;
            }
            Action::Remove { id } => async move {
                let done = shared.seams.runtime.remove_container(&id).await;
                let done = done.map_err(|error| base::chain(&error).to_string());
                Outcome::Removed(id, done)
            }
            .boxed(),
            Action::Close => close::close(shared, pod).map(Outcome::Closed).boxed(),
            Action::Forget => close::forget(shared, uid).map(Outcome::Forgotten).boxed(),
            Action::Report => {
                let status = plan.status.clone();
                async move {
                    let done = report(&shared, &pod, &status).await;
                    Outcome::Reported(Box::new(status), Box::new(done))
                }
                .boxed()
            }
            Action::Delete => async move { Outcome::Deleted(delete(&shared, &pod).await) }.boxed(),
            Action::Resize(change) => {
                if self.memory.resize == Stage::NotYet {
                    let message = pod::resize::summary("Pod resize started", &pod, None);
                    self.shared.tell(&pod, None, Normal, "ResizeStarted", message);
                }
                resize(shared, uid, change).map(Outcome::Resized).boxed()
            }
            Action::Probe { name, id, kind } => async move {
                let outcome = make_probe(&shared, &pod, &name, &id, kind, &ips).await;
                Outcome::Probed { name, id, kind, outcome }
            }
            .boxed(),
        };
        self.ops.push(run.map(Some).boxed());
    }

    /// Waits for the first thing worth planning again; true once the pod is forgotten.
    async fn wait(&mut self, wake: Option<Timestamp>) -> bool {
        let clock = self.shared.clock.clone();
        let sleep = async {
            match wake {
                Some(at) => {
                    let left = Duration::try_from(at.duration_since(clock.now())).unwrap_or_default();
                    // A clock that is set back must not hold a pod for long.
                    tokio::time::sleep(left.min(Duration::from_secs(600))).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(outcome) = self.ops.next(), if !self.ops.is_empty() => match outcome {
                Some(outcome) => self.apply(outcome),
                None => false,
            },
            () = self.notify.notified() => false,
            () = sleep => false,
        }
    }
}

/// The node's pods that have not ended and were here before this one: those that began, and of the rest the older.
fn earlier<'a>(pods: &'a [Arc<Pod>], pod: &'a Pod) -> impl Iterator<Item = &'a Pod> {
    let age = |pod: &Pod| (pod.metadata.creation_timestamp.clone(), pod.metadata.uid.clone());
    let began = |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
    pods.iter().map(|pod| &**pod).filter(move |other| {
        spec::uid(other) != spec::uid(pod)
            && !spec::is_terminal(other)
            && (began(other) || age(other) < age(pod))
    })
}
