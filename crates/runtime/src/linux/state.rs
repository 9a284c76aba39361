//! What the runtime writes to disk: whole files or none, not synced, because nothing that they tell of survives a power
//! cut. After one, a file that cannot be read means a pod that is gone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::system;
use crate::{ContainerSpec, Error, SandboxSpec};

/// `sandbox.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SandboxFile {
    pub(super) spec: SandboxSpec,
    pub(super) created: Timestamp,
    /// Of the boot that it was made in: process ids of another mean nothing.
    pub(super) boot: String,
    /// The pod was stopped on purpose.
    #[serde(default)]
    pub(super) stopped: bool,
}

/// `spec.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ContainerFile {
    pub(super) spec: ContainerSpec,
    pub(super) created: Timestamp,
}

/// The folders and files of one pod.
#[derive(Clone, Debug)]
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn sandbox(&self) -> PathBuf {
        self.0.join("sandbox.json")
    }
    pub(super) fn shim_log(&self) -> PathBuf {
        self.0.join("shim.log")
    }
    pub(super) fn containers(&self) -> PathBuf {
        self.0.join("containers")
    }
    pub(super) fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }
}

/// This boot's name.
pub(super) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Refuses what could lead out of its folder; ids are ours and the API server's, so this is a second lock.
pub(super) fn check_id(id: &str) -> Result<(), Error> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !id.is_empty() && id.len() <= 128 && !id.starts_with('.') && id.bytes().all(fine) {
        return Ok(());
    }
    Err(Error::Container { reason: "CreateContainerError", message: format!("{id:?} is no id") })
}

/// Makes a folder that only root can enter.
pub(super) fn make_private_folder(path: &Path) -> Result<(), Error> {
    let failed = || system("make folder", &path.display().to_string());
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed())
}

pub(super) fn make_folder(path: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(system("make folder", &path.display().to_string()))
}

pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), Error> {
    let failed = || system("write", &path.display().to_string());
    let bytes = serde_json::to_vec(value).map_err(std::io::Error::from).map_err(failed())?;
    let temporary = path.with_extension("new");
    let written = fs::File::create(&temporary).and_then(|mut file| file.write_all(&bytes));
    written.and_then(|()| fs::rename(&temporary, path)).map_err(failed())
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let failed = || system("read", &path.display().to_string());
    let bytes = fs::read(path).map_err(failed())?;
    serde_json::from_slice(&bytes).map_err(std::io::Error::from).map_err(failed())
}

/// Removes a folder with all that is in it; one that is not there is no error.
pub(super) fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(system("remove", &path.display().to_string())(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_in_their_folder() {
        for (id, good) in
            [("0a-b_c.d", true), ("", false), ("..", false), ("a/b", false), (".a", false), ("a\0", false)]
        {
            assert_eq!(check_id(id).is_ok(), good, "{id:?}");
        }
    }
}
