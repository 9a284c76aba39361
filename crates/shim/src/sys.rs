//! System calls that neither libc nor nix wrap.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::Result;
use nix::errno::Errno;

const AT_RECURSIVE: libc::c_uint = 0x8000;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const MOVE_MOUNT_T_SYMLINKS: libc::c_uint = 0x10;
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;

fn path_of(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// A detached copy of the mount at `path` with those below it; it still propagates to and from its peers.
pub(crate) fn open_tree(path: &Path) -> Result<OwnedFd> {
    let path = path_of(path)?;
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
    // SAFETY: `path` is a C string that outlives the call.
    let fd =
        Errno::result(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Puts a detached mount at `target`, whose last part may be a symbolic link.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, target: &Path) -> Result<()> {
    let target = path_of(target)?;
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
    // SAFETY: both strings outlive the call, the descriptor is borrowed.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            flags,
        )
    };
    Errno::result(done).map(drop)
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Sets attributes of a mount, propagation of it and of all below it.
pub(crate) fn mount_setattr(tree: BorrowedFd<'_>, set: u64, propagation: u64) -> Result<()> {
    let call = |attr: &MountAttr, flags: libc::c_uint| {
        // SAFETY: the kernel reads size_of::<MountAttr>() bytes of a structure that has its layout.
        Errno::result(unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                tree.as_raw_fd(),
                c"".as_ptr(),
                flags,
                attr as *const MountAttr,
                size_of::<MountAttr>(),
            )
        })
    };
    let empty = libc::AT_EMPTY_PATH as libc::c_uint;
    if propagation != 0 {
        call(&MountAttr { set: 0, clear: 0, propagation, userns: 0 }, empty | AT_RECURSIVE)?;
    }
    if set != 0 {
        call(&MountAttr { set, clear: 0, propagation: 0, userns: 0 }, empty)?;
    }
    Ok(())
}

/// Marks all descriptors from `first` on to be closed by `execve`.
pub(crate) fn cloexec_from(first: u32) {
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: no memory is involved; before Linux 5.11 the call fails and the descriptors have the flag by themselves.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 capabilities.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// The capabilities that this process has and may use.
pub(crate) fn permitted() -> Result<u64> {
    let header = CapHeader { version: CAPABILITY_VERSION, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: the kernel writes two structures of this layout for this version.
    Errno::result(unsafe { libc::syscall(libc::SYS_capget, &header, data.as_mut_ptr()) })?;
    Ok(u64::from(data[0].permitted) | u64::from(data[1].permitted) << 32)
}

/// Makes `set` the permitted and effective capabilities, and none inheritable.
pub(crate) fn set_capabilities(set: u64) -> Result<()> {
    let header = CapHeader { version: CAPABILITY_VERSION, pid: 0 };
    let half = |word: u32| CapData { effective: word, permitted: word, inheritable: 0 };
    let data = [half(set as u32), half((set >> 32) as u32)];
    // SAFETY: the kernel reads two structures of this layout for this version.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) }).map(drop)
}

/// Takes a capability out of the bounding set; `EINVAL` for one that this kernel does not know.
pub(crate) fn drop_bounding(capability: u32) -> Result<()> {
    // SAFETY: prctl with numbers only.
    Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) })
        .map(drop)
}

/// Installs a seccomp program.
pub(crate) fn seccomp(program: &[libc::sock_filter]) -> Result<()> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies `len` instructions and does not write them.
    Errno::result(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) })
        .map(drop)
}

/// Makes the terminal behind `master` usable and opens its other end.
pub(crate) fn open_peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let unlock: libc::c_int = 0;
    // SAFETY: the kernel reads one int.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK as _, &unlock) })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes flags by value and makes a descriptor.
    let peer = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER as _, flags) })?;
    // SAFETY: just made by the kernel.
    Ok(unsafe { OwnedFd::from_raw_fd(peer) })
}

/// Makes `terminal` the controlling terminal of this session.
pub(crate) fn take_terminal(terminal: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the argument is a number.
    Errno::result(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY as _, 0) }).map(drop)
}

pub(crate) fn resize(master: BorrowedFd<'_>, columns: u16, rows: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads one winsize.
    Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ as _, &size) }).map(drop)
}

/// Brings up the loopback of this network namespace.
pub(crate) fn loopback_up() -> Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the kernel reads one ifreq.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) }).map(drop)
}

/// Closes all descriptors from `first` on.
pub(crate) fn close_from(first: u32) {
    // SAFETY: only called by a child that owns no descriptor any more.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// What `fork` and `clone3` give.
pub(crate) enum Forked {
    Parent(nix::unistd::Pid),
    /// Whether the child is in the cgroups that it was to be born into.
    Child {
        joined: bool,
    },
}

/// The arguments of `clone3`, as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks; on cgroups v2 the child is born where it belongs, which costs no grace period as moving there would.
///
/// # Safety
/// The caller has one thread.
pub(crate) unsafe fn fork_into(cgroups: &[std::path::PathBuf]) -> Result<Forked> {
    if let [cgroup] = cgroups
        && !cgroup.join("tasks").exists()
        && let Ok(folder) = std::fs::File::open(cgroup)
    {
        let arguments = CloneArguments {
            flags: CLONE_INTO_CGROUP,
            exit_signal: libc::SIGCHLD as u64,
            cgroup: folder.as_raw_fd() as u64,
            ..CloneArguments::default()
        };
        // SAFETY: without CLONE_VM and a stack this is a fork; there is one thread, so nothing holds a lock.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &arguments, size_of::<CloneArguments>()) };
        match pid {
            0 => return Ok(Forked::Child { joined: true }),
            1.. => return Ok(Forked::Parent(nix::unistd::Pid::from_raw(pid as i32))),
            _ => {} // an older kernel, or a seccomp filter around us: the plain way then
        }
    }
    // SAFETY: the caller's promise.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { child } => Ok(Forked::Parent(child)),
        nix::unistd::ForkResult::Child => Ok(Forked::Child { joined: false }),
    }
}

/// Moves this process, which has one thread, into a cgroup.
///
/// On v1 through `tasks`: the kernel moves the calling thread without the lock over all thread groups, taking which waits
/// for an RCU grace period of 10 to 30 ms on an idle machine (`cgroup_procs_write_start`). On v2 it is `cgroup.procs`.
pub(crate) fn join_cgroup(folder: &Path) -> std::io::Result<()> {
    let write = |name: &str| {
        use std::io::Write;
        std::fs::File::options().write(true).open(folder.join(name))?.write_all(b"0")
    };
    match write("tasks") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => write("cgroup.procs"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_born_into_a_v2_cgroup() {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let point =
            mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let Some(point) = point.filter(|_| nix::unistd::geteuid().is_root()) else {
            eprintln!("SKIPPED children_are_born_into_a_v2_cgroup: it needs root and a cgroup2 mount");
            return;
        };
        let folder = Path::new(point).join(format!("skiff-test-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        // SAFETY: the child does nothing but leave.
        let child = match unsafe { fork_into(std::slice::from_ref(&folder)) } {
            // SAFETY: as above.
            Ok(Forked::Child { joined }) => unsafe { libc::_exit(if joined { 7 } else { 8 }) },
            Ok(Forked::Parent(child)) => child,
            Err(errno) => panic!("{errno}"),
        };
        let status = nix::sys::wait::waitpid(child, None);
        let _ = std::fs::remove_dir(&folder);
        assert_eq!(status, Ok(nix::sys::wait::WaitStatus::Exited(child, 7)));
    }
}
