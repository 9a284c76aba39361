//! Kernel settings under `/proc/sys/net`, of the calling thread's network namespace.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[error("set {name}={value}: is /proc/sys writable?")]
pub struct Error {
    name: String,
    value: String,
    #[source]
    source: std::io::Error,
}

/// Sets `net/<name>` (with slashes, as link names may hold dots) unless it already reads so.
pub(crate) fn set(name: &str, value: &str) -> Result<(), Error> {
    let path = PathBuf::from("/proc/sys/net").join(name);
    if std::fs::read_to_string(&path).is_ok_and(|old| old.trim() == value) {
        return Ok(());
    }
    std::fs::write(&path, value).map_err(|source| Error {
        name: format!("net.{}", name.replace('/', ".")),
        value: value.to_owned(),
        source,
    })
}

/// As [`set`], for a setting that this kernel may not have.
pub(crate) fn set_if_known(name: &str, value: &str) {
    if let Err(error) = set(name, value) {
        tracing::debug!(error = %base::chain(&error), "a kernel setting stays as it is");
    }
}
