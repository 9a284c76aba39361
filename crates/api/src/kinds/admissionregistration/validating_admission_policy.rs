//! admissionregistration.k8s.io ValidatingAdmissionPolicy: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "validatingadmissionpolicies",
    storage: "v1",
    rules: || {
        Box::new(FactsOnly {
            status: true,
            status_keeps_metadata: true,
            generation: true,
            unconditional_update: false,
            ..FactsOnly::new()
        })
    },
};
