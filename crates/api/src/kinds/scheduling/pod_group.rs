//! scheduling.k8s.io PodGroup: facts only, no rules of its own yet.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "scheduling.k8s.io",
    plural: "podgroups",
    storage: "v1alpha2",
    rules: || Box::new(Strategy { status: true, status_keeps_metadata: true, ..Strategy::incomplete() }),
};
