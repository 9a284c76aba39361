//! Network namespaces that are held by a bind mount on a file, so that they outlive the daemon.
//!
//! Invariant: the calling thread is back in its own namespace when a function returns. They are called on `net`'s own
//! thread only: a worker of the async runtime must never change its namespace, since any task may run there next.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// `NSFS_MAGIC` of `linux/magic.h`.
const NSFS: i64 = 0x6e73_6673;

#[derive(Debug, thiserror::Error)]
#[error("{operation} {}", path.display())]
pub struct Error {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Wraps what went wrong with `operation` on `path`.
fn failed<E: Into<io::Error>>(operation: &'static str, path: &Path) -> impl FnOnce(E) -> Error {
    move |source| Error { operation, path: path.to_owned(), source: source.into() }
}

const OWN: &str = "/proc/thread-self/ns/net";

/// Makes a namespace, runs `inside` in it, and binds it to `path`. A file without a namespace behind it is reused.
pub(crate) fn create<T>(path: &Path, inside: impl FnOnce() -> T) -> Result<T, Error> {
    File::create(path).map_err(failed("create", path))?;
    let home = File::open(OWN).map_err(failed("open", Path::new(OWN)))?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(failed("make a network namespace for", path))?;
    let bound = mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    let result = inside();
    go(&home);
    bound.map_err(failed("bind a network namespace to", path))?;
    Ok(result)
}

/// Runs `inside` in the namespace that `path` holds.
pub(crate) fn enter<T>(path: &Path, inside: impl FnOnce() -> T) -> Result<T, Error> {
    let home = File::open(OWN).map_err(failed("open", Path::new(OWN)))?;
    let there = File::open(path).map_err(failed("open", path))?;
    setns(there.as_fd(), CloneFlags::CLONE_NEWNET).map_err(failed("enter the network namespace", path))?;
    let result = inside();
    go(&home);
    Ok(result)
}

fn go(home: &File) {
    // A thread that is lost in a foreign namespace must not go on: its next change would hit the wrong one.
    setns(home.as_fd(), CloneFlags::CLONE_NEWNET)
        .expect("because this thread was there before, with the same rights");
}

/// Whether `path` holds a namespace. After a reboot only an empty file is left.
#[allow(clippy::unnecessary_cast)] // The type differs between C libraries and processors.
pub(crate) fn is_alive(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|stat| stat.filesystem_type().0 as i64 == NSFS)
}

/// Lets go of the namespace; the kernel ends it, and the links in it, when its last process is gone.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    while is_alive(path) {
        umount2(path, MntFlags::MNT_DETACH).map_err(failed("unmount", path))?;
    }
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(source)),
        _ => Ok(()),
    }
}
