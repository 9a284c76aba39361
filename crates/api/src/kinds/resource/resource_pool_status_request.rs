//! resource.k8s.io ResourcePoolStatusRequest: facts only, no rules of its own yet.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourcepoolstatusrequests",
    storage: "v1alpha3",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            ..Strategy::incomplete()
        })
    },
};
