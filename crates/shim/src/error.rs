//! What went wrong in a system call, with its object. Texts that `kubectl` users know from runc stay as they are there.

use std::path::Path;

use nix::errno::Errno;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}: {}", text(*.errno))]
    Call { what: String, errno: Errno },
    /// What the author of the pod must change.
    #[error("{0}")]
    Author(String),
}

/// The errno's text in lower case, as C's and Go's libraries give it.
pub(crate) fn text(errno: Errno) -> String {
    let text = errno.desc();
    match text.chars().next() {
        Some(first) if !text.starts_with("I/O") => {
            format!("{}{}", first.to_ascii_lowercase(), &text[first.len_utf8()..])
        }
        _ => text.to_owned(),
    }
}

/// Says what was tried when a call fails.
pub(crate) trait At<T> {
    fn at(self, what: &str) -> Result<T, Error>;
    fn at_path(self, what: &str, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for nix::Result<T> {
    fn at(self, what: &str) -> Result<T, Error> {
        self.map_err(|errno| Error::Call { what: what.to_owned(), errno })
    }
    fn at_path(self, what: &str, path: &Path) -> Result<T, Error> {
        self.map_err(|errno| Error::Call { what: format!("{what} {}", path.display()), errno })
    }
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, what: &str) -> Result<T, Error> {
        self.map_err(errno).at(what)
    }
    fn at_path(self, what: &str, path: &Path) -> Result<T, Error> {
        self.map_err(errno).at_path(what, path)
    }
}

fn errno(error: std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
