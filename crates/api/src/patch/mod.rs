//! The three patches that change a tree: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7386) and Kubernetes' strategic
//! merge patch. The fourth kind, server-side apply, is [`crate::apply`].
//!
//! Behaviour and error texts are those of the libraries that upstream uses (evanphx/json-patch v4, apimachinery's
//! strategicpatch), where they differ from the RFCs too. Every patch works on the tree as the client sees it, before
//! defaults; decoding and defaulting come after.

mod json_patch;
mod merge;
mod strategic;

pub use json_patch::json_patch;
pub use merge::merge_patch;
pub use strategic::strategic_merge;

/// A patch that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The patch itself is malformed: HTTP 400.
    #[error("{0}")]
    Bad(String),
    /// It does not fit the object: HTTP 422 for a JSON Patch, 400 for a strategic one.
    #[error("{0}")]
    Apply(String),
    /// HTTP 413.
    #[error("The allowed maximum operations in a JSON patch is {limit}, got {found}")]
    TooMany { limit: usize, found: usize },
}

#[cfg(test)]
mod tests;
