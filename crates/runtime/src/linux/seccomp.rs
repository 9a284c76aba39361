//! Seccomp profiles, compiled here once and handed to shims as files: a shim only installs what it is given, and a
//! profile that cannot be had stops the container (fail closed).

use std::path::{Path, PathBuf};

use crate::{Error, Seccomp};

/// The file with the compiled program of `profile`; `None` runs without one.
pub(super) fn program(
    profile: &Seccomp,
    privileged: bool,
    _capabilities: u64,
    _run: &Path,
) -> Result<Option<PathBuf>, Error> {
    match profile {
        Seccomp::Unconfined => Ok(None),
        _ if privileged => Ok(None),
        _ => Err(Error::Unsupported {
            what: "confine by seccomp".into(),
            hint: "use the profile Unconfined".into(),
        }),
    }
}
