//! certificates.k8s.io ClusterTrustBundle: facts only, no rules of its own yet.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "certificates.k8s.io",
    plural: "clustertrustbundles",
    storage: "v1beta1",
    rules: || Box::new(Strategy { unconditional_update: false, ..Strategy::incomplete() }),
};
