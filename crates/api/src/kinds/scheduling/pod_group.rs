//! scheduling.k8s.io PodGroup: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "scheduling.k8s.io",
    plural: "podgroups",
    storage: "v1alpha2",
    rules: || Box::new(FactsOnly { status: true, status_keeps_metadata: true, ..FactsOnly::new() }),
};
