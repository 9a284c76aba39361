//! The kinds of internal.apiserver.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod storage_version;

pub const ALL: &[Builtin] = &[storage_version::KIND];
