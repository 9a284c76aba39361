//! The kinds of discovery.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

pub mod endpoint_slice;

pub const ALL: &[Builtin] = &[endpoint_slice::KIND];
