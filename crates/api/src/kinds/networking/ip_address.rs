//! networking.k8s.io IPAddress: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "networking.k8s.io",
    plural: "ipaddresses",
    storage: "v1",
    rules: || Box::new(FactsOnly::new()),
};
