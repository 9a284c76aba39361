//! From a [`View`] to a [`Plan`]: which container starts, stops or waits, in upstream's order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::containers::{self, Next, is_live};
use super::memory::{Ending, Op, Reason};
use super::spec::{self, Entry, Role};
use super::{Action, Note, Plan, View, Why, diff, resize, status};
use crate::probe;

/// Less time than this no container gets between the stop signal and the kill (upstream's `minimumGracePeriodInSeconds`).
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// For so long nothing is told of a container that was ended to be started anew: within one sync, upstream tells of neither.
const RESTART: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

/// See the module.
pub fn plan(view: &View) -> Plan {
    let mut planner =
        Planner { view, plan: Plan::default(), waits: BTreeMap::new(), entries: spec::containers(view.pod) };
    match &view.memory.ending {
        Some(ending) => planner.end(ending),
        None => planner.run(),
    }
    planner.probes();
    planner.sweep();
    planner.finish()
}

struct Planner<'a> {
    view: &'a View<'a>,
    plan: Plan,
    /// What `state.waiting` shows.
    waits: BTreeMap<String, Reason>,
    entries: Vec<Entry<'a>>,
}

impl Planner<'_> {
    fn busy(&self, op: &Op) -> bool {
        self.view.memory.busy.contains(op)
    }

    /// Plans an action unless its kind is under way already, or failed on this container a moment ago.
    fn act(&mut self, action: Action) {
        let op = action.op();
        if let Op::Stop(id) | Op::Remove(id) = &op
            && let Some(retry) = self.view.memory.stuck.get(id).filter(|retry| **retry > self.view.now)
        {
            self.plan.wake_at(*retry);
            return;
        }
        if !self.busy(&op) && !self.plan.actions.iter().any(|planned| planned.op() == op) {
            self.plan.actions.push(action);
        }
    }

    /// The same, once `due`; later ones wake the worker.
    fn act_when(&mut self, due: Option<jiff::Timestamp>, action: Action) {
        match due {
            Some(due) if due <= self.view.now => self.act(action),
            Some(due) => self.plan.wake_at(due),
            None => {}
        }
    }

    fn run(&mut self) {
        if let Some(deadline) = super::memory::deadline(self.view.pod) {
            self.plan.wake_at(deadline);
        }
        let nexts: Vec<Next> = self.entries.iter().map(|entry| containers::next(self.view, entry)).collect();
        let mut mains = self.entries.iter().zip(&nexts).filter(|(entry, _)| entry.role == Role::Main);
        let over = mains.all(|(_, next)| matches!(next, Next::Done { .. }))
            || self.entries.iter().zip(&nexts).any(|(entry, next)| {
                entry.role == Role::Init && matches!(next, Next::Done { exit_code } if *exit_code != 0)
            });
        if over {
            self.wind_down(spec::grace(self.view.pod));
            return;
        }
        // What is shown of containers that wait does not depend on how far the pod is.
        for (index, next) in nexts.iter().enumerate() {
            self.show(index, next);
        }
        if let Some(due) = self.view.memory.volumes.due() {
            self.act_when(Some(due), Action::SetUpVolumes);
            return;
        }
        self.act_when(self.view.memory.refresh, Action::SetUpVolumes);
        if !self.view.sandbox.is_some_and(|sandbox| sandbox.ready) {
            let attempt = self.view.sandbox.map_or(0, |sandbox| sandbox.spec.attempt + 1);
            self.act_when(self.view.memory.sandbox.due(), Action::RunSandbox { attempt });
            return;
        }
        let change = resize::change(self.view, &self.entries);
        if !change.is_empty() {
            self.act_when(self.view.memory.resize.due(), Action::Resize(change));
        }
        for (index, next) in nexts.iter().enumerate() {
            if self.entries[index].role == Role::Ephemeral && matches!(next, Next::Start { .. }) {
                self.step(index, next);
            }
        }
        if self.initialize(&nexts) {
            for (index, next) in nexts.iter().enumerate() {
                if self.entries[index].role == Role::Main {
                    self.step(index, next);
                }
            }
        }
    }

    /// Brings the init containers on; true once the main ones may run.
    fn initialize(&mut self, nexts: &[Next]) -> bool {
        let mains_began = self.entries.iter().any(|entry| {
            entry.role == Role::Main && !containers::instances(self.view.sandbox, entry.name()).is_empty()
        });
        for (index, next) in nexts.iter().enumerate() {
            let role = self.entries[index].role;
            match role {
                Role::Main | Role::Ephemeral => break,
                Role::Init if mains_began => {}
                Role::Init => match next {
                    Next::Done { .. } => {}
                    next => {
                        self.step(index, next);
                        return false;
                    }
                },
                Role::Sidecar => {
                    self.step(index, next);
                    let list = containers::instances(self.view.sandbox, self.entries[index].name());
                    let started = list.first().is_some_and(|newest| {
                        containers::is_started(self.view, &self.entries[index], newest)
                    });
                    // A postStart hook of a sidecar holds back what follows; `Start` is busy until it ends.
                    if !mains_began && (!started || self.busy(&Op::Start)) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Does what comes next for one container.
    fn step(&mut self, index: usize, next: &Next) {
        let name = self.entries[index].name().to_owned();
        match next {
            Next::Run | Next::Done { .. } => {}
            Next::Start { attempt } => self.act(Action::Start { name, attempt: *attempt }),
            Next::Wait { until, .. } => self.plan.wake_at(*until),
            Next::Discard { id } => {
                if !self.busy(&Op::Start) {
                    self.act(Action::Remove { id: id.clone() });
                }
            }
            Next::Kill { id, text, grace } => {
                let (id, grace) = (id.clone(), (*grace).max(LEAST_GRACE));
                self.act(Action::Stop { name, id, why: Why::Restart(text.clone()), grace, again: false });
            }
        }
    }

    /// Fills `waits` for a container that is not running, and tells of back-offs.
    fn show(&mut self, index: usize, next: &Next) {
        let entry = &self.entries[index];
        let name = entry.name().to_owned();
        let pod = spec::title(self.view.pod);
        match next {
            Next::Wait { until, show: Some(reason) } => {
                self.plan.notes.push(Note {
                    key: format!("{name}/restart/{until}"),
                    field_path: Some(entry.field_path()),
                    warning: true,
                    reason: "BackOff",
                    message: format!("Back-off restarting failed container {name} in pod {pod}"),
                });
                self.waits.insert(name, reason.clone());
            }
            // What is being started again shows why it failed until it runs.
            Next::Run if self.view.memory.starting.as_deref() != Some(name.as_str()) => {}
            Next::Run | Next::Wait { .. } | Next::Start { .. } => {
                let Some(remembered) = self.view.memory.containers.get(&name) else { return };
                let Some(mut reason) = remembered.waiting.clone() else { return };
                if let Some(shown) = remembered.pull_shown_until {
                    if shown > self.view.now {
                        self.plan.wake_at(shown);
                    } else {
                        let image = entry.container.image.clone().unwrap_or_default();
                        let message = format!("Back-off pulling image {image:?}");
                        self.plan.notes.push(Note {
                            key: format!("{name}/pull/{shown}"),
                            field_path: Some(entry.field_path()),
                            warning: false,
                            reason: "BackOff",
                            message: message.clone(),
                        });
                        let message = format!("{message}: {}: {}", reason.reason, reason.message);
                        reason = Reason::new("ImagePullBackOff", message);
                    }
                }
                self.waits.insert(name, reason);
            }
            _ => {}
        }
    }

    fn end(&mut self, ending: &Ending) {
        let left = ending.deadline().duration_since(self.view.now);
        self.wind_down(Duration::try_from(left).unwrap_or(Duration::ZERO));
    }

    /// Stops what runs: main containers first, then sidecars in the reverse of their order; then closes the pod.
    fn wind_down(&mut self, grace: Duration) {
        let mut live: Vec<(String, String, Role)> = Vec::new();
        for container in
            self.view.sandbox.iter().flat_map(|sandbox| &sandbox.containers).filter(|one| is_live(one))
        {
            let role = self
                .entries
                .iter()
                .find(|entry| entry.name() == container.name)
                .map_or(Role::Main, |one| one.role);
            live.push((container.name.clone(), container.id.clone(), role));
        }
        let order = |name: &str| self.entries.iter().position(|entry| entry.name() == name).unwrap_or(0);
        let others = live.iter().any(|(.., role)| *role != Role::Sidecar);
        let last =
            live.iter().filter(|(.., role)| *role == Role::Sidecar).map(|(name, ..)| order(name)).max();
        let now: Vec<_> = live
            .iter()
            .filter(|(name, _, role)| match role {
                Role::Sidecar => !others && Some(order(name)) == last,
                _ => true,
            })
            .cloned()
            .collect();
        let grace = grace.max(LEAST_GRACE);
        for (name, id, _) in now {
            let kills = self.view.now + grace;
            match self.view.memory.stops.get(&id) {
                // A second deletion with less grace cuts the first one short.
                Some(before) if self.busy(&Op::Stop(id.clone())) => {
                    if kills.duration_since(*before) < jiff::SignedDuration::from_secs(-1) {
                        self.plan.actions.push(Action::Stop {
                            name,
                            id,
                            why: Why::PodEnds,
                            grace,
                            again: true,
                        });
                    }
                }
                _ => self.act(Action::Stop { name, id, why: Why::PodEnds, grace, again: false }),
            }
        }
        if !live.is_empty() || [Op::Start, Op::Volumes, Op::Sandbox].iter().any(|op| self.busy(op)) {
            return;
        }
        self.act_when(self.view.memory.closed.due(), Action::Close);
        if self.view.memory.closed == super::memory::Stage::Done && self.view.gone {
            self.act(Action::Forget);
        }
    }

    fn probes(&mut self) {
        let ending = self.view.memory.ending.is_some();
        for entry in &self.entries {
            let list = containers::instances(self.view.sandbox, entry.name());
            let Some(instance) = list.first().filter(|newest| newest.state == runtime::State::Running) else {
                continue;
            };
            let started = containers::is_started(self.view, entry, instance);
            let began = instance.started.unwrap_or(instance.created);
            let remembered = self.view.memory.containers.get(entry.name());
            let probes =
                remembered.and_then(|one| one.probes.as_ref()).filter(|probes| probes.id == instance.id);
            for kind in probe::Kind::ALL {
                let Some(spec) = kind.of(&entry.container) else { continue };
                let wanted = match kind {
                    probe::Kind::Startup => !started && !ending,
                    probe::Kind::Liveness => started && !ending,
                    probe::Kind::Readiness => started,
                };
                let (name, id) = (entry.name().to_owned(), instance.id.clone());
                if !wanted || self.view.memory.busy.contains(&Op::Probe(name.clone(), kind)) {
                    continue;
                }
                let due = probes
                    .map_or_else(probe::State::default, |probes| probes.of(kind).clone())
                    .due(spec, began);
                if due <= self.view.now {
                    self.plan.actions.push(Action::Probe { name, id, kind });
                } else {
                    self.plan.wake_at(due);
                }
            }
        }
    }

    /// Removes containers that neither `lastState` nor `logs --previous` needs.
    fn sweep(&mut self) {
        if self.view.memory.ending.is_some() {
            return;
        }
        for index in 0..self.entries.len() {
            for old in containers::instances(self.view.sandbox, self.entries[index].name()).iter().skip(2) {
                if !is_live(old) {
                    self.act(Action::Remove { id: old.id.clone() });
                }
            }
        }
    }

    /// When it is told that a container which was ended to be started anew does not run again yet.
    fn restarted(&self) -> Option<jiff::Timestamp> {
        if self.view.memory.ending.is_some() {
            return None;
        }
        let newest = |entry: &Entry| containers::instances(self.view.sandbox, entry.name()).first().copied();
        let ended = self.entries.iter().filter_map(newest).filter(|one| !is_live(one));
        let ours = ended.filter(|one| self.view.memory.restarting.contains(&one.id));
        ours.filter_map(|one| Some(one.finished? + RESTART)).max()
    }

    fn finish(mut self) -> Plan {
        let view = self.view;
        self.plan.status = status::status(view, &self.entries, &self.waits);
        if view.gone {
            return self.plan;
        }
        let known = view.pod.status.clone().unwrap_or_default();
        // A server that keeps a field otherwise than it was sent must not be written to for ever.
        let sent = view.memory.sent.as_ref().is_some_and(|(version, status)| {
            Some(version) == view.pod.metadata.resource_version.as_ref() && *status == self.plan.status
        });
        if !sent && !diff::same(&self.plan.status, &known) {
            self.act_when(view.memory.report.due().max(self.restarted()), Action::Report);
        } else if view.memory.closed == super::memory::Stage::Done
            && view.pod.metadata.deletion_timestamp.is_some()
        {
            self.act_when(view.memory.deleted.due(), Action::Delete);
        }
        self.plan
    }
}
