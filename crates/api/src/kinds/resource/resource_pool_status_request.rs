//! resource.k8s.io ResourcePoolStatusRequest: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourcepoolstatusrequests",
    storage: "v1alpha3",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            ..FactsOnly::new()
        })
    },
};
