//! resource.k8s.io DeviceTaintRule: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "devicetaintrules",
    storage: "v1alpha3",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            status_keeps_metadata: true,
            generation: true,
            ..FactsOnly::new()
        })
    },
};
