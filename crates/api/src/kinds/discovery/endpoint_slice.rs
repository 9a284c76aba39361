//! discovery.k8s.io EndpointSlice: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "discovery.k8s.io",
    plural: "endpointslices",
    storage: "v1",
    rules: || Box::new(FactsOnly { generation: true, ..FactsOnly::new() }),
};
