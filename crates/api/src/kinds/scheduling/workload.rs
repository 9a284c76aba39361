//! scheduling.k8s.io Workload: facts only, no rules of its own yet.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "scheduling.k8s.io",
    plural: "workloads",
    storage: "v1alpha2",
    rules: || Box::new(Strategy::incomplete()),
};
