//! What a worker remembers of its pod beyond the API's and the runtime's knowledge. Lost with the process, and nothing breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use runtime::ContainerId;

use super::backoff::Backoff;
use super::spec;
use crate::probe;

/// A reason with a message, as in `state.waiting`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub reason: String,
    pub message: String,
}

impl Reason {
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Reason {
        Reason { reason: reason.into(), message: message.into() }
    }
}

/// Work that is under way. At most one of a kind at a time; one `Start` a pod keeps upstream's order of containers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Volumes,
    Sandbox,
    Start,
    Stop(ContainerId),
    Remove(ContainerId),
    Probe(String, probe::Kind),
    Report,
    Delete,
    Resize,
}

/// Something to be done once, tried again later when it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    #[default]
    NotYet,
    Done,
    Failed {
        message: String,
        tries: u32,
        retry: Timestamp,
    },
}

impl Stage {
    /// After `self` failed once more: waits of 1, 2, 4, … seconds up to `limit`.
    pub fn fail(&mut self, message: String, now: Timestamp, limit: Duration) {
        let tries = match self {
            Stage::Failed { tries, .. } => *tries + 1,
            _ => 0,
        };
        let wait = Duration::from_secs(1 << tries.min(10)).min(limit);
        *self = Stage::Failed { message, tries, retry: now + wait };
    }

    /// When it may be tried; `None` if there is nothing to try.
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Stage::NotYet => Some(Timestamp::MIN),
            Stage::Done => None,
            Stage::Failed { retry, .. } => Some(*retry),
        }
    }
}

/// What is known of one container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Why it could not start, until it does.
    pub waiting: Option<Reason>,
    /// No start before this.
    pub retry: Option<Timestamp>,
    /// A failed pull is shown as `ErrImagePull` until here, then as `ImagePullBackOff`.
    pub pull_shown_until: Option<Timestamp>,
    pub restarts: Backoff,
    pub pulls: Backoff,
    pub probes: Option<Probes>,
}

/// Probe states of one running instance.
#[derive(Clone, Debug)]
pub struct Probes {
    pub id: ContainerId,
    pub startup: probe::State,
    pub liveness: probe::State,
    pub readiness: probe::State,
}

impl Probes {
    pub fn new(id: &str) -> Probes {
        Probes {
            id: id.to_owned(),
            startup: probe::State::default(),
            liveness: probe::State::default(),
            readiness: probe::State::default(),
        }
    }

    pub fn of(&self, kind: probe::Kind) -> &probe::State {
        match kind {
            probe::Kind::Startup => &self.startup,
            probe::Kind::Liveness => &self.liveness,
            probe::Kind::Readiness => &self.readiness,
        }
    }

    pub fn of_mut(&mut self, kind: probe::Kind) -> &mut probe::State {
        match kind {
            probe::Kind::Startup => &mut self.startup,
            probe::Kind::Liveness => &mut self.liveness,
            probe::Kind::Readiness => &mut self.readiness,
        }
    }
}

/// The pod is being ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub since: Timestamp,
    pub grace: Duration,
    /// `status.reason` and `message` of a pod that the kubelet itself fails (`DeadlineExceeded`, `Evicted`, `OutOfcpu`).
    pub failed: Option<Reason>,
}

impl Ending {
    pub fn deadline(&self) -> Timestamp {
        self.since + self.grace
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub containers: BTreeMap<String, Container>,
    pub busy: BTreeSet<Op>,
    /// The container that [`Op::Start`] is about.
    pub starting: Option<String>,
    pub volumes: Stage,
    /// When volumes that are set up want it again: a token grows old, a ConfigMap changed.
    pub refresh: Option<Timestamp>,
    pub sandbox: Stage,
    pub ips: Vec<IpAddr>,
    pub ending: Option<Ending>,
    /// Sandbox stopped, link and volumes gone.
    pub closed: Stage,
    /// The last call that deletes the object was answered.
    pub deleted: Stage,
    /// The last write of the status failed.
    pub report: Stage,
    /// The status that was written, and the version that the object got by it.
    pub sent: Option<(String, PodStatus)>,
    /// Stops under way, and when each would kill.
    pub stops: BTreeMap<ContainerId, Timestamp>,
    /// Containers that could not be stopped or removed, and when to try again.
    pub stuck: BTreeMap<ContainerId, Timestamp>,
    /// Containers that were told to end so that they start anew.
    pub restarting: BTreeSet<ContainerId>,
    /// Termination messages, by container.
    pub messages: BTreeMap<ContainerId, String>,
    /// Why a resize that the spec asks for is not begun: `Deferred` or `Infeasible`.
    pub held: Option<Reason>,
    /// The last change of limits failed.
    pub resize: Stage,
    /// First seen by this node.
    pub seen: Option<Timestamp>,
}

impl Memory {
    pub fn container(&mut self, name: &str) -> &mut Container {
        self.containers.entry(name.to_owned()).or_default()
    }

    /// Notices what ends the pod: its deletion (or a shorter grace), its disappearance, its deadline, its terminal phase.
    /// `pod` is the last known state; `gone` says that the API has it no more.
    pub fn notice(&mut self, pod: &Pod, gone: bool, now: Timestamp) {
        self.seen.get_or_insert(now);
        let deleting = pod.metadata.deletion_timestamp.is_some();
        let asked =
            pod.metadata.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let grace = match (deleting, gone, asked) {
            (true, true, Some(seconds)) => Some(Duration::from_secs(seconds.max(1))),
            // Deleted by force: the API has forgotten it, so it goes as fast as is decent.
            (_, true, _) => Some(Duration::from_secs(1)),
            (true, false, Some(seconds)) => Some(Duration::from_secs(seconds)),
            (true, false, None) => Some(spec::grace(pod)),
            (false, false, _) if spec::is_terminal(pod) => Some(spec::grace(pod)),
            (false, false, _) => None,
        };
        if let Some(grace) = grace {
            match &mut self.ending {
                Some(ending) => ending.grace = ending.grace.min(grace),
                None => self.ending = Some(Ending { since: now, grace, failed: None }),
            }
        }
        if self.ending.is_none()
            && let Some(deadline) = deadline(pod)
            && deadline <= now
        {
            self.fail(
                pod,
                Reason::new(
                    "DeadlineExceeded",
                    "Pod was active on the node longer than the specified deadline",
                ),
                now,
            );
        }
    }

    /// Ends the pod as failed, for a reason of the node's own.
    pub fn fail(&mut self, pod: &Pod, reason: Reason, now: Timestamp) {
        self.ending.get_or_insert(Ending { since: now, grace: spec::grace(pod), failed: Some(reason) });
    }
}

/// When `activeDeadlineSeconds` runs out.
pub fn deadline(pod: &Pod) -> Option<Timestamp> {
    let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
    let started = pod.status.as_ref()?.start_time.as_ref()?.0;
    started.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
}
