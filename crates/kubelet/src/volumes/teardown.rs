//! Taking a pod's folder away: unmount what is mounted below it, deepest first, then delete.
//!
//! Invariant: nothing is deleted through a mount. If one cannot be unmounted, nothing is deleted at all.

use std::path::{Path, PathBuf};

use super::{Error, Places};

/// Mount points at or below `path`, the deepest last.
pub fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let Ok(text) = std::fs::read_to_string("/proc/self/mountinfo") else { return Vec::new() };
    below(&text, path)
}

fn below(mountinfo: &str, path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|mount| mount.starts_with(path))
        .collect();
    found.sort();
    found
}

/// mountinfo writes space, tab, newline and backslash as `\ooo`.
fn unescape(field: &str) -> String {
    let mut out = Vec::with_capacity(field.len());
    let bytes = field.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.filter(|_| bytes[at] == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Unmounts and deletes a pod's volumes; its logs stay until the pod is forgotten.
pub fn tear_down(places: &Places) -> Result<(), Error> {
    remove(&places.volumes())
}

/// Removes a folder and all mounts in it. No error if it is not there.
pub fn remove(folder: &Path) -> Result<(), Error> {
    let mut mounts = mounts_below(folder);
    mounts.reverse();
    for mount in mounts {
        let flags = nix::mount::MntFlags::UMOUNT_NOFOLLOW | nix::mount::MntFlags::MNT_DETACH;
        nix::mount::umount2(&mount, flags).map_err(|errno| Error::Io {
            operation: "unmount",
            path: mount.clone(),
            source: errno.into(),
        })?;
    }
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { operation: "delete", path: folder.to_path_buf(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_mounts_with_odd_names() {
        let text = "36 35 98:0 / /data/pods/u/volumes/a\\040b rw - tmpfs tmpfs rw\n37 35 98:0 / /data/pods/u2 rw - ext4 x rw\n";
        assert_eq!(below(text, Path::new("/data/pods/u")), [PathBuf::from("/data/pods/u/volumes/a b")]);
    }
}
