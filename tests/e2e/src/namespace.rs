//! A place of its own on the machine: network and mount namespaces for this process and all that it starts, and a way to end
//! every one of them. Nothing of the host's network is touched, and what is left behind dies with the namespaces.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Moves this process into new network and mount namespaces with `lo` up. Call it before any thread starts.
///
/// With `name` the network namespace is also reachable as `ip netns exec <name>`; [`forget`] takes that away.
pub fn enter(name: Option<&str>) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("namespaces, cgroups and overlay mounts need root: run this as root");
    }
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    if let Some(name) = name {
        publish(name)?;
    }
    unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("cannot make the mounts private")?;
    loopback_up().context("cannot bring lo up")?;
    nix::sys::prctl::set_child_subreaper(true).context("cannot become the reaper of what is orphaned")?;
    Ok(())
}

fn publish(name: &str) -> Result<()> {
    fs::create_dir_all("/run/netns")?;
    let path = Path::new("/run/netns").join(name);
    fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    mount(Some("/proc/self/ns/net"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot mount {}", path.display()))
}

/// Takes the name of a namespace away again.
pub fn forget(name: &str) {
    let path = Path::new("/run/netns").join(name);
    let _not_mounted = nix::mount::umount2(&path, nix::mount::MntFlags::MNT_DETACH);
    let _not_there = fs::remove_file(&path);
}

/// `ip link set lo up`, in the namespace of the calling thread.
pub fn loopback_up() -> Result<()> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    use std::os::fd::AsRawFd;
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain data for which zeroes are valid; the name fits, with its final zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *slot = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the descriptor is open and the pointer is to an ifreq that lives through the call (netdevice(7)).
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) };
    nix::errno::Errno::result(done)?;
    Ok(())
}

/// All processes below this one, children first found first.
pub fn descendants() -> Vec<Pid> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The second field, in parentheses, may hold anything; what follows the last one does not.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<i32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let mut found = vec![std::process::id() as i32];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.into_iter().skip(1).map(Pid::from_raw).collect()
}

/// Kills everything that descends from this process, and waits until it is gone.
pub fn end_all() {
    for _ in 0..200 {
        let left = descendants();
        if left.is_empty() {
            return;
        }
        for pid in left {
            let _gone = kill(pid, Signal::SIGKILL);
        }
        reap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Takes the exit of orphans that came to this process.
fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
