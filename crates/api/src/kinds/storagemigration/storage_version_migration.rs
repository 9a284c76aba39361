//! storagemigration.k8s.io StorageVersionMigration: facts only, no rules of its own yet.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "storagemigration.k8s.io",
    plural: "storageversionmigrations",
    storage: "v1beta1",
    rules: || {
        Box::new(Strategy {
            status: true,
            status_keeps_metadata: true,
            unconditional_update: false,
            ..Strategy::incomplete()
        })
    },
};
