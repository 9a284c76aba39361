//! A container's file system, made in its own mount namespace: nothing of it shows on the host, and all of it goes away
//! with the last process, whoever crashed.
//!
//! The kubelet's mounts are taken as detached trees before the root is changed, and put in place after it: a symbolic
//! link in the image then resolves inside the container and cannot lead out of it.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::{chdir, pivot_root};
use shim::plan::{Container, Propagation};

use crate::error::{At, Error};
use crate::sys;

const NONE: Option<&str> = None;
const GUARDED: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC).union(MsFlags::MS_NODEV);
/// Bytes for the names of layers in the options of a mount, which have a page together with two more paths.
const NAMES: usize = 3000;
/// Made in every container.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

struct Prepared {
    tree: OwnedFd,
    target: PathBuf,
    is_dir: bool,
}

struct Device {
    path: PathBuf,
    kind: SFlag,
    permissions: u32,
    number: u64,
}

/// Moves this process into a new mount namespace whose root is the container's.
pub(crate) fn enter(container: &Container) -> Result<(), Error> {
    let devices = devices(container)?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP).at("unshare the mount namespace")?;
    let prepared = prepare(container)?;
    // Nothing mounted from here on may reach the host; what the host mounts still reaches `HostToContainer` mounts.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE).at("make the root a slave")?;
    let root = container.dir.join("root");
    mount_root(container, &root)?;
    chdir(&root).at_path("chdir to", &root)?;
    pivot_root(".", ".").at("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).at("detach the old root")?;
    chdir("/").at("chdir to the new root")?;
    mount_system(container)?;
    make_devices(&devices)?;
    for mount in &prepared {
        put(mount)?;
    }
    mount_shared_memory(container)?;
    for path in &container.read_only {
        remount_read_only(path)?;
    }
    for path in &container.masked {
        mask(path)?;
    }
    if container.read_only_root {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(NONE, "/", NONE, flags, NONE).at("make the root read-only")?;
    }
    Ok(())
}

/// Overlays the layers at `root`, or shows the bare upper folder when an image has no layer.
fn mount_root(container: &Container, root: &Path) -> Result<(), Error> {
    let (upper, work) = (container.dir.join("upper"), container.dir.join("work"));
    let Some(common) = common_parent(&container.layers) else {
        return mount(Some(&upper), root, NONE, MsFlags::MS_BIND, NONE).at_path("mount", root);
    };
    // The options of a mount have one page: names are relative to a common folder, and where that is not enough, to a
    // folder of links with names of a few bytes.
    chdir(&common).at_path("chdir to", &common)?;
    let relative =
        |layer: &PathBuf| layer.strip_prefix(&common).unwrap_or(layer).to_string_lossy().into_owned();
    let mut lower: Vec<_> = container.layers.iter().map(relative).collect();
    if lower.iter().map(|name| name.len() + 1).sum::<usize>() > NAMES {
        let links = container.dir.join("links");
        make_folder(&links)?;
        chdir(&links).at_path("chdir to", &links)?;
        for (index, layer) in container.layers.iter().enumerate() {
            lower[index] = format!("{index:x}");
            symlink(layer, &lower[index]).at_path("link", layer)?;
        }
    }
    lower.reverse(); // overlayfs wants the uppermost first
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
    // A container's root is never mounted a second time, so it need not be synced when it goes away (Linux 5.10).
    let volatile = format!("{options},volatile");
    match mount(Some("overlay"), root, Some("overlay"), MsFlags::empty(), Some(volatile.as_str())) {
        Err(Errno::EINVAL) => {
            mount(Some("overlay"), root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        }
        other => other,
    }
    .at_path("mount the image at", root)
}

/// The folder that holds all layers; `None` without layers.
fn common_parent(layers: &[PathBuf]) -> Option<PathBuf> {
    let mut common = layers.first()?.parent()?.to_owned();
    while !layers.iter().all(|layer| layer.starts_with(&common)) {
        common.pop();
    }
    Some(common)
}

fn prepare(container: &Container) -> Result<Vec<Prepared>, Error> {
    let mut prepared = Vec::with_capacity(container.mounts.len());
    for wanted in &container.mounts {
        let meta = fs::metadata(&wanted.source).at_path("stat", &wanted.source)?;
        let tree = sys::open_tree(&wanted.source).at_path("open_tree", &wanted.source)?;
        let propagation = match wanted.propagation {
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Slave => libc::MS_SLAVE,
            Propagation::Shared => libc::MS_SHARED,
        };
        let flags = if wanted.read_only { sys::MOUNT_ATTR_RDONLY } else { 0 };
        sys::mount_setattr(tree.as_fd(), flags, propagation).at_path("mount_setattr", &wanted.source)?;
        prepared.push(Prepared { tree, target: Path::new("/").join(&wanted.target), is_dir: meta.is_dir() });
    }
    Ok(prepared)
}

fn put(prepared: &Prepared) -> Result<(), Error> {
    let target = &prepared.target;
    match fs::metadata(target) {
        Ok(meta) if meta.is_dir() != prepared.is_dir => {
            let text = "Are you trying to mount a directory onto a file (or vice-versa)? \
                        Check if the specified host path exists and is the expected type";
            return Err(Error::Author(format!("error mounting to rootfs at {}: {text}", target.display())));
        }
        Ok(_) => {}
        Err(_) if prepared.is_dir => make_folder(target)?,
        Err(_) => {
            if let Some(parent) = target.parent() {
                make_folder(parent)?;
            }
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(target)
                .at_path("make mount point", target)?;
        }
    }
    sys::move_mount(prepared.tree.as_fd(), target).at_path("mount at", target)
}

/// Like `mkdir -p` with mode 0755, under the mask of 0 that a child has while it prepares.
fn make_folder(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o755).create(path).at_path("make folder", path)
}

fn mount_system(container: &Container) -> Result<(), Error> {
    let fresh = |target: &str, kind: &str, flags: MsFlags, options: &str| {
        make_folder(Path::new(target))?;
        mount(Some(kind), target, Some(kind), flags, Some(options)).at_path("mount", Path::new(target))
    };
    fresh("/proc", "proc", GUARDED, "")?;
    fresh("/dev", "tmpfs", MsFlags::MS_NOSUID | MsFlags::MS_STRICTATIME, "mode=755,size=65536k")?;
    let pts = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    fresh("/dev/pts", "devpts", pts, "newinstance,ptmxmode=0666,mode=0620,gid=5")?;
    // The namespace may lack POSIX queues (CONFIG_POSIX_MQUEUE); nothing else depends on them.
    let _ = fresh("/dev/mqueue", "mqueue", GUARDED, "");
    let writable = if container.privileged { MsFlags::empty() } else { MsFlags::MS_RDONLY };
    fresh("/sys", "sysfs", GUARDED | writable, "")?;
    if container.cgroup_v1.is_empty() {
        fresh_cgroup("/sys/fs/cgroup", "cgroup2", NONE, writable)?;
    } else {
        mount(Some("tmpfs"), "/sys/fs/cgroup", Some("tmpfs"), GUARDED, Some("mode=755,size=64k"))
            .at("mount cgroups")?;
        for controllers in &container.cgroup_v1 {
            let target = format!("/sys/fs/cgroup/{controllers}");
            make_folder(Path::new(&target))?;
            fresh_cgroup(&target, "cgroup", Some(controllers), writable)?;
        }
        let seal = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | GUARDED | writable;
        mount(NONE, "/sys/fs/cgroup", NONE, seal, NONE).at("remount cgroups")?;
    }
    for (link, target) in [
        ("/dev/ptmx", "pts/ptmx"),
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/core", "/proc/kcore"),
    ] {
        symlink(target, link).at_path("make link", Path::new(link))?;
    }
    Ok(())
}

fn fresh_cgroup(target: &str, kind: &str, options: Option<&str>, writable: MsFlags) -> Result<(), Error> {
    match mount(Some(kind), target, Some(kind), GUARDED | MsFlags::MS_RELATIME | writable, options) {
        // A hierarchy that another mount holds with other options, or a kernel without it: a container can do without.
        Err(Errno::EBUSY | Errno::EINVAL | Errno::ENODEV | Errno::ENOENT | Errno::EPERM) => Ok(()),
        other => other.at_path("mount", Path::new(target)),
    }
}

/// `/dev/shm` of the container's own, unless the kubelet gave the pod's.
fn mount_shared_memory(container: &Container) -> Result<(), Error> {
    if container.mounts.iter().any(|mount| mount.target == Path::new("/dev/shm")) {
        return Ok(());
    }
    make_folder(Path::new("/dev/shm"))?;
    mount(Some("shm"), "/dev/shm", Some("tmpfs"), GUARDED, Some("mode=1777,size=65536k")).at("mount /dev/shm")
}

fn devices(container: &Container) -> Result<Vec<Device>, Error> {
    let mut found = Vec::new();
    for name in DEVICES {
        collect(&Path::new("/dev").join(name), &mut found, 0)?;
    }
    for path in &container.devices {
        collect(path, &mut found, 0)?;
    }
    if container.privileged {
        let mut entries = Vec::new();
        collect(Path::new("/dev"), &mut entries, 0)?;
        found.extend(entries);
    }
    Ok(found)
}

/// Adds the device at `path`, or all devices below a folder.
fn collect(path: &Path, found: &mut Vec<Device>, depth: usize) -> Result<(), Error> {
    let meta = if depth == 0 { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let meta = match meta {
        Ok(meta) => meta,
        Err(_) if depth > 0 => return Ok(()),
        Err(error) => return Err(error).at_path("find device", path),
    };
    let kind = meta.file_type();
    if kind.is_dir() {
        // Each is a file system that a container has of its own.
        let own = ["/dev/pts", "/dev/shm", "/dev/fd", "/dev/mqueue", "/dev/.lxc", "/dev/.udev"];
        if depth < 4 && !own.iter().any(|skip| path == Path::new(skip)) {
            for entry in fs::read_dir(path).at_path("list", path)?.flatten() {
                collect(&entry.path(), found, depth + 1)?;
            }
        }
    } else if kind.is_char_device() || kind.is_block_device() {
        let console = path == Path::new("/dev/console") || path == Path::new("/dev/ptmx");
        if !console && !found.iter().any(|device| device.path == path) {
            let kind = if kind.is_block_device() { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
            found.push(Device {
                path: path.to_owned(),
                kind,
                permissions: meta.mode() & 0o777,
                number: meta.rdev(),
            });
        }
    } else if depth == 0 {
        return Err(Error::Author(format!("{} is not a device", path.display())));
    }
    Ok(())
}

fn make_devices(devices: &[Device]) -> Result<(), Error> {
    for device in devices {
        if let Some(parent) = device.path.parent() {
            make_folder(parent)?;
        }
        let mode = Mode::from_bits_truncate(device.permissions);
        match mknod(&device.path, device.kind, mode, device.number) {
            Ok(()) | Err(Errno::EEXIST) => {}
            other => other.at_path("make device", &device.path)?,
        }
    }
    // Open to all by name, whatever the host did with its own.
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).at_path("chmod", &path)?;
    }
    Ok(())
}

fn remount_read_only(path: &Path) -> Result<(), Error> {
    match sys::open_tree(path) {
        Ok(tree) => {
            sys::mount_setattr(tree.as_fd(), sys::MOUNT_ATTR_RDONLY, 0).at_path("make read-only", path)?;
            sys::move_mount(tree.as_fd(), path).at_path("mount read-only at", path)
        }
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno).at_path("open_tree", path),
    }
}

fn mask(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(meta) if meta.is_dir() => {
            mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::MS_RDONLY, Some("size=0k"))
                .at_path("mask", path)
        }
        Ok(_) => mount(Some("/dev/null"), path, NONE, MsFlags::MS_BIND, NONE).at_path("mask", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_share_their_parent() {
        let check = |layers: &[&str], expected: Option<&str>| {
            let layers: Vec<_> = layers.iter().map(PathBuf::from).collect();
            assert_eq!(common_parent(&layers), expected.map(PathBuf::from));
        };
        check(&[], None);
        check(&["/a/l/1"], Some("/a/l"));
        check(&["/a/l/1", "/a/l/2"], Some("/a/l"));
        check(&["/a/l/1", "/b/2"], Some("/"));
    }
}
