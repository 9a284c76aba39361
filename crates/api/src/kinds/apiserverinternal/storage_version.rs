//! internal.apiserver.k8s.io StorageVersion: facts only, no rules of its own yet.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "internal.apiserver.k8s.io",
    plural: "storageversions",
    storage: "v1alpha1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            ..Strategy::incomplete()
        })
    },
};
