//! coordination.k8s.io LeaseCandidate: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "coordination.k8s.io",
    plural: "leasecandidates",
    storage: "v1beta1",
    rules: || Box::new(FactsOnly { create_on_update: true, ..FactsOnly::new() }),
};
