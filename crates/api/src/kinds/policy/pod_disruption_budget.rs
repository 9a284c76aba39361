//! policy PodDisruptionBudget: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "policy",
    plural: "poddisruptionbudgets",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            generation: true,
            unconditional_update: false,
            ..FactsOnly::new()
        })
    },
};
