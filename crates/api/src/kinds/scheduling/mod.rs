//! The kinds of scheduling.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod pod_group;
mod priority_class;
mod workload;

pub const ALL: &[Builtin] = &[priority_class::KIND, pod_group::KIND, workload::KIND];
