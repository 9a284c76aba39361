//! Service: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "services",
    storage: "v1",
    rules: || Box::new(FactsOnly { status: true, create_on_update: true, ..FactsOnly::new() }),
};
