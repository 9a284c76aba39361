//! The kinds of apiregistration.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod api_service;

pub const ALL: &[Builtin] = &[api_service::KIND];
