//! node.k8s.io RuntimeClass: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "node.k8s.io",
    plural: "runtimeclasses",
    storage: "v1",
    rules: || Box::new(FactsOnly::new()),
};
