//! Security contexts of pod and container, joined into what the runtime is to enforce. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, SeccompProfile};
use runtime::{Seccomp, Security};

use crate::pod::spec;

/// Shown with `CreateContainerConfigError`; the texts are upstream's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("container's runAsUser breaks non-root policy (pod: {pod:?}, container: {container})")]
    UserIsRoot { pod: String, container: String },
    #[error("container has runAsNonRoot and image will run as root (pod: {pod:?}, container: {container})")]
    ImageIsRoot { pod: String, container: String },
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: {pod:?}, container: {container})"
    )]
    NamedUser { user: String, pod: String, container: String },
    #[error("{what} {value} is not between 0 and 4294967295")]
    Id { what: &'static str, value: i64 },
    #[error("localhostProfile must be set if seccompProfile type is Localhost.")]
    NoProfile,
    #[error("seccompProfile has type {0}; RuntimeDefault, Unconfined and Localhost are known")]
    ProfileType(String),
}

/// What applies to one container. `image_user` is the image's `USER`; `profiles` holds seccomp files of type Localhost.
pub fn security(
    pod: &Pod,
    container: &Container,
    image_user: &str,
    profiles: &Path,
) -> Result<Security, Error> {
    let pod_spec = spec::spec(pod);
    let outer = pod_spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(outer.run_as_user);
    let group = own.run_as_group.or(outer.run_as_group);
    // USER is `name`, `uid`, or either with `:group`.
    let (image_name, image_group) = image_user.split_once(':').unwrap_or((image_user, ""));
    let image_uid = match image_name {
        "" => Some(0),
        name => name.parse::<i64>().ok(),
    };
    let who = || (spec::title(pod), container.name.clone());
    if own.run_as_non_root.or(outer.run_as_non_root) == Some(true) {
        match (user, image_uid) {
            (Some(0), _) => {
                let (pod, container) = who();
                return Err(Error::UserIsRoot { pod, container });
            }
            (Some(_), _) => {}
            (None, Some(0)) => {
                let (pod, container) = who();
                return Err(Error::ImageIsRoot { pod, container });
            }
            (None, Some(_)) => {}
            (None, None) => {
                let (pod, container) = who();
                return Err(Error::NamedUser { user: image_name.to_owned(), pod, container });
            }
        }
    }
    let mut groups = Vec::new();
    for group in outer.fs_group.iter().chain(outer.supplemental_groups.iter().flatten()) {
        let group = id("a supplemental group", *group)?;
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    let privileged = own.privileged == Some(true);
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let names = |list: Option<Vec<String>>| -> Vec<String> {
        list.unwrap_or_default()
            .into_iter()
            .map(|name| name.to_uppercase())
            .map(|name| name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name))
            .collect()
    };
    let uid = match user {
        Some(user) => Some(id("runAsUser", user)?),
        None => image_uid.map(|uid| id("the image's USER", uid)).transpose()?,
    };
    let gid = match group {
        Some(group) => Some(id("runAsGroup", group)?),
        None if user.is_none() => image_group.parse().ok(),
        None => None,
    };
    Ok(Security {
        uid,
        gid,
        user: (uid.is_none() && !image_user.is_empty()).then(|| image_user.to_owned()),
        groups,
        privileged,
        add_capabilities: names(capabilities.add),
        drop_capabilities: names(capabilities.drop),
        // Upstream: set when escalation is refused; a privileged container cannot refuse it (validated).
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        read_only_root: own.read_only_root_filesystem == Some(true),
        seccomp: match privileged {
            true => Seccomp::Unconfined,
            false => seccomp(own.seccomp_profile.as_ref().or(outer.seccomp_profile.as_ref()), profiles)?,
        },
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
    })
}

fn id(what: &'static str, value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::Id { what, value })
}

fn seccomp(profile: Option<&SeccompProfile>, profiles: &Path) -> Result<Seccomp, Error> {
    let Some(profile) = profile else { return Ok(Seccomp::Unconfined) };
    match profile.type_.as_str() {
        "RuntimeDefault" => Ok(Seccomp::RuntimeDefault),
        "Unconfined" => Ok(Seccomp::Unconfined),
        "Localhost" => {
            let name = profile
                .localhost_profile
                .as_deref()
                .filter(|name| !name.is_empty())
                .ok_or(Error::NoProfile)?;
            // A name with `..` would read any file of the node.
            let name: PathBuf = Path::new(name)
                .components()
                .filter(|part| matches!(part, std::path::Component::Normal(_)))
                .collect();
            Ok(Seccomp::Localhost(profiles.join(name)))
        }
        other => Err(Error::ProfileType(other.to_owned())),
    }
}

/// The pod's sysctls, or the first that it may not set.
pub fn sysctls(pod: &Pod, allowed: &[String]) -> Result<BTreeMap<String, String>, String> {
    let pod_spec = spec::spec(pod);
    let wanted = pod_spec.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    let mut found = BTreeMap::new();
    for sysctl in wanted.into_iter().flatten() {
        let name = sysctl.name.replace('/', ".");
        let unsafe_ok = allowed.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *pattern == name,
        });
        if !unsafe_ok && !api::pod_security::SAFE_SYSCTLS.contains(&name.as_str()) {
            return Err(format!("forbidden sysctl: {name:?} not allowlisted"));
        }
        found.insert(name, sysctl.value.clone());
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pod: serde_json::Value, own: serde_json::Value, image_user: &str) -> Result<Security, String> {
        let pod: Pod = serde_json::from_value(
            serde_json::json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [], "securityContext": pod}}),
        )
        .unwrap();
        let container =
            serde_json::from_value(serde_json::json!({"name": "c", "securityContext": own})).unwrap();
        security(&pod, &container, image_user, Path::new("/profiles")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_container_overrides_the_pod() {
        let found = check(
            serde_json::json!({"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [5, 2000],
                "seccompProfile": {"type": "RuntimeDefault"}}),
            serde_json::json!({"runAsUser": 2, "capabilities": {"add": ["CAP_NET_ADMIN"], "drop": ["all"]},
                "allowPrivilegeEscalation": false}),
            "app",
        )
        .unwrap();
        assert_eq!((found.uid, found.gid, found.groups), (Some(2), Some(3000), vec![2000, 5]));
        assert_eq!(
            (found.add_capabilities, found.drop_capabilities),
            (vec!["NET_ADMIN".to_owned()], vec!["ALL".to_owned()])
        );
        assert!(found.no_new_privileges && found.seccomp == Seccomp::RuntimeDefault);
    }

    #[test]
    fn root_is_refused_where_it_must_be() {
        let non_root = || serde_json::json!({"runAsNonRoot": true});
        let none = || serde_json::json!({});
        for (pod, own, user, expected) in [
            (
                non_root(),
                none(),
                "",
                "container has runAsNonRoot and image will run as root (pod: \"p_n(u)\", container: c)",
            ),
            (
                non_root(),
                serde_json::json!({"runAsUser": 0}),
                "",
                "container's runAsUser breaks non-root policy (pod: \"p_n(u)\", container: c)",
            ),
            (
                non_root(),
                none(),
                "app",
                "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root (pod: \"p_n(u)\", container: c)",
            ),
        ] {
            assert_eq!(check(pod, own, user).unwrap_err(), expected);
        }
        assert_eq!(check(non_root(), none(), "65532:65532").unwrap().gid, Some(65532));
        assert_eq!(check(none(), none(), "app").unwrap().user.as_deref(), Some("app"));
    }
}
