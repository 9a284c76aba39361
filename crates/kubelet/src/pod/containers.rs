//! What became of each container: its instances in the runtime, its history in the API, and what is to happen next.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use runtime::{ContainerId, SandboxStatus, State};

use super::memory::Reason;
use super::spec::{self, Entry, Role};
use super::{Memory, View, resize};
use crate::probe::{self, Verdict};

/// Where the kubelet's ids begin in `containerID`.
pub const SCHEME: &str = "skiff://";

/// What is to be done with a container now.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// It runs, and may; or is being started.
    Run,
    Start {
        attempt: u32,
    },
    /// Not before `until`.
    Wait {
        until: Timestamp,
        show: Option<Reason>,
    },
    Kill {
        id: ContainerId,
        text: String,
        grace: Duration,
    },
    /// Made but never started: the daemon died between the two.
    Discard {
        id: ContainerId,
    },
    /// It ended and stays so.
    Done {
        exit_code: i32,
    },
}

/// Instances of a container, the newest first.
pub fn instances<'a>(sandbox: Option<&'a SandboxStatus>, name: &str) -> Vec<&'a runtime::ContainerStatus> {
    let mut found: Vec<_> = sandbox
        .iter()
        .flat_map(|sandbox| &sandbox.containers)
        .filter(|container| container.name == name)
        .collect();
    found.sort_by_key(|container| std::cmp::Reverse((container.attempt, container.created)));
    found
}

/// Runs, and must be stopped before the pod is closed. One that was only created goes with its sandbox.
pub fn is_live(container: &runtime::ContainerStatus) -> bool {
    container.state == State::Running
}

/// The exit code that a container is taken to have; 137 if nobody can tell.
pub fn exit_code(container: &runtime::ContainerStatus) -> i32 {
    container.exit_code.unwrap_or(137)
}

/// The status that the API has of a container.
pub fn prior<'a>(pod: &'a Pod, entry: &Entry) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let list = match entry.role {
        Role::Init | Role::Sidecar => &status.init_container_statuses,
        Role::Main => &status.container_statuses,
        Role::Ephemeral => &status.ephemeral_container_statuses,
    };
    list.iter().flatten().find(|status| status.name == entry.name())
}

/// The exit code of the last run that the API tells of, for a container that the runtime has lost.
pub fn history(prior: &ContainerStatus) -> Option<i32> {
    let ended = |state: &Option<ContainerState>| {
        state.as_ref().and_then(|state| state.terminated.as_ref()).map(|ended| ended.exit_code)
    };
    let running = prior.state.as_ref().is_some_and(|state| state.running.is_some());
    ended(&prior.state).or_else(|| running.then_some(137)).or_else(|| ended(&prior.last_state))
}

/// Whether the startup probe has let the container through.
pub fn is_started(view: &View, entry: &Entry, instance: &runtime::ContainerStatus) -> bool {
    if instance.state != State::Running {
        return false;
    }
    if entry.container.startup_probe.is_none() {
        return true;
    }
    match verdict(view.memory, entry.name(), &instance.id, probe::Kind::Startup) {
        Some(verdict) => verdict == Verdict::Success,
        None => kept(view.pod, entry, &instance.id).is_some_and(|prior| prior.started == Some(true)),
    }
}

/// Whether a running container is ready. What was ready before this process began stays so until a probe says otherwise.
pub fn is_ready(view: &View, entry: &Entry, instance: &runtime::ContainerStatus) -> bool {
    if !is_started(view, entry, instance) {
        return false;
    }
    if entry.container.readiness_probe.is_none() {
        return true;
    }
    match verdict(view.memory, entry.name(), &instance.id, probe::Kind::Readiness) {
        Some(verdict) => verdict == Verdict::Success,
        None => kept(view.pod, entry, &instance.id).is_some_and(|prior| prior.ready),
    }
}

fn kept<'a>(pod: &'a Pod, entry: &Entry, id: &str) -> Option<&'a ContainerStatus> {
    let status = prior(pod, entry)?;
    (status.container_id.as_deref()?.strip_prefix(SCHEME)? == id).then_some(status)
}

pub fn verdict(memory: &Memory, name: &str, id: &str, kind: probe::Kind) -> Option<Verdict> {
    let probes = memory.containers.get(name)?.probes.as_ref().filter(|probes| probes.id == id)?;
    probes.of(kind).verdict
}

/// What is to happen next to a container of a pod that is to run.
pub fn next(view: &View, entry: &Entry) -> Next {
    if view.memory.starting.as_deref() == Some(entry.name()) {
        return Next::Run;
    }
    let remembered = view.memory.containers.get(entry.name());
    let retry = remembered.and_then(|container| container.retry).filter(|retry| *retry > view.now);
    let list = instances(view.sandbox, entry.name());
    let Some(newest) = list.first() else {
        let prior = prior(view.pod, entry);
        let ended = prior.and_then(history);
        if let Some(exit_code) = ended {
            // In a new sandbox init containers run again, but not those that failed for good.
            let over = match entry.role {
                Role::Init => {
                    exit_code != 0 && !spec::restarts(view.pod, entry.role, &entry.container, exit_code)
                }
                _ => !spec::restarts(view.pod, entry.role, &entry.container, exit_code),
            };
            if over {
                return Next::Done { exit_code };
            }
        }
        if let Some(until) = retry {
            return Next::Wait { until, show: None };
        }
        let waits = prior.and_then(|prior| prior.state.as_ref()).is_none_or(|state| state.waiting.is_some());
        let count = prior.map_or(0, |prior| u32::try_from(prior.restart_count).unwrap_or(0));
        let attempt = if ended.is_some() && !waits { count + 1 } else { count };
        return Next::Start { attempt };
    };
    match newest.state {
        State::Created => Next::Discard { id: newest.id.clone() },
        State::Running => match kill(view, entry, newest) {
            Some((text, grace)) => Next::Kill { id: newest.id.clone(), text, grace },
            None => Next::Run,
        },
        State::Exited | State::Unknown => {
            let exit_code = exit_code(newest);
            if !spec::restarts(view.pod, entry.role, &entry.container, exit_code) {
                return Next::Done { exit_code };
            }
            let ended = newest.finished.unwrap_or(newest.created);
            let backoff = remembered.map(|container| &container.restarts);
            let until = backoff
                .and_then(|backoff| backoff.until(ended, view.backoff_limit))
                .filter(|at| *at > view.now);
            if let (Some(until), Some(backoff)) = (until, backoff) {
                let message = format!(
                    "back-off {} restarting failed container={} pod={}",
                    api::time::duration::text(backoff.delay()),
                    entry.name(),
                    spec::title(view.pod)
                );
                return Next::Wait { until, show: Some(Reason::new("CrashLoopBackOff", message)) };
            }
            match retry {
                Some(until) => Next::Wait { until, show: None },
                None => Next::Start { attempt: newest.attempt + 1 },
            }
        }
    }
}

/// Why a running container must go, if it must, and with what grace.
fn kill(view: &View, entry: &Entry, instance: &runtime::ContainerStatus) -> Option<(String, Duration)> {
    let name = entry.name();
    let kind = if matches!(entry.role, Role::Init | Role::Sidecar) { "Init container" } else { "Container" };
    let pod_grace = spec::grace(view.pod);
    let failed = |probe: probe::Kind, verb: &str| {
        let spec = probe.of(&entry.container)?;
        if verdict(view.memory, name, &instance.id, probe)? != Verdict::Failure {
            return None;
        }
        let own = spec.termination_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Some((format!("{kind} {name} failed {verb} probe"), own.map_or(pod_grace, Duration::from_secs)))
    };
    let changed = entry.container.image.as_ref().is_some_and(|image| *image != instance.image);
    let (text, grace) = if changed && entry.role != Role::Ephemeral {
        (format!("{kind} {name} definition changed"), pod_grace)
    } else if resize::restarts(view, entry, instance) {
        (format!("{kind} {name} resize requires restart"), pod_grace)
    } else {
        failed(probe::Kind::Startup, "startup").or_else(|| failed(probe::Kind::Liveness, "liveness"))?
    };
    let again = spec::restarts(view.pod, entry.role, &entry.container, 137);
    Some((if again { format!("{text}, will be restarted") } else { text }, grace))
}
