//! Validation that many kinds share: formats of names and texts, and `metadata`. Texts are upstream's.

pub mod check;
pub mod meta;
pub mod names;

pub use meta::{validate_object_meta, validate_object_meta_update};
