//! The kinds of autoscaling. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod horizontal_pod_autoscaler;

pub const ALL: &[Builtin] = &[horizontal_pod_autoscaler::KIND];
