//! The kinds of policy. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod pod_disruption_budget;

pub const ALL: &[Builtin] = &[pod_disruption_budget::KIND];
