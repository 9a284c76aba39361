//! A synchronous netlink client: requests with an acknowledgement, dumps, and atomic batches.
//!
//! The kernel works a request off inside `sendmsg`, so nothing here waits: a call takes microseconds, or as long as
//! the kernel needs for the change itself. A socket belongs to the network namespace it was opened in.

mod message;
mod socket;

pub use message::{Attributes, Writer, attribute, u16_be, u32_ne};
pub use socket::{Protocol, Reply, Socket};

/// A netlink request that the kernel refused, or that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{operation}{}", .detail.as_ref().map(|text| format!(" ({text})")).unwrap_or_default())]
pub struct Error {
    /// What was asked, for a person: `add link skiff0`.
    pub operation: String,
    /// The kernel's own explanation, where it gave one.
    pub detail: Option<String>,
    #[source]
    pub source: std::io::Error,
}

impl Error {
    pub(crate) fn new(operation: impl Into<String>, errno: i32) -> Error {
        Error { operation: operation.into(), detail: None, source: std::io::Error::from_raw_os_error(errno) }
    }

    pub(crate) fn last(operation: impl Into<String>) -> Error {
        Error { operation: operation.into(), detail: None, source: std::io::Error::last_os_error() }
    }

    /// The error number, 0 if the failure was not the kernel's.
    pub fn errno(&self) -> i32 {
        self.source.raw_os_error().unwrap_or_default()
    }

    /// The thing that was to be removed or read is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self.errno(), libc::ENOENT | libc::ENODEV | libc::ESRCH | libc::EADDRNOTAVAIL | libc::ENXIO)
    }

    /// The thing that was to be added is there.
    pub fn is_present(&self) -> bool {
        self.errno() == libc::EEXIST
    }
}
