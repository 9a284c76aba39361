//! The kinds of coordination.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod lease;
mod lease_candidate;

pub const ALL: &[Builtin] = &[lease::KIND, lease_candidate::KIND];
