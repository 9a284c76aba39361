//! Event, of the core group and of events.k8s.io. Stored as core's.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "",
    plural: "events",
    storage: "v1",
    rules: || Box::new(FactsOnly { create_on_update: true, ..FactsOnly::new() }),
};

/// The same objects as events.k8s.io shows them.
pub const EVENTS_KIND: Builtin = Builtin {
    group: "events.k8s.io",
    plural: "events",
    storage: "v1",
    rules: || Box::new(FactsOnly { create_on_update: true, ..FactsOnly::new() }),
};
