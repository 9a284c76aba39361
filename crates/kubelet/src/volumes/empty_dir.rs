//! `emptyDir`: a folder that lives as long as the pod, on disk or in memory.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::FutureExt;

use super::{Context, Error, Plugin, SetUp, mounts_below, ownership};
use crate::quantity;

pub static PLUGIN: Plugin = Plugin {
    folder: "kubernetes.io~empty-dir",
    is: |volume| volume.empty_dir.is_some(),
    set_up: |context| async move { set_up(&context) }.boxed(),
};

fn set_up(context: &Context) -> Result<SetUp, Error> {
    let Some(source) = &context.volume.empty_dir else { return Err(Error::Unsupported) };
    let fresh = !context.path.exists();
    match source.medium.as_deref() {
        Some("Memory") => {
            let limit = source.size_limit.as_ref().and_then(|limit| quantity::value(&limit.0));
            memory(context.path, limit)?;
        }
        _ => folder(context.path)?,
    }
    if fresh {
        let all = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(context.path, all)
            .map_err(|source| io("set the mode of", context.path, source))?;
        ownership::apply(context.pod, context.path, ownership::Access::ReadWrite)?;
    }
    Ok(SetUp::default())
}

fn folder(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| io("make", path, source))
}

/// A folder in memory, mounted once. `limit` in bytes. Without the privilege to mount it stays a folder on disk, told in the log:
/// then the kubelet runs in a test or a sandbox.
pub(super) fn memory(path: &Path, limit: Option<i64>) -> Result<(), Error> {
    folder(path)?;
    if mounts_below(path).iter().any(|mount| mount == path) {
        return Ok(());
    }
    let data = match limit.filter(|limit| *limit > 0) {
        Some(limit) => format!("mode=0777,size={limit}"),
        None => "mode=0777".to_owned(),
    };
    let flags = nix::mount::MsFlags::empty();
    match nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(data.as_str())) {
        Ok(()) => Ok(()),
        Err(nix::errno::Errno::EPERM) => {
            tracing::warn!(path = %path.display(), "may not mount tmpfs; a memory volume is on disk");
            Ok(())
        }
        Err(errno) => Err(io("mount tmpfs on", path, errno.into())),
    }
}

fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { operation, path: path.to_path_buf(), source }
}
