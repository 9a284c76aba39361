//! resource.k8s.io ResourceClaim: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourceclaims",
    storage: "v1",
    rules: || Box::new(FactsOnly { status: true, status_keeps_metadata: true, ..FactsOnly::new() }),
};
