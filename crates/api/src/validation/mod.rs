//! Validation that many kinds share: formats of names and texts, and `metadata`. Texts are upstream's.

pub mod check;
pub mod meta;
pub mod names;
pub mod node;

pub use meta::{validate_object_meta, validate_object_meta_update};
pub use node::Node;
