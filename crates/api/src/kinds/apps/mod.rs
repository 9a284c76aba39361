//! The kinds of apps. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod controller_revision;
mod daemon_set;
mod deployment;
mod replica_set;
mod stateful_set;
pub mod workload;

pub const ALL: &[Builtin] =
    &[controller_revision::KIND, daemon_set::KIND, deployment::KIND, replica_set::KIND, stateful_set::KIND];
