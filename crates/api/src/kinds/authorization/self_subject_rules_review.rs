//! authorization.k8s.io SelfSubjectRulesReview: never stored: the server answers its create.

use crate::kinds::Builtin;
use crate::kinds::strategy::Strategy;

pub const KIND: Builtin = Builtin {
    group: "authorization.k8s.io",
    plural: "selfsubjectrulesreviews",
    storage: "v1",
    rules: || Box::new(Strategy::new()),
};
