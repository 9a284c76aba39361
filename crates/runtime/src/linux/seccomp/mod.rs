//! Seccomp profiles, compiled here and handed to shims as files: a shim only installs what it is given, and a profile
//! that cannot be had stops the container (fail closed).
//!
//! Only the machine's own architecture is let in: 32-bit programs get `EPERM` for every call under a profile.

mod compile;
mod default;
mod profile;
mod syscalls;

use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::system;
use crate::{Error, Seccomp};
use compile::{Filter, Instruction};

/// Bytes of a profile on the node.
const BOUND: u64 = 1 << 20;

/// The file with the compiled program of `profile`; `None` runs without one.
pub(super) fn program(
    profile: &Seccomp,
    privileged: bool,
    capabilities: u64,
    run: &Path,
) -> Result<Option<PathBuf>, Error> {
    let filter = match profile {
        Seccomp::Unconfined => return Ok(None),
        // As upstream: a privileged container is not confined, whatever its profile says.
        _ if privileged => return Ok(None),
        Seccomp::RuntimeDefault => default::filter(capabilities),
        Seccomp::Localhost(path) => read(path)?,
    };
    let code = compile::compile(&filter).map_err(|problem| Error::Container {
        reason: "CreateContainerError",
        message: format!("the seccomp profile cannot be compiled: {problem}"),
    })?;
    store(&code, run).map(Some)
}

fn read(path: &Path) -> Result<Filter, Error> {
    let wrong = |problem: String| Error::Container {
        reason: "CreateContainerError",
        message: format!("cannot load seccomp profile {}: {problem}", path.display()),
    };
    let meta = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if meta.len() > BOUND {
        return Err(wrong(format!("it is longer than {BOUND} bytes")));
    }
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    profile::parse(&text).map_err(wrong)
}

/// Keeps a program under the digest of its content: containers of one kind share it, and it is written once.
fn store(code: &[Instruction], run: &Path) -> Result<PathBuf, Error> {
    let bytes: Vec<u8> = code.iter().flat_map(|instruction| instruction.bytes()).collect();
    let path = run.join("seccomp").join(format!("{}.bpf", hex::encode(&Sha256::digest(&bytes)[..16])));
    if !path.exists() {
        let temporary = path.with_extension(format!("{:x}", rand::random::<u64>()));
        let written = std::fs::File::create(&temporary).and_then(|mut file| file.write_all(&bytes));
        let shown = path.display().to_string();
        written
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(system("write seccomp program", &shown))?;
    }
    Ok(path)
}

/// The number of a system call on this machine, if it has it.
fn number_of(name: &str) -> Option<u32> {
    let index = syscalls::SYSCALLS.binary_search_by(|(known, ..)| known.cmp(&name)).ok()?;
    let (_, x86_64, arm64) = syscalls::SYSCALLS[index];
    u32::try_from(if cfg!(target_arch = "aarch64") { arm64 } else { x86_64 }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_right() {
        assert!(syscalls::SYSCALLS.is_sorted());
        for (name, number) in
            [("openat", libc::SYS_openat), ("clone3", libc::SYS_clone3), ("bpf", libc::SYS_bpf)]
        {
            assert_eq!(number_of(name).map(i64::from), Some(number), "{name}");
        }
        assert_eq!(number_of("nonsense"), None);
    }
}
