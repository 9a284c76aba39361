//! The checks of the Pod Security Standards, in the order of the standards: what of a pod each says no to, and in which words
//! (k8s.io/pod-security-admission/policy, `check_*.go`). Which of them holds at a level and version is told by `super::CHECKS`.

use std::collections::BTreeSet;

use super::pod::{Pod, flag, named, plural, quoted, set, setters, uses, violation};
use super::{SAFE_SYSCTLS, Violation};
use crate::Value;

const CONTAINERS: (&str, &str) = ("container", "containers");

pub(super) fn app_armor(pod: &Pod<'_>) -> Option<Violation> {
    let (mut all, values) = profiles(pod, "appArmorProfile");
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

/// Who sets a profile that is neither the runtime's nor a file of the node, and which.
fn profiles(pod: &Pod<'_>, field: &str) -> (Vec<String>, BTreeSet<String>) {
    let wrong = |profile: Option<&Value>| {
        let kind = profile.map(|profile| profile.str_at(&["type"]));
        kind.filter(|kind| !matches!(*kind, "RuntimeDefault" | "Localhost")).map(String::from)
    };
    let own = wrong(pod.context(field));
    let (bad, mut values) = pod.wrong(|container| wrong(set(container, &["securityContext", field])));
    let all = setters(own.is_some(), &bad);
    values.extend(own);
    (all, values)
}

pub(super) fn capabilities_baseline(pod: &Pod<'_>) -> Option<Violation> {
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
    violation("non-default capabilities", adding(pod, &ALLOWED)?)
}

fn capabilities<'c>(container: &'c Value, list: &'static str) -> impl Iterator<Item = &'c str> {
    let all = container.at(&["securityContext", "capabilities", list]).and_then(Value::as_array);
    all.unwrap_or_default().iter().filter_map(Value::as_str)
}

/// What is told of capabilities added beyond `allowed`.
fn adding(pod: &Pod<'_>, allowed: &[&str]) -> Option<String> {
    let (bad, found) = pod.wrong(|container| {
        capabilities(container, "add").filter(|name| !allowed.contains(name)).map(String::from)
    });
    (!bad.is_empty()).then(|| {
        format!("{} must not include {} in securityContext.capabilities.add", named(&bad), quoted(&found))
    })
}

pub(super) fn capabilities_restricted(pod: &Pod<'_>) -> Option<Violation> {
    let missing = pod.bad(|container| !capabilities(container, "drop").any(|name| name == "ALL"));
    let mut details = Vec::new();
    if !missing.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&missing)));
    }
    details.extend(adding(pod, &["NET_BIND_SERVICE"]));
    if details.is_empty() { None } else { violation("unrestricted capabilities", details.join("; ")) }
}

pub(super) fn host_namespaces(pod: &Pod<'_>) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| flag(pod.spec, &[field]) == Some(true))
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() { None } else { violation("host namespaces", shared.join(", ")) }
}

pub(super) fn host_path(pod: &Pod<'_>) -> Option<Violation> {
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

pub(super) fn host_ports(pod: &Pod<'_>) -> Option<Violation> {
    let (bad, ports) = pod.wrong(|container| {
        let list = container.get("ports").and_then(Value::as_array).unwrap_or_default();
        list.iter()
            .filter_map(|port| port.get("hostPort").and_then(Value::as_int))
            .filter(|port| *port != 0)
            .map(|port| port.to_string())
    });
    if bad.is_empty() {
        return None;
    }
    let list = ports.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    violation("hostPort", uses(CONTAINERS, &bad, ("hostPort", "hostPorts"), &ports, &list))
}

pub(super) fn host_probes(pod: &Pod<'_>) -> Option<Violation> {
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
    let names: Vec<String> = names.into_iter().collect();
    let things = ("probe or lifecycle host", "probe or lifecycle hosts");
    violation("probe or lifecycle host", uses(CONTAINERS, &names, things, &hosts, &quoted(&hosts)))
}

pub(super) fn privileged(pod: &Pod<'_>) -> Option<Violation> {
    let bad = pod.bad(|container| flag(container, &["securityContext", "privileged"]) == Some(true));
    if bad.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", named(&bad)))
}

pub(super) fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    let (bad, kinds) = pod.wrong(|container| {
        let kind = container.str_at(&["securityContext", "procMount"]);
        (!matches!(kind, "" | "Default")).then(|| kind.to_string())
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", named(&bad), quoted(&kinds));
    violation("procMount", detail)
}

pub(super) fn volumes(pod: &Pod<'_>) -> Option<Violation> {
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
    let things = ("restricted volume type", "restricted volume types");
    violation("restricted volume types", uses(("volume", "volumes"), &names, things, &kinds, &quoted(&kinds)))
}

pub(super) fn non_root(pod: &Pod<'_>) -> Option<Violation> {
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

pub(super) fn run_as_user(pod: &Pod<'_>) -> Option<Violation> {
    let own = pod.context("runAsUser").and_then(Value::as_int) == Some(0);
    let bad = pod
        .bad(|container| container.at(&["securityContext", "runAsUser"]).and_then(Value::as_int) == Some(0));
    let all = setters(own, &bad);
    if all.is_empty() {
        return None;
    }
    violation("runAsUser=0", format!("{} must not set runAsUser=0", all.join(" and ")))
}

pub(super) fn se_linux(pod: &Pod<'_>, allowed: &[&str]) -> Option<Violation> {
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

pub(super) fn seccomp_annotations(pod: &Pod<'_>) -> Option<Violation> {
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

pub(super) fn seccomp(pod: &Pod<'_>, needed: bool) -> Option<Violation> {
    let (all, values) = profiles(pod, "seccompProfile");
    if !all.is_empty() {
        let detail = format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            all.join(" and "),
            quoted(&values)
        );
        return violation("seccompProfile", detail);
    }
    let unset = |container: &Value| set(container, &["securityContext", "seccompProfile"]).is_none();
    let implicit = pod.bad(|container| unset(container) && pod.context("seccompProfile").is_none());
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
pub(super) fn sysctls(pod: &Pod<'_>, known: usize) -> Option<Violation> {
    let all = pod.context("sysctls").and_then(Value::as_array).unwrap_or_default();
    let bad: Vec<&str> = all
        .iter()
        .map(|sysctl| sysctl.str_at(&["name"]))
        .filter(|name| !SAFE_SYSCTLS[..known].contains(name))
        .collect();
    if bad.is_empty() { None } else { violation("forbidden sysctls", bad.join(", ")) }
}

pub(super) fn host_process(pod: &Pod<'_>) -> Option<Violation> {
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

pub(super) fn escalation(pod: &Pod<'_>) -> Option<Violation> {
    let bad =
        pod.bad(|container| flag(container, &["securityContext", "allowPrivilegeEscalation"]) != Some(false));
    if bad.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&bad));
    violation("allowPrivilegeEscalation != false", detail)
}
