//! authorization.k8s.io SelfSubjectAccessReview: never stored: the server answers its create.

use crate::kind::FactsOnly;
use crate::kinds::Builtin;

pub const KIND: Builtin = Builtin {
    group: "authorization.k8s.io",
    plural: "selfsubjectaccessreviews",
    storage: "v1",
    rules: || Box::new(FactsOnly::new()),
};
