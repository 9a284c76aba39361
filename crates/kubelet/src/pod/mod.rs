//! The pod state machine: what the API wants, what the runtime runs and what the worker remembers, to actions and a status.
//!
//! Invariant: [`plan()`] is pure; the same [`View`] gives the same [`Plan`]. It reads no clock and does nothing itself.

pub mod admission;
pub mod backoff;
mod conditions;
mod containers;
pub mod diff;
pub mod memory;
mod plan;
pub mod resize;
pub mod spec;
mod status;

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use runtime::{ContainerId, SandboxStatus};

pub use containers::{SCHEME, instances, is_live};
pub use memory::{Memory, Op, Reason};
pub use plan::plan;
pub use spec::{Entry, Role};
pub use status::whole;

use crate::probe;

/// Everything that a plan is made from.
pub struct View<'a> {
    /// As last seen in the API.
    pub pod: &'a Pod,
    /// The API has it no more.
    pub gone: bool,
    /// From the runtime; `None` if it knows none.
    pub sandbox: Option<&'a SandboxStatus>,
    pub memory: &'a Memory,
    pub host_ips: &'a [IpAddr],
    pub now: Timestamp,
    /// `max-container-restart-period`: 5 min.
    pub backoff_limit: Duration,
    /// Bytes; scales how readily the kernel kills a container.
    pub node_memory: i64,
    /// `pod-max-pids`; below one for none.
    pub pids_limit: i64,
}

/// One thing to do. Each becomes an [`Op`] that is not planned again while it is under way.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    SetUpVolumes,
    /// Attaches the network and starts the sandbox, in the place of one that died.
    RunSandbox {
        attempt: u32,
    },
    /// Image, configuration, create, start, postStart.
    Start {
        name: String,
        attempt: u32,
    },
    /// `again` when a longer grace is being cut short: the hook was run already.
    Stop {
        name: String,
        id: ContainerId,
        why: Why,
        grace: Duration,
        again: bool,
    },
    /// A container that ended and is not needed for `lastState` or `logs --previous` any more.
    Remove {
        id: ContainerId,
    },
    /// Stops the sandbox, detaches the network, unmounts volumes.
    Close,
    /// Writes the plan's status.
    Report,
    /// The last delete, with grace 0.
    Delete,
    /// Removes every trace; the worker ends after it.
    Forget,
    /// Changes limits of what runs.
    Resize(resize::Change),
    Probe {
        name: String,
        id: ContainerId,
        kind: probe::Kind,
    },
}

impl Action {
    pub fn op(&self) -> Op {
        match self {
            Action::SetUpVolumes => Op::Volumes,
            Action::RunSandbox { .. } | Action::Close | Action::Forget => Op::Sandbox,
            Action::Start { .. } => Op::Start,
            Action::Stop { id, .. } => Op::Stop(id.clone()),
            Action::Remove { id } => Op::Remove(id.clone()),
            Action::Report => Op::Report,
            Action::Delete => Op::Delete,
            Action::Resize(_) => Op::Resize,
            Action::Probe { name, kind, .. } => Op::Probe(name.clone(), *kind),
        }
    }
}

/// Why a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The pod ends, or all its main containers did.
    PodEnds,
    /// Text of the event: `Container web failed liveness probe, will be restarted`.
    Restart(String),
}

/// An event that planning itself found worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Notes with a key that was told before are not told again.
    pub key: String,
    pub field_path: Option<String>,
    pub warning: bool,
    pub reason: &'static str,
    pub message: String,
}

/// See [`plan()`].
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub actions: Vec<Action>,
    pub status: PodStatus,
    /// Containers that wait, with why and till when; the worker tells each once.
    pub notes: Vec<Note>,
    /// When to plan again even if nothing happens.
    pub wake: Option<Timestamp>,
}

impl Plan {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

#[cfg(test)]
mod tests;
