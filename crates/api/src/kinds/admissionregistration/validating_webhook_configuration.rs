//! admissionregistration.k8s.io ValidatingWebhookConfiguration: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "admissionregistration.k8s.io",
    plural: "validatingwebhookconfigurations",
    storage: "v1",
    rules: || Box::new(FactsOnly { generation: true, unconditional_update: false, ..FactsOnly::new() }),
};
