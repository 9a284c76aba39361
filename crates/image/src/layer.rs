//! Unpacking one layer into a folder that overlayfs can use as a lower layer (OCI Image Specification, "Image Layer
//! Filesystem Changeset").
//!
//! Invariant: nothing outside the folder is touched, whatever the archive says. Every parent is opened with openat2 and
//! RESOLVE_IN_ROOT, and the last name is made below that descriptor without following links.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fchmodat, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};

use crate::Error;
use crate::images::Limits;

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// What an unpacked layer is.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// `sha256:…` of the uncompressed archive.
    pub diff_id: String,
    /// Bytes of file content.
    pub size: u64,
}

/// Counts and hashes what goes through it, up to a limit.
struct Measured<R> {
    from: R,
    hash: Sha256,
    left: u64,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(to)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| std::io::Error::other("it unpacks to more than the limit"))?;
        self.hash.update(&to[..count]);
        Ok(count)
    }
}

/// Unpacks a stream (compressed or not) into a new folder and flushes it to disk. Blocks.
pub(crate) fn unpack(from: impl Read, folder: &Path, limits: &Limits) -> Result<Unpacked, Error> {
    let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let fail = |detail: String| Error::Layer { layer: name.clone(), detail };
    std::fs::create_dir_all(folder).map_err(|error| fail(error.to_string()))?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| fail(error.to_string()))?;
    let plain = crate::codec::open(from).map_err(|error| fail(error.to_string()))?;
    let mut measured = Measured { from: plain, hash: Sha256::new(), left: limits.layer };
    let size = entries(&mut measured, folder, limits).map_err(|error| fail(format!("{error:#}")))?;
    // What follows the archive's end belongs to the digest.
    std::io::copy(&mut measured, &mut std::io::sink()).map_err(|error| fail(error.to_string()))?;
    let flush = || -> std::io::Result<()> {
        let file = File::open(folder)?;
        // SAFETY: the descriptor is open; syncfs(2) flushes its file system.
        nix::errno::Errno::result(unsafe { libc::syncfs(file.as_raw_fd()) })?;
        Ok(())
    };
    flush().map_err(|error| fail(error.to_string()))?;
    Ok(Unpacked { diff_id: format!("sha256:{}", hex::encode(measured.hash.finalize())), size })
}

fn entries(from: &mut impl Read, folder: &Path, limits: &Limits) -> std::io::Result<u64> {
    let root = open(folder, OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut archive = Archive::new(from);
    let (mut size, mut count) = (0u64, 0u64);
    // Times of folders change as they fill; they are set at the end.
    let mut folders: Vec<(PathBuf, i64)> = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        count += 1;
        if count > limits.entries {
            return Err(std::io::Error::other(format!("it has more than {} entries", limits.entries)));
        }
        let path = entry.path()?.into_owned();
        let place = Place::of(&root, &path).map_err(|error| with(&path, error))?;
        let time = entry.header().mtime().unwrap_or(0) as i64;
        if entry.header().entry_type().is_dir() {
            folders.push((path.clone(), time));
        }
        size += write(&root, &place, &mut entry, time).map_err(|error| with(&path, error))?;
    }
    for (path, time) in folders.into_iter().rev() {
        // A later entry may have put something else in its place.
        if let Ok(Some((parent, name))) = Place::of(&root, &path) {
            let _gone = times(parent.as_fd(), &name, time);
        }
    }
    Ok(size)
}

fn with(path: &Path, error: std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

struct Place;

impl Place {
    /// The parent's descriptor and the last name; `None` for the root itself. Missing parents are made.
    fn of(root: &OwnedFd, path: &Path) -> std::io::Result<Option<(OwnedFd, CString)>> {
        let mut clean = PathBuf::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => clean.push(name),
                Component::ParentDir => return Err(std::io::Error::other("a path with .. is refused")),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        let Some(name) = clean.file_name() else { return Ok(None) };
        let name = text(name)?;
        Ok(Some((parent(root, clean.parent().unwrap_or(Path::new("")))?, name)))
    }
}

fn text(name: &OsStr) -> std::io::Result<CString> {
    CString::new(name.as_bytes()).map_err(|_| std::io::Error::other("a name with a zero byte is refused"))
}

/// Opens a folder inside the root, following links as if the root were `/`; makes what is missing.
fn parent(root: &OwnedFd, path: &Path) -> std::io::Result<OwnedFd> {
    let inside = |path: &Path| {
        let how = OpenHow::new()
            .flags(OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        openat2(root, path, how)
    };
    if path.as_os_str().is_empty() {
        return Ok(inside(Path::new("."))?);
    }
    match inside(path) {
        Ok(found) => Ok(found),
        Err(nix::errno::Errno::ENOENT) => {
            let above = parent(root, path.parent().unwrap_or(Path::new("")))?;
            let name = text(path.file_name().unwrap_or_default())?;
            match mkdirat(&above, name.as_c_str(), Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(nix::errno::Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(inside(path)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes one entry; gives the bytes of its content.
fn write<R: Read>(
    root: &OwnedFd,
    place: &Option<(OwnedFd, CString)>,
    entry: &mut tar::Entry<'_, R>,
    time: i64,
) -> std::io::Result<u64> {
    let header = entry.header();
    let (uid, gid) = (header.uid()? as u32, header.gid()? as u32);
    let mode = Mode::from_bits_truncate(header.mode()? & 0o7777);
    let Some((parent, name)) = place else {
        // The root's own entry: its mode and owner.
        let here = openat(root, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let here = File::from(here);
        fchown(&here, Some(uid), Some(gid))?;
        here.set_permissions(std::fs::Permissions::from_mode(mode.bits()))?;
        return Ok(0);
    };
    let parent = parent.as_fd();
    if let Some(hidden) = name.to_str().ok().and_then(|name| name.strip_prefix(WHITEOUT)) {
        if name.to_bytes() == OPAQUE.as_bytes() {
            let folder =
                openat(parent, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
            xattr(folder.as_fd(), "trusted.overlay.opaque", b"y")?;
            return Ok(0);
        }
        if hidden.is_empty() || hidden.starts_with(WHITEOUT) {
            return Ok(0); // AUFS' own bookkeeping
        }
        // These would be removed with all that is in them, and the second is above the layer.
        if matches!(hidden, "." | "..") {
            return Err(std::io::Error::other("a whiteout of . or .. is refused"));
        }
        let hidden = text(OsStr::new(hidden))?;
        clear(parent, &hidden)?;
        // Overlayfs' whiteout: a character device 0/0.
        mknodat(parent, hidden.as_c_str(), SFlag::S_IFCHR, Mode::empty(), 0)?;
        return Ok(0);
    }
    let kind = header.entry_type();
    if kind == EntryType::XGlobalHeader {
        return Ok(0);
    }
    let is_folder = kind.is_dir() && is_directory(parent, name);
    if !is_folder {
        clear(parent, name)?;
    }
    let mut size = 0;
    match kind {
        EntryType::Directory => {
            if !is_folder {
                mkdirat(parent, name.as_c_str(), Mode::from_bits_truncate(0o755))?;
            }
        }
        EntryType::Symlink => {
            let target =
                entry.link_name_bytes().ok_or_else(|| std::io::Error::other("a link without a target"))?;
            symlinkat(OsStr::from_bytes(&target), parent, name.as_c_str())?;
        }
        EntryType::Link => {
            let target =
                entry.link_name()?.ok_or_else(|| std::io::Error::other("a link without a target"))?;
            let (folder, target) =
                Place::of(root, &target)?.ok_or_else(|| std::io::Error::other("a link to the root"))?;
            linkat(&folder, target.as_c_str(), parent, name.as_c_str(), LinkatFlags::empty())?;
            return Ok(0);
        }
        EntryType::Char | EntryType::Block => {
            let (major, minor) = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
            let format = if kind == EntryType::Char { SFlag::S_IFCHR } else { SFlag::S_IFBLK };
            mknodat(
                parent,
                name.as_c_str(),
                format,
                mode,
                nix::sys::stat::makedev(major.into(), minor.into()),
            )?;
        }
        EntryType::Fifo => mknodat(parent, name.as_c_str(), SFlag::S_IFIFO, mode, 0)?,
        _ => {
            let flags =
                OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let mut file =
                File::from(openat(parent, name.as_c_str(), flags, Mode::from_bits_truncate(0o600))?);
            size = std::io::copy(entry, &mut file)?;
            file.flush()?;
        }
    }
    fchownat(
        parent,
        name.as_c_str(),
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
        AtFlags::AT_SYMLINK_NOFOLLOW,
    )?;
    if kind != EntryType::Symlink {
        // After the owner: chown(2) clears the set-id bits.
        fchmodat(parent, name.as_c_str(), mode, nix::sys::stat::FchmodatFlags::FollowSymlink)?;
    }
    attributes(parent, name, kind, entry)?;
    if !kind.is_dir() {
        times(parent, name, time)?;
    }
    Ok(size)
}

/// Extended attributes of the archive's PAX headers: file capabilities above all.
fn attributes<R: Read>(
    parent: BorrowedFd<'_>,
    name: &CString,
    kind: EntryType,
    entry: &mut tar::Entry<'_, R>,
) -> std::io::Result<()> {
    if !(kind.is_file() || kind.is_dir()) {
        return Ok(());
    }
    let Ok(Some(extensions)) = entry.pax_extensions() else { return Ok(()) };
    let mut wanted = Vec::new();
    for extension in extensions.flatten() {
        if let Some(key) = extension.key().ok().and_then(|key| key.strip_prefix("SCHILY.xattr.")) {
            // Overlayfs' own attributes would change what the mount shows.
            if !key.starts_with("trusted.overlay.") {
                wanted.push((key.to_owned(), extension.value_bytes().to_vec()));
            }
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let file = openat(
        parent,
        name.as_c_str(),
        OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    for (key, value) in wanted {
        match xattr(file.as_fd(), &key, &value) {
            // A file system without them: the program then lacks its capability, which it tells itself.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            done => done?,
        }
    }
    Ok(())
}

fn xattr(file: BorrowedFd<'_>, key: &str, value: &[u8]) -> std::io::Result<()> {
    let key = text(OsStr::new(key))?;
    // SAFETY: the descriptor is open, key ends in zero, and value points to its length of bytes (fsetxattr(2)).
    let done =
        unsafe { libc::fsetxattr(file.as_raw_fd(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    nix::errno::Errno::result(done)?;
    Ok(())
}

fn is_directory(parent: BorrowedFd<'_>, name: &CString) -> bool {
    nix::sys::stat::fstatat(parent, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Makes room for an entry: what an earlier entry of the same archive put there goes.
fn clear(parent: BorrowedFd<'_>, name: &CString) -> std::io::Result<()> {
    match unlinkat(parent, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(nix::errno::Errno::ENOENT) => Ok(()),
        Err(nix::errno::Errno::EISDIR) => {
            let path = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()))
                .join(OsStr::from_bytes(name.to_bytes()));
            std::fs::remove_dir_all(path)
        }
        Err(error) => Err(error.into()),
    }
}

fn times(parent: BorrowedFd<'_>, name: &CString, seconds: i64) -> std::io::Result<()> {
    let time = TimeSpec::new(seconds, 0);
    utimensat(parent, name.as_c_str(), &time, &time, UtimensatFlags::NoFollowSymlink)?;
    Ok(())
}

/// Reads a part of a file as a stream.
pub(crate) struct Part<'a> {
    pub file: &'a File,
    pub at: u64,
    pub end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let most = to.len().min((self.end - self.at) as usize);
        let count = self.file.read_at(&mut to[..most], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
#[path = "layer_tests.rs"]
mod tests;
