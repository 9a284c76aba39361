//! coordination.k8s.io LeaseCandidate: facts only, no rules of its own yet.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "coordination.k8s.io",
    plural: "leasecandidates",
    storage: "v1beta1",
    rules: || Box::new(Strategy { create_on_update: true, ..Strategy::incomplete() }),
};
