//! What tests and the demo build on: images made from a set of files, and a program to put in them.

pub mod image;

/// The toolbox (crate `toolbox`): a static program with small commands, for images.
pub const TOOLBOX: &[u8] = include_bytes!(env!("SKIFF_TOOLBOX"));
