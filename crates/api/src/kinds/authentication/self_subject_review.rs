//! authentication.k8s.io SelfSubjectReview: never stored: the server answers its create.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "authentication.k8s.io",
    plural: "selfsubjectreviews",
    storage: "v1",
    rules: || Box::new(Strategy::new()),
};
