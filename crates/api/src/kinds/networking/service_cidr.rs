//! networking.k8s.io ServiceCIDR: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "servicecidrs",
    storage: "v1",
    rules: || Box::new(FactsOnly { status: true, status_keeps_metadata: true, ..FactsOnly::new() }),
};
