//! The kinds of apiextensions.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod custom_resource_definition;

pub const ALL: &[Builtin] = &[custom_resource_definition::KIND];
