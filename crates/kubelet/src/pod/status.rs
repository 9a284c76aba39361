//! The status that a pod has: containers, phase, conditions, addresses. Pure, and equal to itself until something changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    HostIP, PodIP, PodStatus, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use runtime::State;

use super::containers::{self, SCHEME};
use super::memory::Reason;
use super::spec::{self, Entry, Role};
use super::{View, conditions, resize};

/// Times in statuses have whole seconds.
pub fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// See the module. `waits` says why containers are not running.
pub fn status(view: &View, entries: &[Entry], waits: &BTreeMap<String, Reason>) -> PodStatus {
    let old = view.pod.status.clone().unwrap_or_default();
    let mut status = old.clone();
    let has_init = entries.iter().any(|entry| matches!(entry.role, Role::Init | Role::Sidecar));
    let rejected = view.memory.ending.as_ref().is_some_and(|ending| ending.failed.is_some())
        && view.sandbox.is_none()
        && old.container_statuses.is_none();
    if !rejected {
        let list = |wanted: &[Role]| {
            let list: Vec<ContainerStatus> = entries
                .iter()
                .filter(|entry| wanted.contains(&entry.role))
                .map(|entry| container(view, entry, waits, has_init))
                .collect();
            (!list.is_empty()).then_some(list)
        };
        status.init_container_statuses = list(&[Role::Init, Role::Sidecar]);
        status.ephemeral_container_statuses = list(&[Role::Ephemeral]);
        status.container_statuses = list(&[Role::Main]).map(|mut list| {
            list.sort_by(|one, other| one.name.cmp(&other.name));
            list
        });
    }
    let all: Vec<ContainerStatus> = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .cloned()
        .collect();
    settle_phase(view, entries, &all, &old, &mut status);
    let sandbox_ready = view.sandbox.is_some_and(|sandbox| sandbox.ready)
        && (spec::host_network(view.pod) || !view.memory.ips.is_empty());
    status.conditions = Some(conditions::conditions(&conditions::Facts {
        pod: view.pod,
        entries,
        statuses: &all,
        phase: status.phase.as_deref().unwrap_or_default(),
        sandbox_ready,
        resize: resize::conditions(view, entries),
        now: view.now,
    }));
    addresses(view, &mut status);
    status.qos_class = Some(spec::qos(view.pod).to_owned());
    status.observed_generation = view.pod.metadata.generation;
    if status.start_time.is_none() {
        status.start_time = Some(Time(whole(view.memory.seen.unwrap_or(view.now))));
    }
    status
}

fn addresses(view: &View, status: &mut PodStatus) {
    let hosts: Vec<String> = view.host_ips.iter().map(ToString::to_string).collect();
    if let Some(first) = hosts.first() {
        status.host_ip = Some(first.clone());
        status.host_ips = Some(hosts.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    }
    let ips: Vec<String> = match spec::host_network(view.pod) {
        true => hosts,
        false => view.memory.ips.iter().map(ToString::to_string).collect(),
    };
    if let Some(first) = ips.first() {
        status.pod_ip = Some(first.clone());
        status.pod_ips = Some(ips.iter().map(|ip| PodIP { ip: ip.clone() }).collect());
    }
}

fn settle_phase(
    view: &View,
    entries: &[Entry],
    all: &[ContainerStatus],
    old: &PodStatus,
    status: &mut PodStatus,
) {
    let closed = view.memory.closed == super::memory::Stage::Done;
    let live = view.sandbox.iter().flat_map(|sandbox| &sandbox.containers).any(containers::is_live);
    let ending = view.memory.ending.as_ref();
    let mut phase = phase(view, entries, all, ending.is_some() && closed);
    let before = old.phase.as_deref().unwrap_or("Pending");
    if matches!(before, "Succeeded" | "Failed") {
        phase = match before {
            "Succeeded" => "Succeeded",
            _ => "Failed",
        };
    }
    // What never came to run and never will has failed (upstream since 1.27): a Job waits for such a word.
    if ending.is_some() && closed && !matches!(phase, "Succeeded" | "Failed") {
        phase = "Failed";
    }
    if let Some(reason) = ending.and_then(|ending| ending.failed.as_ref()) {
        phase = "Failed";
        status.reason = Some(reason.reason.clone());
        status.message = Some(reason.message.clone());
    } else if phase != before {
        status.reason = None;
        status.message = None;
    }
    // A phase is final only once nothing runs: what waits for it may count on that.
    if matches!(phase, "Succeeded" | "Failed") && live {
        phase = before_name(before);
    }
    status.phase = Some(phase.to_owned());
}

fn before_name(phase: &str) -> &'static str {
    match phase {
        "Running" => "Running",
        "Succeeded" => "Succeeded",
        "Failed" => "Failed",
        _ => "Pending",
    }
}

/// Upstream's `getPhase`. `over` says that nothing of the pod will ever run again.
fn phase(view: &View, entries: &[Entry], all: &[ContainerStatus], over: bool) -> &'static str {
    #[derive(Default)]
    struct Count {
        unknown: u32,
        running: u32,
        waiting: u32,
        stopped: u32,
        stopped_for_good: u32,
        succeeded: u32,
    }
    let mut count = Count::default();
    let (mut pending_init, mut pending_sidecar, mut failed_init) = (false, false, false);
    let mut began = false;
    for entry in entries {
        let status = all.iter().find(|status| status.name == entry.name());
        let state = status.and_then(|status| status.state.as_ref());
        let last =
            status.and_then(|status| status.last_state.as_ref()).and_then(|last| last.terminated.as_ref());
        let running = state.is_some_and(|state| state.running.is_some());
        let ended = state.and_then(|state| state.terminated.as_ref());
        let waits = state.is_some_and(|state| state.waiting.is_some());
        let exit = ended.or(if waits { last } else { None }).map(|ended| ended.exit_code);
        let again = exit.is_some_and(|code| spec::restarts(view.pod, entry.role, &entry.container, code));
        match entry.role {
            Role::Ephemeral => {}
            Role::Init => match exit {
                Some(0) if ended.is_some() => {}
                Some(code) if code != 0 => failed_init |= !again,
                _ => pending_init = true,
            },
            Role::Sidecar => {
                if running {
                    count.running += 1;
                    pending_sidecar |= status.is_none_or(|status| status.started != Some(true));
                } else if exit.is_none() {
                    pending_sidecar = true;
                    if waits {
                        count.waiting += 1;
                    } else {
                        count.unknown += 1;
                    }
                }
            }
            Role::Main => {
                began |= running || exit.is_some();
                match exit {
                    _ if running => count.running += 1,
                    Some(code) => {
                        count.stopped += 1;
                        count.stopped_for_good += u32::from(!again);
                        count.succeeded += u32::from(ended.is_some() && code == 0);
                    }
                    None if waits => count.waiting += 1,
                    None => count.unknown += 1,
                }
            }
        }
    }
    if failed_init {
        return "Failed";
    }
    if (pending_init || pending_sidecar) && !began || count.waiting > 0 {
        return "Pending";
    }
    if count.running > 0 && count.unknown == 0 {
        return "Running";
    }
    if count.stopped > 0 && count.unknown == 0 {
        return match count.stopped == count.succeeded {
            _ if !over && count.stopped != count.stopped_for_good => "Running",
            true => "Succeeded",
            false => "Failed",
        };
    }
    "Pending"
}

fn container(
    view: &View,
    entry: &Entry,
    waits: &BTreeMap<String, Reason>,
    has_init: bool,
) -> ContainerStatus {
    let prior = containers::prior(view.pod, entry);
    let list = containers::instances(view.sandbox, entry.name());
    let default = match has_init && entry.role != Role::Ephemeral {
        true => Reason::new("PodInitializing", ""),
        false => Reason::new("ContainerCreating", ""),
    };
    let mut status = ContainerStatus {
        name: entry.name().to_owned(),
        image: entry.container.image.clone().unwrap_or_default(),
        started: (entry.role != Role::Ephemeral).then_some(false),
        state: Some(waiting(&default)),
        volume_mounts: mounts(entry),
        last_state: Some(ContainerState::default()),
        ..ContainerStatus::default()
    };
    let Some(newest) = list.first() else {
        lost(view, entry, prior, &mut status);
        if let Some(reason) = waits.get(entry.name())
            && status.state.as_ref().is_some_and(|state| state.terminated.is_none())
        {
            status.state = Some(waiting(reason));
        }
        return status;
    };
    status.image = newest.image.clone();
    status.image_id = newest.image_id.clone();
    status.container_id = Some(format!("{SCHEME}{}", newest.id));
    status.restart_count = i32::try_from(newest.attempt).unwrap_or(i32::MAX);
    // What is asked for shows once it is in force.
    let told = prior.and_then(|prior| prior.resources.clone());
    let in_force = newest.state != State::Running || !resize::differs(view, entry, newest);
    status.resources = Some(match told {
        Some(told) if !in_force => told,
        _ => entry.container.resources.clone().unwrap_or_default(),
    });
    status.allocated_resources =
        entry.container.resources.as_ref().and_then(|resources| resources.requests.clone());
    status.last_state = match list.get(1) {
        Some(before) => Some(terminated(view, before)),
        None => prior.and_then(|prior| {
            let same = prior.container_id == status.container_id;
            let ended = prior.state.as_ref().filter(|state| !same && state.terminated.is_some());
            ended.or(prior.last_state.as_ref()).cloned()
        }),
    }
    // Upstream always has the field, empty at first.
    .or_else(|| Some(ContainerState::default()));
    let state = match newest.state {
        State::Running => {
            status.started = Some(containers::is_started(view, entry, newest));
            status.ready =
                containers::is_ready(view, entry, newest) && matches!(entry.role, Role::Main | Role::Sidecar);
            let started_at = Some(Time(whole(newest.started.unwrap_or(newest.created))));
            ContainerState {
                running: Some(ContainerStateRunning { started_at }),
                ..ContainerState::default()
            }
        }
        State::Created => waiting(&default),
        State::Exited | State::Unknown => {
            status.ready = entry.role == Role::Init && newest.exit_code == Some(0);
            terminated(view, newest)
        }
    };
    status.state = Some(state);
    if entry.role == Role::Ephemeral {
        status.started = None;
    }
    if matches!(newest.state, State::Exited | State::Unknown)
        && let Some(reason) = waits.get(entry.name())
    {
        status.last_state = status.state.take();
        status.state = Some(waiting(reason));
    }
    status
}

/// A container that the runtime does not know (yet, or any more): what the API last told of it goes on.
fn lost(view: &View, entry: &Entry, prior: Option<&ContainerStatus>, status: &mut ContainerStatus) {
    let Some(prior) = prior else { return };
    let state = prior.state.clone().unwrap_or_default();
    let ending = view.memory.ending.is_some();
    if let Some(ended) = &state.terminated {
        let again = spec::restarts(view.pod, entry.role, &entry.container, ended.exit_code)
            || entry.role == Role::Init;
        if ending || !again || entry.role == Role::Init && view.sandbox.is_some_and(|sandbox| sandbox.ready) {
            *status = prior.clone();
            return;
        }
        status.restart_count = prior.restart_count + 1;
        status.last_state = Some(state);
        return;
    }
    status.restart_count = prior.restart_count;
    status.last_state = prior.last_state.clone();
    if state.running.is_some() {
        let unknown = ContainerState {
            terminated: Some(ContainerStateTerminated {
                reason: Some("ContainerStatusUnknown".into()),
                message: Some(
                    "The container could not be located when the pod was deleted.  The container used to be Running".into(),
                ),
                exit_code: 137,
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        };
        status.container_id = prior.container_id.clone();
        status.image_id = prior.image_id.clone();
        if ending || !spec::restarts(view.pod, entry.role, &entry.container, 137) {
            status.state = Some(unknown);
        } else {
            status.last_state = Some(unknown);
            status.restart_count += 1;
        }
    }
}

fn waiting(reason: &Reason) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.reason.clone()),
            message: (!reason.message.is_empty()).then(|| reason.message.clone()),
        }),
        ..ContainerState::default()
    }
}

fn terminated(view: &View, instance: &runtime::ContainerStatus) -> ContainerState {
    let exit_code = containers::exit_code(instance);
    let reason = match (instance.reason.as_str(), instance.state.clone()) {
        (_, State::Unknown) => "ContainerStatusUnknown",
        ("", _) if exit_code == 0 => "Completed",
        ("", _) => "Error",
        (reason, _) => reason,
    };
    let told = view.memory.messages.get(&instance.id).filter(|message| !message.is_empty());
    let message = told.cloned().or_else(|| (!instance.message.is_empty()).then(|| instance.message.clone()));
    let ended = ContainerStateTerminated {
        exit_code,
        reason: Some(reason.to_owned()),
        message,
        started_at: instance.started.map(|at| Time(whole(at))),
        finished_at: instance.finished.map(|at| Time(whole(at))),
        container_id: Some(format!("{SCHEME}{}", instance.id)),
        signal: None,
    };
    ContainerState { terminated: Some(ended), ..ContainerState::default() }
}

fn mounts(entry: &Entry) -> Option<Vec<VolumeMountStatus>> {
    let mounts = entry.container.volume_mounts.as_ref()?;
    let told = mounts.iter().map(|mount| VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.filter(|read_only| *read_only),
        recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".to_owned()),
        ..VolumeMountStatus::default()
    });
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then_some(told)
}
