//! The conditions of a pod's status, with upstream's reasons and messages (`pkg/kubelet/status/generate.go`).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::memory::Reason;
use super::spec::{Entry, Role};

/// Conditions that only the kubelet writes.
pub const OWNED: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];

/// There only while a resize is (KEP-1287).
pub const RESIZE: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// What conditions are made from.
pub struct Facts<'a> {
    pub pod: &'a Pod,
    pub entries: &'a [Entry<'a>],
    pub statuses: &'a [ContainerStatus],
    pub phase: &'a str,
    pub sandbox_ready: bool,
    /// Of a resize: type, reason, message.
    pub resize: Vec<(&'static str, Option<Reason>)>,
    pub now: Timestamp,
}

#[derive(Clone, Default)]
struct Told {
    good: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Told {
    fn good() -> Told {
        Told { good: true, ..Told::default() }
    }
    fn bad(reason: &'static str) -> Told {
        Told { reason: Some(reason), ..Told::default() }
    }
}

/// All conditions: those of others as they are, then the kubelet's in upstream's order.
pub fn conditions(facts: &Facts) -> Vec<PodCondition> {
    let old = facts.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let old: &[PodCondition] = old.map_or(&[], |list| list);
    let owned = |type_: &str| OWNED.contains(&type_) || RESIZE.contains(&type_);
    let others: Vec<PodCondition> =
        old.iter().filter(|condition| !owned(&condition.type_)).cloned().collect();
    let containers = containers_ready(facts);
    let ready = if containers.good { gates(facts, &others) } else { containers.clone() };
    let sandbox = Told { good: facts.sandbox_ready, ..Told::default() };
    let told = [sandbox, initialized(facts), ready, containers, Told::good()];
    let mut all = others;
    for (type_, reason) in &facts.resize {
        let before = old.iter().find(|condition| condition.type_ == *type_);
        let since = before.and_then(|before| before.last_transition_time.clone());
        all.push(PodCondition {
            type_: (*type_).to_owned(),
            status: "True".to_owned(),
            reason: reason.as_ref().map(|reason| reason.reason.clone()),
            message: reason.as_ref().map(|reason| reason.message.clone()),
            last_transition_time: since.or_else(|| Some(Time(super::status::whole(facts.now)))),
            last_probe_time: None,
            observed_generation: facts.pod.metadata.generation,
        });
    }
    for (type_, told) in OWNED.into_iter().zip(told) {
        let status = if told.good { "True" } else { "False" };
        let before = old.iter().find(|condition| condition.type_ == type_);
        let since = before
            .filter(|before| before.status == status)
            .and_then(|before| before.last_transition_time.clone())
            .unwrap_or_else(|| Time(super::status::whole(facts.now)));
        all.push(PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: told.reason.map(str::to_owned),
            message: told.message,
            last_transition_time: Some(since),
            last_probe_time: None,
            observed_generation: facts.pod.metadata.generation,
        });
    }
    all
}

fn find<'a>(facts: &'a Facts, entry: &Entry) -> Option<&'a ContainerStatus> {
    facts.statuses.iter().find(|status| status.name == entry.name())
}

fn initialized(facts: &Facts) -> Told {
    let init = || facts.entries.iter().filter(|entry| matches!(entry.role, Role::Init | Role::Sidecar));
    let unknown: Vec<&str> =
        init().filter(|entry| find(facts, entry).is_none()).map(|entry| entry.name()).collect();
    let incomplete: Vec<&str> = init()
        .filter(|entry| {
            find(facts, entry).is_some_and(|status| match entry.role {
                Role::Sidecar => status.started != Some(true),
                _ => !status.ready,
            })
        })
        .map(|entry| entry.name())
        .collect();
    if facts.phase == "Succeeded" && unknown.is_empty() {
        return Told { good: true, reason: Some("PodCompleted"), message: None };
    }
    let began = facts.entries.iter().filter(|entry| entry.role == Role::Main).any(|entry| {
        find(facts, entry).is_some_and(|status| {
            let state = status.state.as_ref();
            let ran = |one: Option<&k8s_openapi::api::core::v1::ContainerState>| {
                one.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
            };
            ran(state) || ran(status.last_state.as_ref())
        })
    });
    let mut messages = Vec::new();
    if !unknown.is_empty() {
        messages.push(format!("containers with unknown status: [{}]", unknown.join(" ")));
    }
    if !incomplete.is_empty() {
        messages.push(format!("containers with incomplete status: [{}]", incomplete.join(" ")));
    }
    if began || messages.is_empty() {
        return Told::good();
    }
    Told { message: Some(messages.join(", ")), ..Told::bad("ContainersNotInitialized") }
}

fn containers_ready(facts: &Facts) -> Told {
    let counted = || facts.entries.iter().filter(|entry| matches!(entry.role, Role::Sidecar | Role::Main));
    let unknown: Vec<&str> =
        counted().filter(|entry| find(facts, entry).is_none()).map(|entry| entry.name()).collect();
    let unready: Vec<&str> = counted()
        .filter(|entry| find(facts, entry).is_some_and(|status| !status.ready))
        .map(|entry| entry.name())
        .collect();
    match facts.phase {
        "Succeeded" if unknown.is_empty() => return Told::bad("PodCompleted"),
        "Failed" => return Told::bad("PodFailed"),
        _ => {}
    }
    let mut messages = Vec::new();
    if !unknown.is_empty() {
        messages.push(format!("containers with unknown status: [{}]", unknown.join(" ")));
    }
    if !unready.is_empty() {
        messages.push(format!("containers with unready status: [{}]", unready.join(" ")));
    }
    if messages.is_empty() {
        return Told::good();
    }
    Told { message: Some(messages.join(", ")), ..Told::bad("ContainersNotReady") }
}

fn gates(facts: &Facts, others: &[PodCondition]) -> Told {
    let spec = super::spec::spec(facts.pod);
    let mut messages = Vec::new();
    for gate in spec.readiness_gates.iter().flatten() {
        let wanted = &gate.condition_type;
        match others.iter().find(|condition| condition.type_ == *wanted) {
            None => messages
                .push(format!("corresponding condition of pod readiness gate {wanted:?} does not exist.")),
            Some(found) if found.status != "True" => messages.push(format!(
                "the status of pod readiness gate {wanted:?} is not \"True\", but {}",
                found.status
            )),
            Some(_) => {}
        }
    }
    if messages.is_empty() {
        return Told::good();
    }
    Told { message: Some(messages.join(", ")), ..Told::bad("ReadinessGatesNotReady") }
}
