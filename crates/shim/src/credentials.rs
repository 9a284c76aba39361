//! What a process may do: identity, capabilities, limits, seccomp. Applied last, in the one order in which each step is
//! still allowed. Everything here fails closed, but what only loosens or tunes (limits, OOM score) is a warning.

use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Gid, Uid, fchown, setgroups, setresgid, setresuid};
use shim::plan::Process;

use crate::error::{At, Error};
use crate::sys;
use crate::user::Identity;

/// A program read before the root changed.
pub(crate) type Program = Vec<libc::sock_filter>;

/// Reads a compiled seccomp program; it was made by the daemon for this kernel's architecture.
pub(crate) fn load(path: &Path) -> Result<Program, Error> {
    let bytes = std::fs::read(path).at_path("read seccomp program", path)?;
    let (instructions, rest) = bytes.as_chunks::<8>();
    if instructions.is_empty() || !rest.is_empty() {
        return Err(Errno::EINVAL).at_path("read seccomp program", path);
    }
    let half = |low: u8, high: u8| u16::from_ne_bytes([low, high]);
    let decode = |raw: &[u8; 8]| libc::sock_filter {
        code: half(raw[0], raw[1]),
        jt: raw[2],
        jf: raw[3],
        k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
    };
    Ok(instructions.iter().map(decode).collect())
}

/// Lets the process open its own `/dev/stdout` after it has become `uid`.
pub(crate) fn own_stdio(uid: u32) -> Result<(), Error> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    for fd in [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()] {
        let stat = fstat(fd).at("stat stdio")?;
        let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
        let null = kind == SFlag::S_IFCHR && stat.st_rdev == libc::makedev(1, 3);
        if stat.st_uid != uid && !null {
            match fchown(fd, Some(Uid::from_raw(uid)), None) {
                Ok(()) | Err(Errno::EPERM | Errno::EROFS | Errno::EINVAL) => {}
                other => other.at("chown stdio")?,
            }
        }
    }
    Ok(())
}

/// `warn` is told what could not be had.
pub(crate) fn limits(process: &Process, mut warn: impl FnMut(String)) {
    for (resource, soft, hard) in &process.rlimits {
        let limit = libc::rlimit { rlim_cur: *soft, rlim_max: *hard };
        // SAFETY: the kernel reads one rlimit.
        if let Err(errno) = Errno::result(unsafe { libc::setrlimit(*resource as _, &limit) }) {
            warn(format!("cannot set rlimit {resource} to {soft}:{hard}: {}", crate::error::text(errno)));
        }
    }
}

/// Becomes `identity` with the rights of `process`.
pub(crate) fn apply(process: &Process, identity: &Identity, program: Option<&Program>) -> Result<(), Error> {
    let groups: Vec<_> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    setgroups(&groups).at("setgroups")?;
    let gid = Gid::from_raw(identity.gid);
    setresgid(gid, gid, gid).at("setgid")?;
    // Without no_new_privs a filter needs CAP_SYS_ADMIN, which is about to go.
    if let (Some(program), false) = (program, process.no_new_privileges) {
        sys::seccomp(program).at("install the seccomp program")?;
    }
    for capability in 0..64 {
        if process.capabilities & 1 << capability == 0 {
            match sys::drop_bounding(capability) {
                Ok(()) => {}
                Err(Errno::EINVAL) => break,
                other => other.at("drop a capability")?,
            }
        }
    }
    let uid = Uid::from_raw(identity.uid);
    setresuid(uid, uid, uid).at("setuid")?;
    // After setuid to another than root nothing is permitted any more, and execve would take it away in any case.
    let permitted = sys::permitted().at("capget")?;
    sys::set_capabilities(process.capabilities & permitted).at("capset")?;
    if process.no_new_privileges {
        prctl::set_no_new_privs().at("set no_new_privs")?;
        if let Some(program) = program {
            sys::seccomp(program).at("install the seccomp program")?;
        }
    }
    Ok(())
}
