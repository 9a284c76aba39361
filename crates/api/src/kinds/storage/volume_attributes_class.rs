//! storage.k8s.io VolumeAttributesClass: facts only, no rules of its own yet.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "storage.k8s.io",
    plural: "volumeattributesclasses",
    storage: "v1",
    rules: || Box::new(FactsOnly::new()),
};
