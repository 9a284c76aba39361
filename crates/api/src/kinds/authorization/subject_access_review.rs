//! SubjectAccessReview: may somebody do something.

use super::reviews;
use crate::kinds::{Builtin, Strategy};

pub const KIND: Builtin = Builtin {
    group: "authorization.k8s.io",
    plural: "subjectaccessreviews",
    storage: "v1",
    rules: || Box::new(Strategy { check: reviews::subject, ..Strategy::new() }),
};
