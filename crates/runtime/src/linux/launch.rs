//! Starting shims: all from one sealed memory file, so that the program on disk can be replaced or removed, no container
//! can reach it through `/proc/<pid>/exe` (CVE-2019-5736), and all pods share its pages.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::system;
use crate::Error;

/// The shim's program in memory.
pub(super) struct Program(OwnedFd);

impl Program {
    pub(super) fn load(bytes: &[u8]) -> Result<Program, Error> {
        let failed = || system("load the shim into", "memory");
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file =
            File::from(memfd_create("skiff-shim", flags).map_err(std::io::Error::from).map_err(failed())?);
        file.write_all(bytes).map_err(failed())?;
        let seals =
            SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(std::io::Error::from).map_err(failed())?;
        Ok(Program(file.into()))
    }

    /// Starts a shim and gives the connection to it. Blocks for the milliseconds that this takes.
    pub(super) fn start(&self, pod: &str, cgroups: &[PathBuf], log: &Path) -> Result<UnixStream, Error> {
        let failed = || system("start the shim of pod", pod);
        let (ours, theirs) = UnixStream::pair().map_err(failed())?;
        let log = File::options().create(true).append(true).open(log).map_err(failed())?;
        let mut command = Command::new(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        command
            .arg0("skiff-shim")
            .arg(pod) // for people who read `ps`
            .args(cgroups)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log));
        // The shim's first process forks and ends at once: what lives on is no child of the daemon.
        let status = command.status().map_err(failed())?;
        if !status.success() {
            return Err(failed()(std::io::Error::other(format!("it ended with {status}"))));
        }
        ours.set_nonblocking(true).map_err(failed())?;
        Ok(ours)
    }
}
