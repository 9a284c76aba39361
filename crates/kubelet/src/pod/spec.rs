//! Questions about a pod's spec that several parts ask. Pure; answers are upstream's.

use std::borrow::Cow;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next starts.
    Init,
    /// An init container with `restartPolicy: Always`: runs beside the main ones (KEP-753).
    Sidecar,
    Main,
    /// Added to a running pod by `kubectl debug`; never restarted.
    Ephemeral,
}

/// A container with its role.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub role: Role,
    pub container: Cow<'a, Container>,
}

impl Entry<'_> {
    pub fn name(&self) -> &str {
        &self.container.name
    }

    /// The path of upstream's events: `spec.containers{web}`.
    pub fn field_path(&self) -> String {
        let list = match self.role {
            Role::Init | Role::Sidecar => "initContainers",
            Role::Main => "containers",
            Role::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.name())
    }
}

/// All containers: init containers in order, then the main ones, then ephemeral ones.
pub fn containers(pod: &Pod) -> Vec<Entry<'_>> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let init = spec.init_containers.iter().flatten().map(|container| Entry {
        role: if is_sidecar(container) { Role::Sidecar } else { Role::Init },
        container: Cow::Borrowed(container),
    });
    let main = spec
        .containers
        .iter()
        .map(|container| Entry { role: Role::Main, container: Cow::Borrowed(container) });
    let ephemeral = spec
        .ephemeral_containers
        .iter()
        .flatten()
        .map(|container| Entry { role: Role::Ephemeral, container: Cow::Owned(plain(container)) });
    init.chain(main).chain(ephemeral).collect()
}

pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<Entry<'a>> {
    containers(pod).into_iter().find(|entry| entry.name() == name)
}

/// The container whose processes an ephemeral one is to see.
pub fn target<'a>(pod: &'a Pod, ephemeral: &str) -> Option<&'a str> {
    let all = pod.spec.as_ref()?.ephemeral_containers.as_ref()?;
    let found = all.iter().find(|container| container.name == ephemeral)?;
    found.target_container_name.as_deref().filter(|name| !name.is_empty())
}

/// An ephemeral container has no field that a container has not, but for its target.
fn plain(from: &EphemeralContainer) -> Container {
    let from = from.clone();
    Container {
        name: from.name,
        args: from.args,
        command: from.command,
        env: from.env,
        env_from: from.env_from,
        image: from.image,
        image_pull_policy: from.image_pull_policy,
        resources: from.resources,
        security_context: from.security_context,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        termination_message_path: from.termination_message_path,
        termination_message_policy: from.termination_message_policy,
        tty: from.tty,
        volume_mounts: from.volume_mounts,
        working_dir: from.working_dir,
        ..Container::default()
    }
}

pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

pub fn spec(pod: &Pod) -> Cow<'_, PodSpec> {
    match &pod.spec {
        Some(spec) => Cow::Borrowed(spec),
        None => Cow::Owned(PodSpec::default()),
    }
}

pub fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

pub fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// `name_namespace(uid)`: how upstream names a pod in messages.
pub fn title(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

pub fn host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false)
}

pub fn restart_policy(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always")
}

/// `spec.terminationGracePeriodSeconds`, 30 s by default.
pub fn grace(pod: &Pod) -> Duration {
    let seconds = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// Whether a container that ended with `exit_code` runs again: its own rules and policy first (KEP-5307), else the pod's.
pub fn restarts(pod: &Pod, role: Role, container: &Container, exit_code: i32) -> bool {
    match role {
        Role::Ephemeral => return false,
        Role::Sidecar => return true,
        Role::Init | Role::Main => {}
    }
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
        let hit = match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if hit {
            return rule.action == "Restart";
        }
    }
    match container.restart_policy.as_deref().unwrap_or_else(|| restart_policy(pod)) {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        // An init container that succeeded is done, whatever the policy.
        _ => role == Role::Main || exit_code != 0,
    }
}

/// Whether the pod has ended for good: nothing of it may start again.
pub fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Upstream's quality of service class: `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos(pod: &Pod) -> &'static str {
    let spec = spec(pod);
    let mut guaranteed = true;
    let mut anything = false;
    let pod_level = spec.resources.as_ref().map(|resources| (&resources.requests, &resources.limits));
    let lists: Vec<_> = match pod_level {
        Some((requests, limits)) => vec![(requests, limits)],
        None => spec
            .init_containers
            .iter()
            .flatten()
            .chain(&spec.containers)
            .map(|container| match &container.resources {
                Some(resources) => (&resources.requests, &resources.limits),
                None => (&None, &None),
            })
            .collect(),
    };
    for (requests, limits) in lists {
        for resource in ["cpu", "memory"] {
            let limit = crate::quantity::milli_of(limits.as_ref(), resource);
            let request = match requests.as_ref().and_then(|list| list.get(resource)) {
                Some(quantity) => crate::quantity::milli(&quantity.0).unwrap_or(0),
                None => limit,
            };
            anything |= limit > 0 || request > 0;
            guaranteed &= limit > 0 && limit == request;
        }
    }
    match (anything, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}
