//! The kinds of authorization.k8s.io. Adding one is one file and one line in each list.

use crate::kinds::Builtin;

mod local_subject_access_review;
mod reviews;
mod self_subject_access_review;
mod self_subject_rules_review;
mod subject_access_review;

pub const ALL: &[Builtin] = &[
    local_subject_access_review::KIND,
    self_subject_access_review::KIND,
    self_subject_rules_review::KIND,
    subject_access_review::KIND,
];
