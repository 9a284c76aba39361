//! authentication.k8s.io TokenReview: never stored: the server answers its create.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "authentication.k8s.io",
    plural: "tokenreviews",
    storage: "v1",
    rules: || Box::new(Strategy::new()),
};
