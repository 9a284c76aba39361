//! YAML as Go reads and writes it: plain scalars by yaml.v3's rules, output as sigs.k8s.io/yaml prints it.
//!
//! Reading gives [`crate::Value`]s, one a document. Not kept: comments, anchors (expanded, with a limit) and styles.

/// Which of Go's decoders reads: they differ in what a plain `yes` or `2001-01-01` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// sigs.k8s.io/yaml, as `kubectl` and Argo CD read manifests and as Kustomize reads kustomization files.
    V2,
    /// kyaml, as Kustomize reads resources and patches.
    V3,
}

mod emit;
mod parse;
mod read;
mod scalar;
mod time;

pub use emit::{emit, emit_in_order};
pub use parse::{Error, duplicates, parse};
pub use read::{ReadError, read};
pub use scalar::{format_float, is_endless, is_float, resolve, shortest};
pub use time::is_time;

#[cfg(test)]
mod tests;
