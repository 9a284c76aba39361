//! Writing a volume from the API so that a reader sees all of the old files or all of the new ones, never a mix.
//!
//! Upstream's layout, on which programs rely: files are in `..<time>/`, `..data` is a link to that folder, replaced by
//! rename; what a user sees are links through `..data`.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Error, File, Payload};

const DATA: &str = "..data";

/// See the module. Writes nothing if the volume holds the payload already.
pub(super) fn write(path: &Path, payload: &Payload, now: Timestamp) -> Result<(), Error> {
    let io = |operation, at: &Path| {
        let path = at.to_path_buf();
        move |source| Error::Io { operation, path, source }
    };
    std::fs::create_dir_all(path).map_err(io("make", path))?;
    let old = std::fs::read_link(path.join(DATA)).ok();
    if let Some(old) = &old
        && holds(&path.join(old), payload)
    {
        return links(path, payload);
    }
    let folder = fresh_folder(path, now).map_err(io("make a folder in", path))?;
    for (name, file) in payload {
        let at = folder.join(name);
        let parent = at.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).map_err(io("make", parent))?;
        std::fs::write(&at, &file.bytes).map_err(io("write", &at))?;
        std::fs::set_permissions(&at, std::fs::Permissions::from_mode(file.mode))
            .map_err(io("set the mode of", &at))?;
    }
    let target = folder.file_name().map(PathBuf::from).unwrap_or_default();
    let temporary = path.join("..data_tmp");
    let _absent = std::fs::remove_file(&temporary);
    symlink(&target, &temporary).map_err(io("link", &temporary))?;
    std::fs::rename(&temporary, path.join(DATA)).map_err(io("replace ..data in", path))?;
    links(path, payload)?;
    if let Some(old) = old {
        let old = path.join(old);
        std::fs::remove_dir_all(&old).map_err(io("remove", &old))?;
    }
    Ok(())
}

/// `..2026_11_21_12_00_00.123456789`, as upstream names them.
fn fresh_folder(path: &Path, now: Timestamp) -> std::io::Result<PathBuf> {
    let stamp = now.strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    loop {
        let folder = path.join(format!("{stamp}.{:09}", rand::random_range(0..1_000_000_000u32)));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
            other => other?,
        }
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755))?;
        return Ok(folder);
    }
}

fn holds(folder: &Path, payload: &Payload) -> bool {
    let mut found = BTreeSet::new();
    if list(folder, folder, &mut found).is_err() || found.len() != payload.len() {
        return false;
    }
    payload.iter().all(|(name, File { bytes, .. })| {
        found.contains(Path::new(name)) && std::fs::read(folder.join(name)).is_ok_and(|old| old == *bytes)
    })
}

fn list(root: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(root, &path, found)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.insert(relative.to_path_buf());
        }
    }
    Ok(())
}

/// Makes the links that users see and removes those whose file is gone.
fn links(path: &Path, payload: &Payload) -> Result<(), Error> {
    let io = |operation| move |source| Error::Io { operation, path: path.to_path_buf(), source };
    let wanted: BTreeSet<&str> = payload.keys().filter_map(|name| name.split('/').next()).collect();
    for name in &wanted {
        let link = path.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new(DATA).join(name), &link).map_err(io("link into"))?;
        }
    }
    for entry in std::fs::read_dir(path).map_err(io("list"))? {
        let entry = entry.map_err(io("list"))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_link && !name.starts_with("..") && !wanted.contains(name) {
            std::fs::remove_file(entry.path()).map_err(io("remove a link of"))?;
        }
    }
    Ok(())
}
