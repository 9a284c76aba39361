//! ClusterRoleBinding: who has a role; the role never changes.

use super::rules::{self, Binding};
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: rules::GROUP,
    plural: "clusterrolebindings",
    storage: "v1",
    rules: || Box::new(Binding { namespaced: false }),
};
