//! storage.k8s.io CSINode: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "csinodes",
    storage: "v1",
    rules: || Box::new(FactsOnly { create_on_update: true, unconditional_update: false, ..FactsOnly::new() }),
};
