//! Bytes and inodes on disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Disk space and inodes of all below `folder`, as `du` counts them.
pub(super) fn used(folder: &Path) -> (u64, u64) {
    let (mut bytes, mut inodes, mut folders) = (0, 0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            // A file with several names is counted a part by each.
            bytes += meta.blocks() * 512 / meta.nlink().max(1).min(if meta.is_dir() { 1 } else { u64::MAX });
            inodes += 1;
            if meta.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    (bytes, inodes)
}

/// Bytes of a log and of what was rotated away from it.
pub(super) fn log_used(path: &Path) -> u64 {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return 0 };
    let name = name.to_string_lossy();
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&*name))
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.len())
        .sum()
}
