//! rbac.authorization.k8s.io RoleBinding: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "rbac.authorization.k8s.io",
    plural: "rolebindings",
    storage: "v1",
    rules: || Box::new(FactsOnly { create_on_update: true, ..FactsOnly::new() }),
};
