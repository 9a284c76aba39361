//! The Pod Security Standards: what a pod may ask for at the levels baseline and restricted, as each version had them
//! (k8s.io/pod-security-admission/policy). Pure; whom a level holds for is admission's to know.
//!
//! Here are the levels and versions, and the table of what holds when; the checks themselves are in `checks`.

mod checks;
mod pod;

use std::collections::BTreeSet;

use checks::*;
use pod::Pod;

use crate::Value;

/// Sysctls that every pod may set (the kubelet's safe list). The standards knew the first 12 of them at the last, and fewer before.
pub const SAFE_SYSCTLS: [&str; 15] = [
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
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.vs.conn_reuse_mode",
];

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
