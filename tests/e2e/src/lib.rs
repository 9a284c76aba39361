//! What end-to-end tests, demo and benchmarks share: a namespace of their own, a server in it, images and Git repositories
//! made here. No program but skiff's own binary is needed.

pub mod cluster;
pub mod git;
pub mod image;
pub mod machine;
pub mod namespace;
pub mod programs;
pub mod vm;

pub use machine::{Machine, until};
