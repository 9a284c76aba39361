//! internal.apiserver.k8s.io StorageVersion: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "internal.apiserver.k8s.io",
    plural: "storageversions",
    storage: "v1alpha1",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            ..FactsOnly::new()
        })
    },
};
