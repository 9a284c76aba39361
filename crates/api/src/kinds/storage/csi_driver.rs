//! storage.k8s.io CSIDriver: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "csidrivers",
    storage: "v1",
    rules: || Box::new(FactsOnly { generation: true, unconditional_update: false, ..FactsOnly::new() }),
};
