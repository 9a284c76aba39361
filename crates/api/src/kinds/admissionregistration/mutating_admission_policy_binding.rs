//! admissionregistration.k8s.io MutatingAdmissionPolicyBinding: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "mutatingadmissionpolicybindings",
    storage: "v1beta1",
    rules: || Box::new(FactsOnly { generation: true, unconditional_update: false, ..FactsOnly::new() }),
};
