//! Security contexts of pods and containers.

use std::collections::BTreeSet;

use crate::Value;
use crate::field::{Error, Path};
use crate::kinds::edit::{flag, has, list};
use crate::validation::check::{self, Errors};
use crate::validation::names;

/// `MountOption` needs the kubelet's gate SELinuxMount; objects that have it are not judged again.
const SELINUX_POLICIES: &[&str] = &["Recursive"];
const MOST: i64 = i32::MAX as i64;

pub fn pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(context) = spec.get("securityContext") else { return };
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        check::in_range(context, path, field, 0, MOST, errors);
    }
    for (at, group) in list(context, &["supplementalGroups"]).iter().enumerate() {
        if let Some(group) = group.as_int().filter(|group| !(0..=MOST).contains(group)) {
            errors.push(Error::invalid(
                path.child("supplementalGroups").index(at),
                group,
                names::range(0, MOST),
            ));
        }
    }
    if flag(spec, &["shareProcessNamespace"]) && flag(spec, &["hostPID"]) {
        let text = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(path.child("shareProcessNamespace"), true, text));
    }
    sysctls(spec, list(context, &["sysctls"]), &path.child("sysctls"), errors);
    check::optional_one_of(context, path, "fsGroupChangePolicy", &["Always", "OnRootMismatch"], errors);
    profile(context, "seccompProfile", path, errors);
    super::windows::options(context, path, errors);
    profile(context, "appArmorProfile", path, errors);
    check::optional_one_of(context, path, "supplementalGroupsPolicy", &["Merge", "Strict"], errors);
    check::optional_one_of(context, path, "seLinuxChangePolicy", SELINUX_POLICIES, errors);
}

pub fn container(context: Option<&Value>, host_users: bool, path: &Path, errors: &mut Errors) {
    let Some(context) = context.filter(|context| !context.is_null()) else { return };
    for field in ["runAsUser", "runAsGroup"] {
        check::in_range(context, path, field, 0, MOST, errors);
    }
    if let Some(kind) = context.get("procMount").and_then(Value::as_str) {
        check::one_of(kind, path.child("procMount"), &["Default", "Unmasked"], errors);
        if host_users && kind == "Unmasked" {
            let text = "`hostUsers` must be false to use `Unmasked`";
            errors.push(Error::invalid(path.child("procMount"), kind, text));
        }
    }
    profile(context, "seccompProfile", path, errors);
    if context.get("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false) {
        if flag(context, &["privileged"]) {
            let text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(Error::invalid(path.clone(), context.clone(), text));
        }
        let add = list(context, &["capabilities", "add"]);
        if add.iter().any(|name| name.as_str() == Some("CAP_SYS_ADMIN")) {
            let text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(Error::invalid(path.clone(), context.clone(), text));
        }
    }
    super::windows::options(context, path, errors);
    profile(context, "appArmorProfile", path, errors);
}

fn profile(context: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let Some(profile) = context.get(field).filter(|profile| !profile.is_null()) else { return };
    let path = path.child(field);
    let kind = profile.str_at(&["type"]);
    match kind {
        "" => {
            let text = format!("type is required when {field} is set");
            errors.push(Error::required(path.child("type"), text));
        }
        _ => check::one_of(kind, path.child("type"), &["Localhost", "RuntimeDefault", "Unconfined"], errors),
    }
    let known = matches!(kind, "Localhost" | "RuntimeDefault" | "Unconfined");
    if !known && field == "appArmorProfile" {
        return;
    }
    let local = profile.str_at(&["localhostProfile"]);
    let set = has(profile, &["localhostProfile"]);
    let (seccomp, inner) = (field == "seccompProfile", path.child("localhostProfile"));
    match (kind == "Localhost", set) {
        (true, false) if seccomp => {
            errors.push(Error::required(inner, "must be set when seccomp type is Localhost"));
        }
        (true, false) => errors.push(Error::required(inner, "must be set when AppArmor type is Localhost")),
        (false, true) if seccomp => {
            let text = "can only be set when seccomp type is Localhost";
            errors.push(Error::invalid(inner, profile.clone(), text));
        }
        (false, true) => {
            let text = "can only be set when AppArmor type is Localhost";
            errors.push(Error::invalid(inner, local, text));
        }
        (true, true) if seccomp => {
            if local.starts_with('/') {
                errors.push(Error::invalid(inner.clone(), local, "must be a relative path"));
            }
            super::volume::no_backsteps(local, &inner, errors);
        }
        (true, true) if local.trim().is_empty() => {
            errors.push(Error::required(inner, "must be set when AppArmor type is Localhost"));
        }
        _ => {}
    }
}

/// Sysctls that belong to the pod's network and IPC namespaces, by prefix.
const NET: &str = "net.";
const IPC: [&str; 3] = ["kernel.shm", "kernel.msg", "fs.mqueue."];

fn sysctls(spec: &Value, sysctls: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (at, sysctl) in sysctls.iter().enumerate() {
        let path = path.index(at).child("name");
        let name = sysctl.str_at(&["name"]);
        if name.is_empty() {
            errors.push(Error::required(path.clone(), ""));
        } else if name.len() > 253 || !is_sysctl(name) {
            let text = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(Error::invalid(path.clone(), name, text));
        } else if !seen.insert(name) {
            errors.push(Error::duplicate(path.clone(), name));
        }
        let dotted = name.replace('/', ".");
        if flag(spec, &["hostNetwork"]) && dotted.starts_with(NET) {
            errors.push(Error::invalid(path, name, "may not be specified when 'hostNetwork' is true"));
        } else if flag(spec, &["hostIPC"])
            && (IPC.iter().any(|prefix| dotted.starts_with(prefix)) || dotted == "kernel.sem")
        {
            errors.push(Error::invalid(path, name, "may not be specified when 'hostIPC' is true"));
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.split(['.', '/']).all(|part| {
        let bytes = part.as_bytes();
        matches!((bytes.first(), bytes.last()), (Some(&first), Some(&last)) if good(first) && good(last))
            && bytes.iter().all(|&byte| good(byte) || matches!(byte, b'-' | b'_'))
    })
}
