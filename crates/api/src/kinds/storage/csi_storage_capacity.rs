//! storage.k8s.io CSIStorageCapacity: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "csistoragecapacities",
    storage: "v1",
    rules: || Box::new(FactsOnly { unconditional_update: false, ..FactsOnly::new() }),
};
