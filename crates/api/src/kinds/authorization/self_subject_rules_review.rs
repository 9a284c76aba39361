//! authorization.k8s.io SelfSubjectRulesReview: never stored: the server answers its create.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "authorization.k8s.io",
    plural: "selfsubjectrulesreviews",
    storage: "v1",
    rules: || Box::new(FactsOnly::new()),
};
