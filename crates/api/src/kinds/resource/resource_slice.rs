//! resource.k8s.io ResourceSlice: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "resource.k8s.io",
    plural: "resourceslices",
    storage: "v1",
    rules: || Box::new(FactsOnly { generation: true, ..FactsOnly::new() }),
};
