//! `fsGroup`: the volume's files belong to the group and are open to it; new ones inherit it by the set-group-id bit.

use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use super::Error;
use crate::pod::spec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

pub fn group(pod: &Pod) -> Option<u32> {
    let group = spec::spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// The one user that all containers run as, if there is one: its tokens need no group.
pub fn user(pod: &Pod) -> Option<u32> {
    let pod_spec = spec::spec(pod);
    let outer = pod_spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let mut found = None;
    for entry in spec::containers(pod) {
        let own =
            entry.container.security_context.as_ref().and_then(|context| context.run_as_user).or(outer)?;
        if *found.get_or_insert(own) != own {
            return None;
        }
    }
    found.and_then(|user| u32::try_from(user).ok())
}

/// Gives everything below `path` to the pod's fsGroup; does nothing without one, or if the root has it already and
/// `fsGroupChangePolicy` is `OnRootMismatch`.
pub fn apply(pod: &Pod, path: &Path, access: Access) -> Result<(), Error> {
    let owner = if access == Access::ReadOnly { user(pod) } else { None };
    let Some(group) = group(pod) else {
        return match owner {
            // Only tokens have mode 0600 without a group; their reader must own them.
            Some(owner) => walk(path, &|path, metadata| {
                if metadata.is_file() && metadata.mode() & 0o077 == 0 {
                    lchown(path, Some(owner), None)
                } else {
                    Ok(())
                }
            }),
            None => Ok(()),
        };
    };
    let policy =
        spec::spec(pod).security_context.as_ref().and_then(|context| context.fs_group_change_policy.clone());
    if policy.as_deref() == Some("OnRootMismatch")
        && path.metadata().is_ok_and(|root| root.gid() == group && root.mode() & 0o2070 == 0o2070)
    {
        return Ok(());
    }
    walk(path, &|path, metadata| {
        lchown(path, None, Some(group))?;
        if metadata.is_symlink() {
            return Ok(());
        }
        let mut mask = if access == Access::ReadOnly { 0o440 } else { 0o660 };
        if metadata.is_dir() {
            mask |= 0o2110;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode((metadata.mode() & 0o7777) | mask))
    })
}

fn walk(path: &Path, act: &dyn Fn(&Path, &std::fs::Metadata) -> std::io::Result<()>) -> Result<(), Error> {
    let io = |source| Error::Io { operation: "change the owner of", path: path.to_path_buf(), source };
    let metadata = path.symlink_metadata().map_err(io)?;
    act(path, &metadata).map_err(io)?;
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).map_err(io)? {
            walk(&entry.map_err(io)?.path(), act)?;
        }
    }
    Ok(())
}
