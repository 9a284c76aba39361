//! The kinds of node.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod runtime_class;

pub const ALL: &[Builtin] = &[runtime_class::KIND];
