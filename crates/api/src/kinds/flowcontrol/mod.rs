//! The kinds of flowcontrol.apiserver.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod flow_schema;
mod priority_level_configuration;

pub const ALL: &[Builtin] = &[flow_schema::KIND, priority_level_configuration::KIND];
