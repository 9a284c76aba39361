//! certificates.k8s.io ClusterTrustBundle: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "certificates.k8s.io",
    plural: "clustertrustbundles",
    storage: "v1beta1",
    rules: || Box::new(FactsOnly { unconditional_update: false, ..FactsOnly::new() }),
};
