//! The kinds of rbac.authorization.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod cluster_role;
mod cluster_role_binding;
mod role;
mod role_binding;
mod rules;

pub const ALL: &[Builtin] = &[cluster_role_binding::KIND, cluster_role::KIND, role_binding::KIND, role::KIND];
