//! apiregistration.k8s.io APIService: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "apiregistration.k8s.io",
    plural: "apiservices",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            ..FactsOnly::new()
        })
    },
};
