//! The kinds of storagemigration.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod storage_version_migration;

pub const ALL: &[Builtin] = &[storage_version_migration::KIND];
