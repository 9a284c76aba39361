//! The Pod Security Standards: what a pod may ask for at the levels baseline and restricted, as each version had them
//! (k8s.io/pod-security-admission/policy). Pure; whom a level holds for is admission's to know.
//!
//! Long because it is a table of checks, one after the other as the standards list them.

use std::collections::BTreeSet;

use crate::Value;

/// How much is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

/// A level as a version had it; no version is the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    /// The minor version after `v1.`.
    pub minor: Option<u32>,
}

impl Level {
    pub fn parse(text: &str) -> Option<Level> {
        match text {
            "privileged" => Some(Level::Privileged),
            "baseline" => Some(Level::Baseline),
            "restricted" => Some(Level::Restricted),
            _ => None,
        }
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

impl Standard {
    /// `latest` or `v1.<minor>`.
    pub fn parse_version(text: &str) -> Option<Option<u32>> {
        match text {
            "latest" => Some(None),
            text => {
                let minor = text.strip_prefix("v1.")?;
                let plain = minor == "0" || !minor.starts_with('0');
                minor.parse().ok().filter(|_| plain).map(Some)
            }
        }
    }
}

impl std::fmt::Display for Standard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.minor {
            None => write!(out, "{}:latest", self.level.as_str()),
            Some(minor) => write!(out, "{}:v1.{minor}", self.level.as_str()),
        }
    }
}

/// What a check says no to: why in short, and what exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub reason: String,
    pub detail: String,
}

/// The violations as upstream lists them, with their details or without.
pub fn describe(violations: &[Violation], details: bool) -> String {
    let shown = violations.iter().map(|violation| match details && !violation.detail.is_empty() {
        true => format!("{} ({})", violation.reason, violation.detail),
        false => violation.reason.clone(),
    });
    shown.collect::<Vec<_>>().join(", ")
}

type Check = fn(&Pod<'_>) -> Option<Violation>;

/// A check: its name (they run in the order of these, baseline first), its level, the minors from which a form of it
/// holds, and what it replaces.
struct Row {
    name: &'static str,
    level: Level,
    forms: &'static [(u32, Check)],
    overrides: &'static str,
}

const BASELINE: Level = Level::Baseline;
const RESTRICTED: Level = Level::Restricted;

/// Sorted by level and name.
static CHECKS: [Row; 19] = [
    Row { name: "appArmorProfile", level: BASELINE, forms: &[(0, app_armor)], overrides: "" },
    Row {
        name: "capabilities_baseline",
        level: BASELINE,
        forms: &[(0, capabilities_baseline)],
        overrides: "",
    },
    Row { name: "hostNamespaces", level: BASELINE, forms: &[(0, host_namespaces)], overrides: "" },
    Row { name: "hostPathVolumes", level: BASELINE, forms: &[(0, host_path)], overrides: "" },
    Row { name: "hostPorts", level: BASELINE, forms: &[(0, host_ports)], overrides: "" },
    Row { name: "hostProbesAndHostLifecycle", level: BASELINE, forms: &[(34, host_probes)], overrides: "" },
    Row { name: "privileged", level: BASELINE, forms: &[(0, privileged)], overrides: "" },
    Row {
        name: "procMount",
        level: BASELINE,
        forms: &[(0, proc_mount), (35, |pod| pod.unless_own_users(proc_mount))],
        overrides: "",
    },
    Row {
        name: "seLinuxOptions",
        level: BASELINE,
        forms: &[
            (0, |pod| se_linux(pod, &["", "container_t", "container_init_t", "container_kvm_t"])),
            (31, |pod| {
                se_linux(
                    pod,
                    &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"],
                )
            }),
        ],
        overrides: "",
    },
    Row {
        name: "seccompProfile_baseline",
        level: BASELINE,
        forms: &[(0, seccomp_annotations), (19, |pod| seccomp(pod, false))],
        overrides: "",
    },
    Row {
        name: "sysctls",
        level: BASELINE,
        forms: &[
            (0, |pod| sysctls(pod, 5)),
            (27, |pod| sysctls(pod, 6)),
            (29, |pod| sysctls(pod, 10)),
            (32, |pod| sysctls(pod, 12)),
        ],
        overrides: "",
    },
    Row { name: "windowsHostProcess", level: BASELINE, forms: &[(0, host_process)], overrides: "" },
    Row {
        name: "allowPrivilegeEscalation",
        level: RESTRICTED,
        forms: &[(8, escalation), (25, |pod| pod.unless_windows(escalation))],
        overrides: "",
    },
    Row {
        name: "capabilities_restricted",
        level: RESTRICTED,
        forms: &[(22, capabilities_restricted), (25, |pod| pod.unless_windows(capabilities_restricted))],
        overrides: "capabilities_baseline",
    },
    Row {
        name: "procMount_restricted",
        level: RESTRICTED,
        forms: &[(35, proc_mount)],
        overrides: "procMount",
    },
    Row {
        name: "restrictedVolumes",
        level: RESTRICTED,
        forms: &[(0, volumes)],
        overrides: "hostPathVolumes",
    },
    Row {
        name: "runAsNonRoot",
        level: RESTRICTED,
        forms: &[(0, non_root), (35, |pod| pod.unless_own_users(non_root))],
        overrides: "",
    },
    Row {
        name: "runAsUser",
        level: RESTRICTED,
        forms: &[(23, run_as_user), (35, |pod| pod.unless_own_users(run_as_user))],
        overrides: "",
    },
    Row {
        name: "seccompProfile_restricted",
        level: RESTRICTED,
        forms: &[(19, |pod| seccomp(pod, true)), (25, |pod| pod.unless_windows(|pod| seccomp(pod, true)))],
        overrides: "seccompProfile_baseline",
    },
];

/// What of a pod (its `metadata` and `spec`) a standard does not allow.
pub fn evaluate(standard: Standard, metadata: &Value, spec: &Value) -> Vec<Violation> {
    if standard.level == Level::Privileged {
        return Vec::new();
    }
    let minor = standard.minor.unwrap_or(u32::MAX);
    let form = |row: &Row| row.forms.iter().rev().find(|(since, _)| *since <= minor).map(|(_, check)| *check);
    let active: Vec<(&Row, Check)> = CHECKS
        .iter()
        .filter(|row| row.level <= standard.level)
        .filter_map(|row| Some((row, form(row)?)))
        .collect();
    let overridden: BTreeSet<&str> = active.iter().map(|(row, _)| row.overrides).collect();
    let pod = Pod { metadata, spec };
    active
        .iter()
        .filter(|(row, _)| !overridden.contains(row.name))
        .filter_map(|(_, check)| check(&pod))
        .collect()
}

struct Pod<'p> {
    metadata: &'p Value,
    spec: &'p Value,
}

impl<'p> Pod<'p> {
    fn containers(&self) -> impl Iterator<Item = &'p Value> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| spec.get(list).and_then(Value::as_array).unwrap_or_default())
    }
    /// Names of the containers that `bad` is true of.
    fn bad(&self, mut bad: impl FnMut(&'p Value) -> bool) -> Vec<String> {
        self.containers()
            .filter(|container| bad(container))
            .map(|container| container.str_at(&["name"]).to_string())
            .collect()
    }
    fn context(&self, field: &str) -> Option<&'p Value> {
        set(self.spec, &["securityContext", field])
    }
    fn list(&self, name: &str) -> &'p [Value] {
        self.spec.get(name).and_then(Value::as_array).unwrap_or_default()
    }
    fn unless_windows(&self, check: Check) -> Option<Violation> {
        if self.spec.str_at(&["os", "name"]) == "windows" { None } else { check(self) }
    }
    /// A pod with users of its own is root of nothing outside.
    fn unless_own_users(&self, check: Check) -> Option<Violation> {
        if flag(self.spec, &["hostUsers"]) == Some(false) { None } else { check(self) }
    }
}

fn set<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    value.at(path).filter(|value| !value.is_null())
}

fn flag(value: &Value, path: &[&str]) -> Option<bool> {
    value.at(path).and_then(Value::as_bool)
}

fn violation(reason: impl Into<String>, detail: String) -> Option<Violation> {
    Some(Violation { reason: reason.into(), detail })
}

fn quoted<'t>(texts: impl IntoIterator<Item = &'t String>) -> String {
    texts.into_iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ")
}

fn plural(one: &'static str, many: &'static str, count: usize) -> &'static str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
fn named(bad: &[String]) -> String {
    format!("{} {}", plural("container", "containers", bad.len()), quoted(bad))
}

/// The pod itself and its containers, as those who set something.
fn setters(pod: bool, bad: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    if pod {
        all.push("pod".to_string());
    }
    if !bad.is_empty() {
        all.push(named(bad));
    }
    all
}

fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    let mut values = BTreeSet::new();
    let mut wrong = |profile: Option<&Value>| {
        let kind = profile.map(|profile| profile.str_at(&["type"]));
        let bad = kind.is_some_and(|kind| !matches!(kind, "RuntimeDefault" | "Localhost"));
        values.extend(kind.filter(|_| bad).map(String::from));
        bad
    };
    let own = wrong(pod.context("appArmorProfile"));
    let bad = pod.bad(|container| wrong(set(container, &["securityContext", "appArmorProfile"])));
    let mut all = setters(own, &bad);
    let mut list: Vec<String> = values.into_iter().collect();
    let annotations = pod.metadata.get("annotations").and_then(Value::as_map);
    let mut forbidden: Vec<String> = annotations
        .into_iter()
        .flat_map(|map| map.iter())
        .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(_, value)| {
            !value.is_empty() && *value != "runtime/default" && !value.starts_with("localhost/")
        })
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    if !forbidden.is_empty() {
        forbidden.sort();
        all.push(plural("annotation", "annotations", forbidden.len()).into());
        list.extend(forbidden);
    }
    if all.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", list.len());
    violation(
        reason,
        format!("{} must not set AppArmor profile type to {}", all.join(" and "), quoted(&list)),
    )
}

fn capabilities_baseline(pod: &Pod<'_>) -> Option<Violation> {
    const ALLOWED: [&str; 13] = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let mut found = BTreeSet::new();
    let bad = pod.bad(|container| {
        let more: Vec<String> =
            capabilities(container, "add").filter(|name| !ALLOWED.contains(name)).map(String::from).collect();
        let is = !more.is_empty();
        found.extend(more);
        is
    });
    if bad.is_empty() {
        return None;
    }
    let detail =
        format!("{} must not include {} in securityContext.capabilities.add", named(&bad), quoted(&found));
    violation("non-default capabilities", detail)
}

fn capabilities<'c>(container: &'c Value, list: &'static str) -> impl Iterator<Item = &'c str> {
    let all = container.at(&["securityContext", "capabilities", list]).and_then(Value::as_array);
    all.unwrap_or_default().iter().filter_map(Value::as_str)
}

fn capabilities_restricted(pod: &Pod<'_>) -> Option<Violation> {
    let missing = pod.bad(|container| !capabilities(container, "drop").any(|name| name == "ALL"));
    let mut found = BTreeSet::new();
    let adding = pod.bad(|container| {
        let more: Vec<String> = capabilities(container, "add")
            .filter(|name| *name != "NET_BIND_SERVICE")
            .map(String::from)
            .collect();
        let is = !more.is_empty();
        found.extend(more);
        is
    });
    let mut details = Vec::new();
    if !missing.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&missing)));
    }
    if !adding.is_empty() {
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            named(&adding),
            quoted(&found)
        ));
    }
    if details.is_empty() { None } else { violation("unrestricted capabilities", details.join("; ")) }
}

fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| flag(pod.spec, &[field]) == Some(true))
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() { None } else { violation("host namespaces", shared.join(", ")) }
}

fn host_path(pod: &Pod<'_>) -> Option<Violation> {
    let bad: Vec<String> = pod
        .list("volumes")
        .iter()
        .filter(|volume| set(volume, &["hostPath"]).is_some())
        .map(|volume| volume.str_at(&["name"]).to_string())
        .collect();
    if bad.is_empty() {
        return None;
    }
    violation("hostPath volumes", format!("{} {}", plural("volume", "volumes", bad.len()), quoted(&bad)))
}

fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let mut ports = BTreeSet::new();
    let bad = pod.bad(|container| {
        let list = container.get("ports").and_then(Value::as_array).unwrap_or_default();
        let used: Vec<String> = list
            .iter()
            .filter_map(|port| port.get("hostPort").and_then(Value::as_int))
            .filter(|port| *port != 0)
            .map(|port| port.to_string())
            .collect();
        let is = !used.is_empty();
        ports.extend(used);
        is
    });
    if bad.is_empty() {
        return None;
    }
    let list = ports.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "{} {} {} {list}",
        named(&bad),
        plural("uses", "use", bad.len()),
        plural("hostPort", "hostPorts", ports.len())
    );
    violation("hostPort", detail)
}

fn host_probes(pod: &Pod<'_>) -> Option<Violation> {
    let (mut names, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for container in pod.containers() {
        let handlers: [&[&str]; 5] = [
            &["livenessProbe"],
            &["readinessProbe"],
            &["startupProbe"],
            &["lifecycle", "postStart"],
            &["lifecycle", "preStop"],
        ];
        for handler in handlers.into_iter().filter_map(|path| container.at(path)) {
            for kind in ["httpGet", "tcpSocket"] {
                let host = handler.str_at(&[kind, "host"]);
                if !host.is_empty() {
                    names.insert(container.str_at(&["name"]).to_string());
                    hosts.insert(host.to_string());
                }
            }
        }
    }
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {} {}",
        plural("container", "containers", names.len()),
        quoted(&names),
        plural("uses", "use", names.len()),
        plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
        quoted(&hosts)
    );
    violation("probe or lifecycle host", detail)
}

fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let bad = pod.bad(|container| flag(container, &["securityContext", "privileged"]) == Some(true));
    if bad.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", named(&bad)))
}

fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let mut kinds = BTreeSet::new();
    let bad = pod.bad(|container| {
        let kind = container.str_at(&["securityContext", "procMount"]);
        let is = !matches!(kind, "" | "Default");
        kinds.extend(is.then(|| kind.to_string()));
        is
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", named(&bad), quoted(&kinds));
    violation("procMount", detail)
}

fn volumes(pod: &Pod<'_>) -> Option<Violation> {
    const ALLOWED: [&str; 9] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in pod.list("volumes") {
        let fields = volume.as_map().into_iter().flat_map(|map| map.iter());
        let mut sources =
            fields.filter(|(key, value)| *key != "name" && !value.is_null()).map(|(key, _)| key.as_str());
        let kind = sources.next().unwrap_or("unknown");
        if !ALLOWED.contains(&kind) {
            names.push(volume.str_at(&["name"]).to_string());
            kinds.insert(kind.to_string());
        }
    }
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", names.len()),
        quoted(&names),
        plural("uses", "use", names.len()),
        plural("restricted volume type", "restricted volume types", kinds.len()),
        quoted(&kinds)
    );
    violation("restricted volume types", detail)
}

fn non_root(pod: &Pod<'_>) -> Option<Violation> {
    let own = pod.context("runAsNonRoot").and_then(Value::as_bool);
    let of = |container: &Value| flag(container, &["securityContext", "runAsNonRoot"]);
    let explicit = pod.bad(|container| of(container) == Some(false));
    let all = setters(own == Some(false), &explicit);
    if !all.is_empty() {
        let detail = format!("{} must not set securityContext.runAsNonRoot=false", all.join(" and "));
        return violation("runAsNonRoot != true", detail);
    }
    let implicit = pod.bad(|container| of(container).is_none() && own != Some(true));
    if implicit.is_empty() {
        return None;
    }
    violation(
        "runAsNonRoot != true",
        format!("pod or {} must set securityContext.runAsNonRoot=true", named(&implicit)),
    )
}

fn run_as_user(pod: &Pod<'_>) -> Option<Violation> {
    let own = pod.context("runAsUser").and_then(Value::as_int) == Some(0);
    let bad = pod
        .bad(|container| container.at(&["securityContext", "runAsUser"]).and_then(Value::as_int) == Some(0));
    let all = setters(own, &bad);
    if all.is_empty() {
        return None;
    }
    violation("runAsUser=0", format!("{} must not set runAsUser=0", all.join(" and ")))
}

fn se_linux(pod: &Pod<'_>, allowed: &[&str]) -> Option<Violation> {
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let mut wrong = |options: Option<&Value>| {
        let Some(options) = options else { return false };
        let kind = options.str_at(&["type"]);
        let bad_type = !allowed.contains(&kind);
        types.extend(bad_type.then(|| kind.to_string()));
        let (sets_user, sets_role) =
            (!options.str_at(&["user"]).is_empty(), !options.str_at(&["role"]).is_empty());
        user |= sets_user;
        role |= sets_role;
        bad_type || sets_user || sets_role
    };
    let own = wrong(pod.context("seLinuxOptions"));
    let bad = pod.bad(|container| wrong(set(container, &["securityContext", "seLinuxOptions"])));
    let all = setters(own, &bad);
    if all.is_empty() {
        return None;
    }
    let mut data = Vec::new();
    if !types.is_empty() {
        data.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    if user {
        data.push("user may not be set".into());
    }
    if role {
        data.push("role may not be set".into());
    }
    let detail =
        format!("{} set forbidden securityContext.seLinuxOptions: {}", all.join(" and "), data.join("; "));
    violation("seLinuxOptions", detail)
}

fn seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
    let mut forbidden = BTreeSet::new();
    let mut look = |key: String| {
        let Some(value) = pod.metadata.at(&["annotations", &key]).and_then(Value::as_str) else { return };
        if !matches!(value, "runtime/default" | "docker/default") && !value.starts_with("localhost/") {
            forbidden.insert(format!("{key}={value:?}"));
        }
    };
    look("seccomp.security.alpha.kubernetes.io/pod".into());
    for container in pod.containers() {
        look(format!("container.seccomp.security.alpha.kubernetes.io/{}", container.str_at(&["name"])));
    }
    if forbidden.is_empty() {
        return None;
    }
    let list = forbidden.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    violation(
        "seccompProfile",
        format!("forbidden {} {list}", plural("annotation", "annotations", forbidden.len())),
    )
}

fn seccomp(pod: &Pod<'_>, needed: bool) -> Option<Violation> {
    let mut values = BTreeSet::new();
    let mut wrong = |profile: Option<&Value>| {
        let kind = profile.map(|profile| profile.str_at(&["type"]));
        let bad = kind.is_some_and(|kind| !matches!(kind, "RuntimeDefault" | "Localhost"));
        values.extend(kind.filter(|_| bad).map(String::from));
        bad
    };
    let own = pod.context("seccompProfile");
    let own_bad = wrong(own);
    let of = |container: &'_ Value| set(container, &["securityContext", "seccompProfile"]).is_some();
    let bad = pod.bad(|container| wrong(set(container, &["securityContext", "seccompProfile"])));
    let all = setters(own_bad, &bad);
    if !all.is_empty() {
        let detail = format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            all.join(" and "),
            quoted(&values)
        );
        return violation("seccompProfile", detail);
    }
    let implicit = pod.bad(|container| !of(container) && own.is_none());
    if !needed || implicit.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        named(&implicit)
    );
    violation("seccompProfile", detail)
}

/// The first `known` of these are allowed.
fn sysctls(pod: &Pod<'_>, known: usize) -> Option<Violation> {
    const ALLOWED: [&str; 12] = [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ];
    let all = pod.context("sysctls").and_then(Value::as_array).unwrap_or_default();
    let bad: Vec<&str> = all
        .iter()
        .map(|sysctl| sysctl.str_at(&["name"]))
        .filter(|name| !ALLOWED[..known].contains(name))
        .collect();
    if bad.is_empty() { None } else { violation("forbidden sysctls", bad.join(", ")) }
}

fn host_process(pod: &Pod<'_>) -> Option<Violation> {
    let path = ["securityContext", "windowsOptions", "hostProcess"];
    let own = flag(pod.spec, &path) == Some(true);
    let bad = pod.bad(|container| flag(container, &path) == Some(true));
    let all = setters(own, &bad);
    if all.is_empty() {
        return None;
    }
    let detail =
        format!("{} must not set securityContext.windowsOptions.hostProcess=true", all.join(" and "));
    violation("hostProcess", detail)
}

fn escalation(pod: &Pod<'_>) -> Option<Violation> {
    let bad =
        pod.bad(|container| flag(container, &["securityContext", "allowPrivilegeEscalation"]) != Some(false));
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&bad));
    violation("allowPrivilegeEscalation != false", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(standard: Standard, spec: &str, expected: &str) {
        let spec = crate::json::parse(spec.as_bytes()).unwrap();
        assert_eq!(describe(&evaluate(standard, &Value::object(), &spec), true), expected, "{spec}");
    }

    #[test]
    fn levels_and_versions() {
        let of = |level, minor| Standard { level, minor };
        let plain = r#"{"containers":[{"name":"a"}]}"#;
        check(of(Level::Privileged, None), plain, "");
        check(of(Level::Baseline, None), plain, "");
        check(
            of(Level::Restricted, None),
            plain,
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        );
        check(
            of(Level::Restricted, Some(7)),
            plain,
            "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
        );
        let good = r#"{"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}},"containers":[
            {"name":"a","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}"#;
        check(of(Level::Restricted, None), good, "");
        let bad = r#"{"hostNetwork":true,"hostPID":true,"volumes":[{"name":"v","hostPath":{"path":"/"}},{"name":"n","nfs":{}}],
            "containers":[{"name":"a","ports":[{"hostPort":80}],"securityContext":{"privileged":true,
            "capabilities":{"add":["SYS_ADMIN","CHOWN"]}}},{"name":"b","securityContext":{"privileged":true}}]}"#;
        check(
            of(Level::Baseline, Some(25)),
            bad,
            "non-default capabilities (container \"a\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volume \"v\"), hostPort (container \"a\" uses hostPort 80), privileged (containers \"a\", \"b\" must not set securityContext.privileged=true)",
        );
        let restricted = describe(
            &evaluate(
                of(Level::Restricted, None),
                &Value::object(),
                &crate::json::parse(bad.as_bytes()).unwrap(),
            ),
            false,
        );
        assert!(restricted.contains("restricted volume types") && !restricted.contains("hostPath volumes"));
        let sysctl = r#"{"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_rmem"}]}}"#;
        check(of(Level::Baseline, Some(31)), sysctl, "forbidden sysctls (net.ipv4.tcp_rmem)");
        check(of(Level::Baseline, Some(32)), sysctl, "");
        assert_eq!(Standard::parse_version("v1.24"), Some(Some(24)));
        assert_eq!(Standard::parse_version("v2.0"), None);
        assert_eq!(of(Level::Restricted, Some(24)).to_string(), "restricted:v1.24");
    }
}
