//! Server-side apply and `managedFields` (KEP-555): who owns which field, and what happens when somebody else sets it.
//!
//! [`apply`] merges a configuration into an object; [`track_update`] notes what every other write changed. Both follow
//! structured-merge-diff and upstream's field managers, entry for entry and text for text, but walk `Schema`, the one
//! view of built-in types and CRDs.
//!
//! Values are in the version of the request, normalised but (for `apply`'s result) not yet defaulted: the caller
//! decodes and defaults what [`apply`] returns.

mod codec;
mod compare;
mod element;
mod managed;
mod merge;
mod set;
mod typed;
mod update;

pub use element::Element;
pub use managed::{BadEntry, take_over};
pub use merge::merge;
pub use set::Set;
pub use update::{Conflict, Error, Subject, apply, track_update};

#[cfg(test)]
mod tests;
